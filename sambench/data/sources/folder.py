"""Anybody's own images: class folders, or a table of files and labels.

    <class>/*.png                           a folder for each class
    {train,val,test}/<class>/*.png          the same in parts
    labels.csv or labels.xlsx               file, label [, group] [, fold] [, split]

A table lists files relative to `--source`, or else to its own folder. The images of a group (a
patient, or a video) stay together in splits; it is the column "patient" of the prepared data.
Columns are found by the names that people give them, and what was found is said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sambench.data.class_folders import MASKS, PICTURES, ClassFolders, list_classes, part_of
from sambench.data.folders import find_files, subfolders
from sambench.data.locating import DEEPEST, Release
from sambench.data.own_tables import COLUMNS, list_labelled
from sambench.data.problems import Problems, some
from sambench.data.source import Listing, Option, Request, Source, sources
from sambench.errors import DataError

RELEASE = Release(
    name="folder",
    obtain="these are your own images",
    layout="a folder for each class (also within train/, val/ and test/) or images that "
    "`--xlsx TABLE` lists",
    takes_table=True,
)


def scan(request: Request) -> Listing:
    """List the images of class folders, or those that a table names.

    Raises:
        DataError: If files, labels, groups or folds are at fault; names all that are.
    """
    given = [name.strip() for name in str(request.options["classes"]).split(",") if name.strip()]
    classes = tuple(dict.fromkeys(given)) or None
    root = RELEASE.given(request)
    if request.table is not None:
        return list_labelled(root, request.table, request.options, classes)
    root = _unwrapped(root)
    _refuse_masks(root, classes)
    labels = {label.casefold(): label for label in classes} if classes else None
    return _with_notes(
        list_classes(RELEASE, replace(request, folder=root), ClassFolders(labels=labels), classes)
    )


def _unwrapped(root: Path) -> Path:
    """Return the folder of the classes: archives often put one or more around it."""
    for _ in range(DEEPEST):
        inside = [*subfolders(root, Problems()).values()]
        inside = [path for path in inside if path.name != "__MACOSX"]
        if len(inside) != 1 or part_of(inside[0].name) or next(find_files(root), None):
            break
        deeper = subfolders(inside[0], Problems())
        if not deeper or deeper.keys() <= PICTURES | MASKS:
            break
        root = inside[0]
    return root


def _refuse_masks(root: Path, classes: Sequence[str] | None) -> None:
    """Stop where folders are pictures and their masks rather than classes.

    Raises:
        DataError: If they are.
    """
    names = subfolders(root, Problems()).keys()
    masks, pictures = names & (MASKS | {"mask"}), names & PICTURES
    if classes is None and masks and pictures and names == masks | pictures:
        raise DataError(
            f"{', '.join(f'{name}/' for name in sorted(names))} in {root} are images beside their "
            "masks, not classes; sort the images into a folder for each class, or list them with "
            "`--xlsx TABLE`"
        )


def _with_notes(listing: Listing) -> Listing:
    """Note files that look like masks: a folder of yours may hold any names."""
    masks = [s.id for s in listing.samples if re.search(r"_(mask|seg)(_\d+)?$", s.id)]
    told = f"read as images, though their names are of masks: {some(masks, limit=3)}"
    return replace(listing, notes=(*listing.notes, told)) if masks else listing


sources.register(
    Source(
        name="folder",
        summary="your own images: a folder for each class, or `--xlsx TABLE` of files and labels",
        scan=scan,
        image_size=224,
        options={
            "classes": Option(
                default="", help="class names in label order, with commas; all that occur otherwise"
            ),
            "labels": Option(default="", help="names of a table's labels, as 0:benign,1:malignant"),
            "similar": Option(
                default="refuse",
                choices=("refuse", "keep"),
                help="class names that differ in one letter",
            ),
            **{
                f"{name}_column": Option(
                    default="", help=f"the table's column of the {name}; found by usual names"
                )
                for name in COLUMNS
            },
        },
        obtain="your own",
        reference="yours",
        licence="yours",
    )
)
