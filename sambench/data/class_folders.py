"""Reads datasets whose folders are classes: `<class>/` or `<part>/<class>/`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path

from sambench.data.family import Family, make_listing
from sambench.data.folders import NONE, Meaning, find_images, natural, subfolders, without_suffix
from sambench.data.problems import Problems
from sambench.data.source import NO_FACTS, Listing, Request, Sample
from sambench.errors import DataError

PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What the parts are called, in lower case and without "_set" behind."""

MASKS = frozenset(
    (
        *("masks", "gt", "ground_truth", "groundtruth", "annotations", "overlays"),
        *("segmentation", "segmentations"),
    )
)
PICTURES = frozenset(("images", "image", "img", "imgs", "original", "originals", "scans"))
"""Names of folders, in lower case, that are no classes when they lie side by side."""

LEAST_ALIKE = 6
"""Letters from which two names that differ in one of them are taken for one, misspelled."""


def find_class_images(
    root: Path,
    labels: Mapping[str, str] | None,
    problems: Problems,
    *,
    id_of: Callable[[str], str] = without_suffix,
    masks: str = NONE,
) -> list[Sample]:
    """Return the images of class folders in natural order, with their part where there are parts.

    `labels` has the class by the folder's name in lower case; None takes every folder for a class.
    Folders of a class may hold the images in a folder `images/`. For the rest see `find_images`.
    """
    folders = dict(_folders(root, labels, problems))
    found = find_images(root, folders, problems, id_of=id_of, masks=masks)
    return sorted(found.values(), key=lambda sample: natural(sample.id))


def _folders(
    root: Path, labels: Mapping[str, str] | None, problems: Problems
) -> Iterator[tuple[Path, Meaning]]:
    """Yield the folders of classes; one class has one spelling, that of the training part."""
    inside = subfolders(root, problems)
    parts = {name: part for name in inside if (part := part_of(name))}
    spelled: dict[str, str] = {}
    places = [] if labels is None and parts else [(inside, NO_FACTS)]
    for name, part in sorted(parts.items(), key=lambda item: item[1] != "train"):
        places.append((subfolders(inside[name], problems), {"part": part}))
    for there, facts in places:
        for name, path in there.items():
            if labels is not None:
                label = labels.get(name)
            elif name in MASKS or (name == "mask" and there.keys() & PICTURES):
                label = None
            else:
                label = spelled.setdefault(name, path.name)
            if label is not None:
                yield subfolders(path, problems).get("images", path), (label, facts)


def list_classes(family: Family, request: Request) -> Listing:
    """Return the listing of a set that is class folders and nothing else.

    A family without classes has those of its folders, in natural order.
    """
    root = family.locate(request)
    problems = Problems()
    labels = {label.casefold(): label for label in family.classes}
    samples = find_class_images(root, labels or None, problems)
    problems.check()
    if not samples:
        raise family.refuse(root)
    classes: Sequence[str] = family.classes
    if not classes:
        classes = sorted({sample.label for sample in samples}, key=natural)
        if request.options.get("similar") != "keep":
            refuse_misspelled(classes, root)
    columns = ("part",) if any("part" in sample.facts for sample in samples) else ()
    layout = f"a folder for each {'part and ' if columns else ''}class"
    return make_listing(root, layout, classes, samples, columns=columns)


def part_of(name: str) -> str | None:
    """Return the part that a folder or a cell of a table names, or None.

    >>> part_of("Training_set"), part_of("val"), part_of("benign")
    ('train', 'validation', None)
    """
    return PART_NAMES.get(re.sub(r"[ _-]?(set|data|images)$", "", name.strip().casefold()))


def misspelled(labels: Sequence[str]) -> tuple[str, str] | None:
    """Return two class names that are probably one: a long word of each differs in a letter.

    First letters must agree ("typical" is not "atypical"), and numbers too.
    """
    for one, other in combinations(labels, 2):
        words = [re.findall(r"[^\W\d_]+|\d+", name.casefold()) for name in (one, other)]
        differing = [pair for pair in zip(*words, strict=False) if pair[0] != pair[1]]
        if len(words[0]) == len(words[1]) and len(differing) == 1 and _one_off(*differing[0]):
            return one, other
    return None


def _one_off(one: str, other: str) -> bool:
    """Whether two words differ in one letter more, less, another, or two that are swapped."""
    if min(len(one), len(other)) < LEAST_ALIKE or one[0] != other[0] or one.isdecimal():
        return False
    if sorted(one) == sorted(other):
        return sum(a != b for a, b in zip(one, other, strict=True)) == 2
    edits = [
        op for op in SequenceMatcher(None, one, other, False).get_opcodes() if op[0] != "equal"
    ]
    return len(edits) == 1 and max(edits[0][2] - edits[0][1], edits[0][4] - edits[0][3]) == 1


def refuse_misspelled(labels: Sequence[str], where: Path) -> None:
    """Ask whether two names that differ in a letter are one class."""
    if found := misspelled(labels):
        raise DataError(
            f"classes {found[0]!r} and {found[1]!r} in {where} differ in one letter: rename one, "
            "or `--set similar=keep` if they are two classes"
        )
