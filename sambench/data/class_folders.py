"""Reads datasets whose folders are classes: `<class>/` or `<part>/<class>/`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sambench.data.folders import Found, find_images, natural, subfolders, without_suffix
from sambench.data.locating import Release
from sambench.data.problems import Problems
from sambench.data.source import PARTS, Listing, Request, Sample
from sambench.errors import DataError

PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What folders of the parts are called, in lower case."""


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
        parts = {name: path for name, path in inside.items() if name in PART_NAMES}
        yield from self._classes(inside, parts, None, problems)
        for name, path in parts.items():
            yield from self._classes(subfolders(path, problems), {}, PART_NAMES[name], problems)

    def _classes(
        self,
        inside: Mapping[str, Path],
        parts: Mapping[str, Path],
        part: str | None,
        problems: Problems,
    ) -> Iterator[tuple[Path, Place]]:
        for name, path in inside.items():
            label = path.name if self.labels is None else self.labels.get(name)
            if label is not None and not (self.labels is None and parts):
                yield subfolders(path, problems).get(self.inner, path), Place(label, part)


def samples_of(found: Mapping[str, Found[Place]]) -> tuple[Sample, ...]:
    """Return the images as samples in natural order, with their part where there are parts."""
    return tuple(
        Sample(
            id=id,
            path=found[id].path,
            file=found[id].file,
            label=found[id].meaning.label,
            facts={"part": found[id].meaning.part} if found[id].meaning.part else {},
        )
        for id in sorted(found, key=natural)
    )


def part_columns(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return ("part",) if any image belongs to a part."""
    return ("part",) if any("part" in sample.facts for sample in samples) else ()


def part_notes(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield the sizes of the authors' parts, if there are any."""
    sizes = Counter(sample.facts.get("part") for sample in samples)
    if any(part in sizes for part in PARTS):
        told = ", ".join(f"{part} ({sizes[part]})" for part in PARTS if sizes[part])
        yield f"the authors' parts (and images): {told}"


def present(
    classes: Sequence[str], samples: Sequence[Sample], root: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes that have images, and a note on those that have none.

    Raises:
        DataError: If fewer than two have images.
    """
    labels = {sample.label for sample in samples}
    there = tuple(label for label in classes if label in labels)
    absent = tuple(label for label in classes if label not in labels)
    if len(there) < 2:
        raise DataError(
            f"images of {there[0] if there else 'no class'} alone in {root}, of which one cannot "
            f"learn to tell anything; add images of {', '.join(absent) or 'another class'}"
        )
    return there, (f"no image of class {', '.join(absent)}",) if absent else ()


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
    there, absent = present(classes, samples, root)
    columns = part_columns(samples)
    return Listing(
        root=root,
        layout=f"a folder for each {'part and ' if columns else ''}class",
        classes=there,
        samples=samples,
        columns=columns,
        notes=(*absent, *part_notes(samples)),
    )
