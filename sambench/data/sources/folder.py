"""Anybody's own images: class folders, or a table of files and labels (`own_table.py`).

    <class>/*.png                           a folder for each class
    {train,val,test}/<class>/*.png          the same in parts

Files that have the name of an image beside them and a word for masks behind it are passed over.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from sambench.data.family import DEEPEST, Family
from sambench.data.folders import find_files, part_of, subfolders
from sambench.data.problems import some
from sambench.data.source import Listing, Request
from sambench.data.sources.class_folders import MASKS, PICTURES, list_classes
from sambench.data.sources.own_table import list_labelled
from sambench.errors import ConfigError

OF_MASKS = (
    r"masks?|seg(?:m|mented|mentations?)?|gt|ground[ _-]?truth|labels?|labelmap|annotations?|"
    r"annotated|roi|contours?|outlines?|overlay"
)
MASK = re.compile(rf"(.+?)[ _.-]+(?:{OF_MASKS})(?:[ _.-]*\d+)?", re.IGNORECASE)
"""The id of what is a mask if there is an image with the first part of its name beside it."""


def scan(own: Family, request: Request) -> Listing:
    """List the images of class folders, or those that a table names."""
    given = [name.strip() for name in str(request.options["classes"]).split(",") if name.strip()]
    classes = tuple(dict.fromkeys(given))
    root = replace(own, obtain="these are your own images").locate(request)
    if request.table is not None:
        return list_labelled(root, request.table, request.options, classes)
    for name, value in request.options.items():
        if value and (name == "labels" or name.endswith("_column")):
            raise ConfigError(
                f"`--set {name}={value}` is about a table; name it with `--xlsx TABLE`, or leave "
                "the setting out"
            )
    inner = _unwrapped(root)
    listing = list_classes(replace(own, classes=classes), replace(request, folder=inner))
    where = [] if inner == root else [f"the classes are the folders in {inner.relative_to(root)}/"]
    return _without_masks(replace(listing, notes=(*listing.notes, *where)))


def _without_masks(listing: Listing) -> Listing:
    """Return the listing without the images whose names are of masks of others beside them."""
    images = {sample.id for sample in listing.samples}
    shown = {s.id: found[1] for s in listing.samples if (found := MASK.fullmatch(s.id))}
    masks = {s.file: "masks beside images" for s in listing.samples if shown.get(s.id) in images}
    alone = [id for id, image in shown.items() if image not in images]
    told = f"read as images, though their names are of masks: {some(alone, limit=3)}"
    return replace(
        listing,
        samples=tuple(sample for sample in listing.samples if sample.file not in masks),
        notes=(*listing.notes, told) if alone else listing.notes,
        passed={**listing.passed, **masks},
    )


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


Family.published("folder").register(scan)
