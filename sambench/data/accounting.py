"""Accounts for every file: files found = images + tables + files named with the reason.

The count of files is taken from the disk, not from what a source looked at, so nothing that a
source passes over can go missing without a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sambench.data.folders import SUFFIXES, printable
from sambench.data.problems import some
from sambench.data.source import Listing, Sample

MOST_GROUPS = 8
HIDDEN = "hidden"


@dataclass(frozen=True, kw_only=True)
class Account:
    """What became of the files below a folder; names are relative to it.

    Attributes:
        found: Files there are, or images in an archive.
        images: Files that are images of the dataset.
        tables: Files that told labels or other facts.
        passed: Files that are not read, by the reason: "hidden", ".gif", "in benign/more/".
        empty: Folders without any file.
    """

    found: int
    images: int
    tables: tuple[str, ...] = ()
    passed: Mapping[str, Sequence[str]]
    empty: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def take_stock(listing: Listing, top: Path) -> Account:
    """Account for all files below a folder.

    Args:
        listing: What a source made of them.
        top: The folder; that of the listing, or one around it.
    """
    if any(sample.pixels is not None for sample in listing.samples):
        return Account(found=len(listing.samples), images=len(listing.samples), passed={})
    root, base = listing.root.absolute(), top.absolute()
    images = {sample.path.absolute() for sample in listing.samples}
    said = {root / file: reason for file, reason in listing.passed.items()}
    empty: list[Path] = []
    files = {*_walk(base, empty), *images}
    tables = {path for path in files - images if path.name in listing.checksums}
    folders = {path.parent for path in (*images, *said)}
    passed: dict[str, list[str]] = {}
    for path in sorted(files - images - tables):
        file = path.relative_to(base)
        unlisted = listing.unlisted if path.parent in folders else ""
        reason = said.get(path) or _reason(file, unlisted)
        passed.setdefault(reason, []).append(printable(str(file)))
    return Account(
        found=len(files),
        images=len(images),
        tables=tuple(printable(str(path.relative_to(base))) for path in sorted(tables)),
        passed=dict(sorted(passed.items(), key=lambda item: (-len(item[1]), item[0]))),
        empty=tuple(f"{printable(str(path.relative_to(base)))}/" for path in sorted(empty)),
    )


def sentences(account: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was passed over in a line or two, from the form that a manifest keeps."""
    groups = [f"{len(files):,} {reason}" for reason, files in account["passed"].items()]
    if groups:
        yield f"passed over: {some(groups, limit=MOST_GROUPS)}"
    if account["empty"]:
        yield f"empty folders: {some(account['empty'], limit=MOST_GROUPS)}"


def grouped_reasons(images: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield one line for each kind of reason for which images were left out."""
    kinds: dict[str, list[str]] = {}
    for image in images:
        kind = image["reason"].partition(":")[0]
        kinds.setdefault(kind, []).append(image["file"] or image["id"])
    for kind, names in sorted(kinds.items(), key=lambda item: -len(item[1])):
        yield f"left out, {kind}: {len(names):,} ({some(names, limit=3)})"


def pages_passed(frames: Mapping[str, int]) -> str | None:
    """Return a phrase on the pages that were not read, by the number of pages of each file."""
    more = sum(frames.values()) - len(frames)
    if not more:
        return None
    files = "1 file" if len(frames) == 1 else f"{len(frames)} files"
    return f"{more} pages after the first of {files} ({some(sorted(frames), limit=3)})"


def names_that_cannot_be_kept(samples: Sequence[Sample]) -> list[str]:
    """Return names of files, classes or facts with line breaks or bytes that are no UTF-8."""
    return sorted(
        {
            printable(text)
            for sample in samples
            for text in (sample.file, sample.id, sample.label, *sample.facts.values())
            if isinstance(text, str) and printable(text) != text
        }
    )


def _walk(folder: Path, empty: list[Path]) -> Iterator[Path]:
    """Yield all files below a folder, each link to a folder once; tell folders without any."""
    seen: set[Path] = set()
    for name, folders, files in os.walk(folder, followlinks=True):
        here = Path(name)
        if here.resolve() in seen:
            folders.clear()
            continue
        seen.add(here.resolve())
        folders.sort()
        if not folders and not files and here != folder:
            empty.append(here)
        yield from (here / file for file in files)


def _reason(file: Path, unlisted: str) -> str:
    if any(part.startswith(".") or part == "__MACOSX" for part in file.parts):
        return HIDDEN
    if file.suffix.lower() not in SUFFIXES:
        return printable(file.suffix.lower()) or "without suffix"
    if unlisted:
        return unlisted
    folder = file.parent.as_posix()
    return "beside the folders" if folder == "." else f"in {printable(folder)}/"
