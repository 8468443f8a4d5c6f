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
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sambench.data.class_folders import MASKS, PICTURES, list_classes, part_of
from sambench.data.family import DEEPEST, Family
from sambench.data.folders import find_files, subfolders
from sambench.data.own_tables import COLUMNS, list_labelled
from sambench.data.problems import some
from sambench.data.source import Listing, Option, Request
from sambench.errors import DataError


def scan(own: Family, request: Request) -> Listing:
    """List the images of class folders, or those that a table names.

    Raises:
        DataError: If files, labels, groups or folds are at fault; names all that are.
    """
    given = [name.strip() for name in str(request.options["classes"]).split(",") if name.strip()]
    classes = tuple(dict.fromkeys(given))
    root = replace(own, obtain="these are your own images").given(request)
    if request.table is not None:
        return list_labelled(root, request.table, request.options, classes)
    inner = _unwrapped(root)
    _refuse_masks(inner, classes)
    listing = list_classes(replace(own, classes=classes), replace(request, folder=inner))
    where = [] if inner == root else [f"the classes are the folders in {inner.relative_to(root)}/"]
    return replace(listing, passed={}, notes=(*listing.notes, *where, *_masks(listing)))


def _unwrapped(root: Path) -> Path:
    """Return the folder of the classes: archives often put one or more around it."""
    for _ in range(DEEPEST):
        inside = [path for path in subfolders(root).values() if path.name != "__MACOSX"]
        if len(inside) != 1 or part_of(inside[0].name) or next(find_files(root), None):
            break
        deeper = subfolders(inside[0])
        if not deeper or deeper.keys() <= PICTURES | MASKS:
            break
        root = inside[0]
    return root


def _refuse_masks(root: Path, classes: Sequence[str]) -> None:
    """Stop where folders are pictures and their masks rather than classes.

    Raises:
        DataError: If they are.
    """
    names = subfolders(root).keys()
    masks, pictures = names & (MASKS | {"mask"}), names & PICTURES
    if not classes and masks and pictures and names == masks | pictures:
        raise DataError(
            f"{', '.join(f'{name}/' for name in sorted(names))} in {root} are images beside their "
            "masks, not classes; sort the images into a folder for each class, or list them with "
            "`--xlsx TABLE`"
        )


def _masks(listing: Listing) -> Iterator[str]:
    """Yield a note on files that look like masks: a folder of yours may hold any names."""
    masks = [s.id for s in listing.samples if re.search(r"_(mask|seg)(_\d+)?$", s.id)]
    if masks:
        yield f"read as images, though their names are of masks: {some(masks, limit=3)}"


Family(
    name="folder",
    summary="your own images: a folder for each class, or `--xlsx TABLE` of files and labels",
    obtain="your own",
    layout="a folder for each class (also within train/, val/ and test/) or images that "
    "`--xlsx TABLE` lists",
    takes_table=True,
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
    reference="yours",
    licence="yours",
).register(scan)
