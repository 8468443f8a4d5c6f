"""Reads datasets whose folders are classes: `<class>/` or `<part>/<class>/`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path

from sambench.data.folders import Found, find_images, natural, subfolders, without_suffix
from sambench.data.locating import Release
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
    [
        "masks",
        "gt",
        "ground_truth",
        "groundtruth",
        "segmentation",
        "segmentations",
        "annotations",
        "overlays",
    ]
)
PICTURES = frozenset({"images", "image", "img", "imgs", "original", "originals", "scans"})
"""Names of folders, in lower case, that are no classes when they lie side by side."""

LEAST_ALIKE = 6
"""Letters from which two names that differ in one of them are taken for one, misspelled."""


@dataclass(frozen=True)
class Place:
    """What a folder of images stands for.

    Attributes:
        label: The class.
        part: "train", "validation", "test", or None where the folders are of classes alone.
    """

    label: str
    part: str | None = None


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """The layout of one family.

    Attributes:
        labels: Class by folder name in lower case, in label order; None to take every folder.
        inner: Name of a folder in each class that may hold the images, in lower case.
        id_of: The id of a file given relative to the root.
        keep: Whether a name without suffix is that of an image, rather than of a mask.
    """

    labels: Mapping[str, str] | None = None
    inner: str = "images"
    id_of: Callable[[str], str] = without_suffix
    keep: Callable[[str], bool] = lambda stem: True

    def find(self, root: Path, problems: Problems) -> dict[str, Found[Place]]:
        """Return the images by id; what is wrong with files goes to `problems`."""
        folders = dict(self._folders(root, problems))
        return find_images(root, folders, problems, id_of=self.id_of, keep=self.keep)

    def _folders(self, root: Path, problems: Problems) -> Iterator[tuple[Path, Place]]:
        inside = subfolders(root, problems)
        parts = {name: path for name, path in inside.items() if part_of(name)}
        spelled: dict[str, str] = {}
        if self.labels is not None or not parts:
            yield from self._classes(inside, None, spelled, problems)
        for name, path in sorted(parts.items(), key=lambda item: part_of(item[0]) != "train"):
            yield from self._classes(subfolders(path, problems), part_of(name), spelled, problems)

    def _classes(
        self,
        inside: Mapping[str, Path],
        part: str | None,
        spelled: dict[str, str],
        problems: Problems,
    ) -> Iterator[tuple[Path, Place]]:
        """Yield the folders of classes; one class has one spelling, that of the training part."""
        for name, path in inside.items():
            if self.labels is None:
                no_class = name in MASKS or (name == "mask" and inside.keys() & PICTURES)
                label = None if no_class else spelled.setdefault(name, path.name)
            else:
                label = self.labels.get(name)
            if label is not None:
                yield subfolders(path, problems).get(self.inner, path), Place(label, part)


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
    """Ask whether two names that differ in a letter are one class.

    Raises:
        DataError: If there are any.
    """
    if found := misspelled(labels):
        raise DataError(
            f"classes {found[0]!r} and {found[1]!r} in {where} differ in one letter: rename one, "
            "or `--set similar=keep` if they are two classes"
        )


def samples_of(found: Mapping[str, Found[Place]]) -> tuple[Sample, ...]:
    """Return the images as samples in natural order, with their part where there are parts."""
    return tuple(
        Sample(
            id=id,
            path=found[id].path,
            file=found[id].file,
            label=found[id].meaning.label,
            facts={"part": found[id].meaning.part} if found[id].meaning.part else NO_FACTS,
        )
        for id in sorted(found, key=natural)
    )


def part_columns(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return ("part",) if any image belongs to a part."""
    return ("part",) if any("part" in sample.facts for sample in samples) else ()


def lacking_in_parts(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield a note for each part without images of some class."""
    labels = {sample.label for sample in samples}
    there = Counter((sample.facts.get("part"), sample.label) for sample in samples)
    for part in sorted({str(part) for part, _ in there if part}):
        if absent := sorted(label for label in labels if not there[part, label]):
            yield f"no image of class {', '.join(absent)} in the part {part}"


def present(
    classes: Sequence[str], samples: Sequence[Sample], root: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes that have images, and notes on those that have none, also in a part.

    Raises:
        DataError: If fewer than two have images.
    """
    labels = {sample.label for sample in samples}
    there = tuple(label for label in classes if label in labels)
    absent = ", ".join(label for label in classes if label not in labels)
    if len(there) < 2:
        raise DataError(
            f"images of {there[0] if there else 'no class'} alone in {root}, of which one cannot "
            f"learn to tell anything; add images of {absent or 'another class'}"
        )
    notes = (f"no image of class {absent}",) if absent else ()
    return there, (*notes, *lacking_in_parts(samples))


def list_classes(
    release: Release, request: Request, folders: ClassFolders, classes: Sequence[str] | None
) -> Listing:
    """Return the listing of a set that is class folders and nothing else.

    Args:
        release: Where it is, and what it should hold.
        request: What the user asked for.
        folders: The layout.
        classes: In label order; None for the folders' names in natural order.

    Raises:
        DataError: If the folder is not there or not this set's, or files are at fault.
    """
    root = release.locate(request)
    problems = Problems()
    found = folders.find(root, problems)
    problems.check()
    if not found:
        raise release.refuse(root)
    samples = samples_of(found)
    if classes is None:
        classes = sorted({sample.label for sample in samples}, key=natural)
        if request.options.get("similar") != "keep":
            refuse_misspelled(classes, root)
    there, absent = present(classes, samples, root)
    columns = part_columns(samples)
    return Listing(
        root=root,
        layout=f"a folder for each {'part and ' if columns else ''}class",
        classes=there,
        samples=samples,
        columns=columns,
        notes=absent,
    )
