"""Anybody's own images: class folders, or a table of files and labels (`label_tables.py`).

    <class>/*.png                           a folder for each class
    {train,val,test}/<class>/*.png          the same in parts
    labels.csv or labels.xlsx               file, label [, group] [, fold] [, split] ...

Files that have the name of an image beside them and a word for masks behind it, or its number and
such a word in front, are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sambench.data.family import DEEPEST, Family
from sambench.data.folders import find_files, part_of, same_name, subfolders
from sambench.data.source import Listing, Request, Setting
from sambench.data.sources.class_folders import MASKS, PICTURES, list_classes
from sambench.data.sources.label_tables import list_labelled
from sambench.errors import ConfigError, some

OF_MASKS = (
    r"masks?|seg(?:m|mented|mentations?)?|gt|ground[ _-]?truth|labels?|labelmap|annotations?|"
    r"annotated|roi|contours?|outlines?|overlay"
)
MASK = re.compile(rf"(.+?)[ _.-]+(?:({OF_MASKS})|lesions?|tumou?rs?)(?:[ _.-]*\d+)?", re.IGNORECASE)
"""The id of what is a mask if there is an image with the first part of its name beside it."""

IN_FRONT = re.compile(rf"(.*/|)(?:({OF_MASKS})|[^\W\d_]+)(?:[ _.-]+|(?=\d))([^/]+)", re.IGNORECASE)
"""The id of what has a word in front, and is a mask if that is the word for one and an image with
the same end lies beside it: mask_1 beside 1 or image_1."""

HEALTHY = re.compile(r"(.*[\W_])?(normals?|healthy|controls?|negative|no|non|none|not)([\W_].*)?")
"""Names of a class, in lower case, whose images one would not call positive."""

SHARED = 0.3  # least share of images that another begins like


def scan(own: Family, request: Request) -> Listing:
    """List the images of class folders, or those that a table names."""
    given = [name.strip() for name in str(request.options["classes"]).split(",") if name.strip()]
    classes = tuple(dict.fromkeys(given))
    root = replace(own, obtain="these are your own images").locate(request)
    if request.table is not None:
        listing = list_labelled(root, request.table, request.options, classes)
    else:
        listing = _in_class_folders(replace(own, classes=classes), root, request)
    listing = _with_patients(listing, request.options["patient"])
    names = map(same_name, listing.classes)
    healthy = [2 if HEALTHY.fullmatch(name) else int("benign" in name) for name in names]
    if classes or len(healthy) != 2 or healthy[0] >= healthy[1]:
        return listing
    first, second = listing.classes
    turned_round = (
        f"the second class counts as the positive one, so sensitivity will be of {second}: "
        f"`--set classes={second},{first}` turns them round"
    )
    return replace(listing, notes=(*listing.notes, turned_round))


def _in_class_folders(own: Family, root: Path, request: Request) -> Listing:
    for name, value in request.options.items():
        if value and (name == "labels" or name.endswith("_column")):
            raise ConfigError(
                f"`--set {name}={value}` is about a table; name it with `--xlsx TABLE`, or leave "
                "the setting out"
            )
    inner = _unwrapped(root)
    listing = list_classes(own, replace(request, folder=inner))
    where = [] if inner == root else [f"the classes are the folders in {inner.relative_to(root)}/"]
    return _without_masks(replace(listing, notes=(*listing.notes, *where)))


def _with_patients(listing: Listing, told_by: Setting) -> Listing:
    """Return the listing with the patients that names tell; where they may, a note asks."""
    known, asked_for = "patient" in listing.columns, f"`--set patient={told_by}`"
    if told_by == "none":
        notes = () if known else _perhaps_patients(listing)
        return replace(listing, notes=(*listing.notes, *notes))
    if known and told_by != "folder":
        raise ConfigError(f"a column tells the patients already; leave out {asked_for}")
    samples = listing.samples
    if isinstance(told_by, int):
        facts = ({**s.facts, "patient": _beginning(s.file, told_by)} for s in samples)
        samples = tuple(replace(s, facts=own) for s, own in zip(samples, facts, strict=True))
    if not any(sample.facts.get("patient") for sample in samples):
        files = some([sample.file for sample in samples], limit=3)
        raise ConfigError(
            f"{asked_for} finds no patient in {listing.root}, which has {files}; leave it out, or "
            "name the patients in a table"
        )
    return replace(listing, samples=samples)


def _beginning(file: str, number: int) -> str | None:
    """Return a file's name up to so many words with a digit; None if no word is behind these."""
    stem = Path(file).stem
    ends = [found.end() for found in re.finditer(r"[^\W_]*\d[^\W_]*", stem)][:number]
    behind = len(ends) == number and re.search(r"[^\W_]", stem[ends[-1] :])
    return stem[: ends[-1]] if behind else None


def _perhaps_patients(listing: Listing) -> Iterator[str]:
    """Yield a note if many images share the beginnings of their names, and few the same one."""
    by_beginning: dict[str, list[str]] = {}
    for file in (sample.file for sample in listing.samples):
        if beginning := _beginning(file, 1):
            by_beginning.setdefault(beginning, []).append(Path(file).stem)
    alike = [found for found in by_beginning.values() if len(found) > 1]
    images, sizes = len(listing.samples), [*map(len, alike)]
    many = len(by_beginning) >= max(5, 3 * len(listing.classes))
    if many and sum(sizes) >= SHARED * images and max(sizes) <= images / 5:
        yield (
            f"names of files may tell the patients: {' and '.join(alike[0][:2])} begin alike, and "
            f"there are {len(by_beginning):,} beginnings; if so, prepare with `--set patient=1`"
        )


def _without_masks(listing: Listing) -> Listing:
    """Return the listing without the images whose names are of masks of others beside them."""
    masked = _masks([sample.id for sample in listing.samples])
    masks = {s.file: "masks beside images" for s in listing.samples if masked.get(s.id)}
    alone = [id for id, beside in masked.items() if not beside]
    told = f"read as images, though their names are of masks: {some(alone, limit=3)}"
    return replace(
        listing,
        samples=tuple(sample for sample in listing.samples if sample.file not in masks),
        notes=(*listing.notes, told) if alone else listing.notes,
        passed={**listing.passed, **masks},
    )


def _masks(ids: Sequence[str]) -> dict[str, bool]:
    """Return the ids that are of masks by their names, and whether the image of each is there."""
    images, masks = {*ids}, {}
    begun = {id: found for id in ids if (found := IN_FRONT.fullmatch(id))}
    ends = {found[1] + found[3] for found in begun.values() if not found[2]} | images
    for id in ids:
        if (found := MASK.fullmatch(id)) and (found[2] or found[1] in images):
            masks[id] = found[1] in images
        elif (found := begun.get(id)) and found[2]:
            masks[id] = found[1] + found[3] in ends
    return masks


def _unwrapped(root: Path) -> Path:
    """Return the folder of the classes: archives often put one or more around it."""
    for _ in range(DEEPEST):
        inside = [path for path in subfolders(root).values() if path.name != "__MACOSX"]
        if len(inside) != 1 or part_of(inside[0].name) or next(find_files(root), None):
            break
        deeper = subfolders(inside[0])
        if all(PICTURES.fullmatch(name) or MASKS.fullmatch(name) for name in deeper):
            break
        root = inside[0]
    return root
