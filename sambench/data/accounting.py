"""Accounts for every file: files found = images + tables + files named with the reason.

The count of files is taken from the disk, not from what a source looked at, so nothing that a
source passes over can go missing without a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from sambench.data.folders import SUFFIXES, printable
from sambench.data.problems import some
from sambench.data.source import Listing, Sample
from sambench.files.definition import Count, Section, about, plain

MOST_GROUPS = 8


class Account(Section, frozen=True, kw_only=True):
    """What became of the files below a folder; names are relative to it."""

    found: Annotated[Count, about("Files there are, or images in an archive.")]
    images: Annotated[Count, about("Files that are images of the dataset.")]
    tables: Annotated[tuple[str, ...], about("Files that told labels or other facts.")] = ()
    passed: Annotated[
        dict[str, list[str]],
        about('Files that are not read, by the reason: "hidden", ".gif", "in benign/more/".'),
    ]
    empty: Annotated[tuple[str, ...], about("Folders without any file.")] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return plain(self)


def take_stock(listing: Listing, top: Path) -> Account:
    """Account for all files below a folder, that of the listing or one around it."""
    if any(sample.pixels is not None for sample in listing.samples):
        return Account(found=len(listing.samples), images=len(listing.samples), passed={})
    root, base = listing.root.absolute(), str(top.absolute())
    images = {str(sample.path.absolute()) for sample in listing.samples}
    said = {str(root / file): reason for file, reason in listing.passed.items()}
    folders = {path.rpartition("/")[0] for path in (*images, *said)}
    empty: list[str] = []
    tables: list[str] = []
    passed: dict[str, list[str]] = {}
    found = len(images)
    for path in _walk(base, empty):
        if path in images:
            continue
        found += 1
        file = Path(path.removeprefix(f"{base}/"))
        if file.name in listing.checksums:
            tables.append(printable(str(file)))
            continue
        unlisted = listing.unlisted if path.rpartition("/")[0] in folders else ""
        reason = said.get(path) or _reason(file, unlisted)
        passed.setdefault(reason, []).append(printable(str(file)))
    commonest = sorted(passed.items(), key=lambda item: (-len(item[1]), item[0]))
    return Account(
        found=found,
        images=len(images),
        tables=tuple(sorted(tables)),
        passed={reason: sorted(files) for reason, files in commonest},
        empty=tuple(sorted(f"{printable(path.removeprefix(f'{base}/'))}/" for path in empty)),
    )


def _walk(folder: str, empty: list[str]) -> Iterator[str]:
    """Yield all files below a folder, each link to a folder once; tell folders without any."""
    seen: set[Path] = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = Path(here).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        if not folders and not files and here != folder:
            empty.append(here)
        yield from (f"{here}/{file}" for file in files)


def _reason(file: Path, unlisted: str) -> str:
    if any(part.startswith(".") or part == "__MACOSX" for part in file.parts):
        return "hidden"
    if file.suffix.lower() not in SUFFIXES:
        return printable(file.suffix.lower()) or "without suffix"
    folder = file.parent.as_posix()
    return unlisted or ("beside the folders" if folder == "." else f"in {printable(folder)}/")


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
    files = "1 file" if len(frames) == 1 else f"{len(frames)} files"
    where = some(sorted(frames), limit=3)
    return f"{more} pages after the first of {files} ({where})" if more else None


def names_that_cannot_be_kept(samples: Sequence[Sample]) -> list[str]:
    """Return names of files, classes or facts with line breaks or bytes that are no UTF-8."""
    texts = (text for one in samples for text in (one.file, one.id, one.label, *one.facts.values()))
    strange = (text for text in texts if isinstance(text, str) and printable(text) != text)
    return sorted(set(map(printable, strange)))
