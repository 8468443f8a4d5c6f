"""Finds the image files in the folders of a dataset, without ever leaving its root."""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from operator import attrgetter
from pathlib import Path

from sambench.data.source import NO_FACTS, Fact, Sample
from sambench.errors import Problems, some, visible

DICOM = frozenset({".dcm", ".dicom"})
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}) | DICOM
MOST_FOLDERS, MOST_WALKED = 8, 200  # that are named, and of each the folders that are looked into
NONE = "$^"  # the pattern that matches no name

PART_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What the parts are called, in lower case and without "_set" behind."""

Meaning = tuple[str, Mapping[str, Fact]]  # the class and facts that a folder gives to its images
UNTOLD: Meaning = ("", NO_FACTS)


def same_coding(name: str) -> str:
    """Return a name in one coding of accents; systems write them into names of files in two."""
    return unicodedata.normalize("NFC", name)


def same_name(name: str) -> str:
    """Return a name without what makes no other name: case, blanks around it, coding of accents.

    Nor do letters without a picture, such as a blank of no width.

    >>> same_name("B\u00f6sartig ") == same_name("bo\u0308sartig\u200b")
    True
    """
    seen = name if name.isascii() else re.sub(r"[\xad\u200b-\u200f\u2060\ufeff]", "", name)
    return same_coding(seen).strip().casefold()


def unseparated(name: str) -> str:
    """Return a name without separators of words, but of two numbers, and zeros that mean nothing.

    >>> unseparated("P-007"), unseparated("p7.0"), unseparated("1-23")
    ('p7', 'p7', '1 23')
    """
    name = re.sub(r"(?<!\d)0+(?=\d)|(?<=\d)[.,]0+$", "", same_name(name))
    name = re.sub(r"(?<=[^\W_])[\s_.-]+(?=[^\W_])", " ", name)
    return re.sub(r"(?<!\d) | (?!\d)", "", name)


def find_images(
    root: Path,
    folders: Mapping[Path, Meaning],
    problems: Problems,
    *,
    id_of: Callable[[Path], str] = attrgetter("stem"),
    masks: str = NONE,
) -> dict[str, Sample]:
    """Return the image files directly in the given folders, by id.

    Hidden files and other kinds are passed over; links that lead out of the root or in a circle
    and ids that occur twice become problems. `id_of` gets a file relative to the root, whose name
    without suffix is its id otherwise; `masks` is a pattern of such names that are no images.
    """
    images: dict[str, Sample] = {}
    inside = root.resolve()
    for folder, (label, facts) in folders.items():
        outside = not folder.resolve().is_relative_to(inside)
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path = folder / entry.name
            if not _may_be_image(path) or re.search(masks, path.stem):
                continue
            below, link = path.relative_to(root), entry.is_symlink()
            id, file = id_of(below), below.as_posix()
            if link and is_circle(path):
                problems.add(f"links in {root} that lead in a circle", file, "remove them")
            elif outside or (link and not path.resolve().is_relative_to(inside)):
                problems.add(f"links that lead out of {root}", file, "replace by the files")
            elif id in images:
                thing = f"{id} ({images[id].file} and {file})"
                problems.add(f"ids with two image files in {root}", thing, "keep one of each")
            else:
                images[id] = Sample(id=id, path=path, file=file, label=label, facts=facts)
    return images


def part_of(name: str) -> str | None:
    """Return the part that a folder or a cell of a table names, or None.

    >>> part_of("Training_set"), part_of("val"), part_of("benign")
    ('train', 'validation', None)
    """
    return PART_NAMES.get(re.sub(r"[ _-]?(set|data|images)$", "", name.strip().casefold()))


def find_files(root: Path, *, deep: bool = False) -> Iterator[Path]:
    """Yield the image files in a folder, or anywhere below it, whatever their state."""
    found = root.rglob("*") if deep else root.iterdir()
    return (path for path in found if _may_be_image(path) and path.is_file())


def _may_be_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def subfolders(root: Path, problems: Problems | None = None) -> dict[str, Path]:
    """Return the folders in `root` by their `same_name`, without hidden ones.

    A link back to the folder or one above it, and two folders of the same name, become problems.
    Names like an image's are passed over.
    """
    problems = Problems() if problems is None else problems
    found: dict[str, Path] = {}
    here = root.resolve()
    for path in sorted(root.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            continue
        if is_circle(path) or (path.is_symlink() and here.is_relative_to(path.resolve())):
            problems.add(f"links in {root} that lead in a circle", path.name, "remove them")
        elif path.is_dir() and not path.name.startswith("."):
            name = same_name(path.name)
            if name in found:
                kind = f"folders in {root} that differ in case, blanks or coding alone"
                problems.add(kind, f"{found[name].name}/ and {path.name}/", "merge them")
            found.setdefault(name, path)
    return found


def is_circle(path: Path) -> bool:
    """Whether a link leads to itself, directly or through others."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def image_id(name: str) -> str:
    """Return a file name without its suffix, if the suffix is that of an image."""
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in SUFFIXES else name


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sort key that puts "benign(2)" before "benign(10)"."""
    parts = re.split(r"(\d+)", name)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


def printable(name: str) -> str:
    """Return a name with characters that nobody sees, and bytes that are no UTF-8, as escapes."""
    text = visible(name.encode("utf-8", "backslashreplace").decode())
    return text.replace("\n", r"\n").replace("\t", r"\t")


def describe(root: Path) -> str:
    """Return what is in a folder for a message: names, two levels deep, and counts."""
    shown: list[str] = []
    beside: Counter[str] = Counter()
    for path in sorted(root.iterdir()):
        if path.name.startswith(".") or path.name == "__MACOSX":
            continue
        if path.is_dir():
            shown.append(f"{printable(path.name)}/ ({_inside(path) or 'empty'})")
        else:
            beside[path.suffix.lower() or "without suffix"] += 1
    shown += [f"{count:,} {suffix}" for suffix, count in beside.most_common(4)]
    return some(shown, limit=MOST_FOLDERS) or "nothing"


def _inside(folder: Path) -> str:
    walked = list(islice(os.walk(folder), MOST_WALKED))
    names = [f"{name}/" for name in sorted(walked[0][1]) if name[0] != "."] if walked else []
    files = (Path(file) for _, _, found in walked for file in found if file[0] != ".")
    kinds = Counter(file.suffix.lower() or "without suffix" for file in files)
    what = [", ".join(names) if len(names) <= 3 else f"{len(names)} folders"] if names else []
    return ", ".join([*what, *(f"{count:,} {kind}" for kind, count in kinds.most_common())])
