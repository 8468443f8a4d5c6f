"""Writes the prepared format (`prepared.py` reads it)."""

from __future__ import annotations

import csv
import hashlib
import io
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
import PIL

import sambench
from sambench.data.accounting import Account
from sambench.data.partial import Entry, Partial
from sambench.data.prepared import (
    BLOCK_BYTES,
    FIXED_COLUMNS,
    FORMAT_VERSION,
    IMAGES,
    MANIFEST,
    SAMPLES,
    Manifest,
    fingerprint,
)
from sambench.data.problems import some
from sambench.data.selection import TOGETHER, Drops, Selection
from sambench.data.source import PARTS, Fact, Listing, Sample, Setting, Source
from sambench.files.atomic import replacing, write_json
from sambench.files.definition import build, plain

FIXED = {"part": "of the authors' parts", "fold": "folds"}
"""Facts that say which images train and which test."""


class _Written(Manifest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A manifest that is about to be written: what its definition lacks is refused, not lost."""


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """An image that was left out, and why."""

    id: str
    file: str
    reason: str


def write_prepared(
    folder: Path,
    source: Source,
    listing: Listing,
    selection: Selection,
    partial: Partial,
    account: Account,
    *,
    skipped: Sequence[Skipped],
    drops: Drops,
    options: Mapping[str, Setting],
    listing_sha256: str,
) -> None:
    """Write images, samples and, last, the manifest.

    Args:
        folder: Where to.
        source: The dataset family.
        listing: What the source told.
        selection: The images to write, in order, and those left out by choice.
        partial: Holds their pixels.
        account: What became of every file.
        skipped: What could not be used.
        drops: The choice.
        options: The source's settings.
        listing_sha256: By which the next preparation sees that nothing has changed.

    Raises:
        StoreError: If the disk refuses.
    """
    entries = [entry for _, entry in selection.kept]
    channels = max(entry.channels for entry in entries)
    images = _write_images(folder / IMAGES, entries, partial, channels)
    files = {
        SAMPLES: _write_samples(folder / SAMPLES, selection, listing.columns),
        IMAGES: images.whole.hexdigest(),
    }
    labels = Counter(sample.label for sample, _ in selection.kept)
    recipe = replace(partial.recipe, depth=max(entry.depth for entry in entries))
    paged = options.get("pages") == "all"
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": source.name,
        "image_size": partial.image_size,
        "channels": channels,
        "images": len(entries),
        "classes": listing.classes,
        "counts": {label: labels[label] for label in listing.classes},
        "native": {
            "width": _spread([entry.width for entry in entries]),
            "height": _spread([entry.height for entry in entries]),
        },
        "preprocessing": recipe.in_words,
        "layout": listing.layout,
        "options": dict(options),
        "groups": ["copies", *(f"same {name}" for name in TOGETHER)],
        "reference": source.reference,
        "licence": source.licence,
        "checksums": dict(listing.checksums),
        "notes": [*listing.notes, *notes_on([s for s, _ in selection.kept]), *_depth_note(entries)],
        "account": account.to_dict(),
        "pages": {s.file: e.frames for s, e in selection.kept if e.frames > 1 and not paged},
        "skipped": [asdict(image) for image in skipped],
        "possible_copies": selection.possible,
        "drops": asdict(drops),
        "dropped": [
            {"id": sample.id, "file": sample.file, "label": sample.label, "reason": reason}
            for sample, reason in selection.dropped
        ],
        "written_by": {"sambench": sambench.__version__, "pillow": PIL.__version__},
        "listing": listing_sha256,
        "files": files,
        "image_blocks": images.blocks(),
        "changed": partial.recipe.changed,
        "fingerprint": fingerprint(files[SAMPLES], files[IMAGES], partial.recipe.changed),
    }
    write_json(folder / MANIFEST, plain(build(_Written, manifest, what="the manifest")))


def notes_on(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield the sizes of parts and folds of the images that are kept, and their patients."""
    parts, folds = (Counter(sample.facts.get(fact) for sample in samples) for fact in FIXED)
    if parts.keys() & set(PARTS):
        told = ", ".join(f"{part} ({parts[part]})" for part in PARTS if parts[part])
        yield f"the authors' parts (and images): {told}"
    if known := sorted((fold for fold in folds if fold is not None), key=str):
        told = ", ".join(f"{fold} ({folds[fold]})" for fold in known)
        yield f"{len(known)} folds with these numbers (and images): {told}"
    for fact, name in FIXED.items():
        sides: dict[Fact, set[Fact]] = {}
        for sample in samples:
            if sample.facts.get("patient") is not None:
                sides.setdefault(sample.facts["patient"], set()).add(sample.facts.get(fact))
        torn = [str(patient) for patient, places in sides.items() if len(places) > 1]
        if torn:
            yield f"{len(torn)} of {len(sides):,} patients are in several {name}: {some(torn, 5)}"
    if sides:
        yield f"{len(sides):,} patients or groups"


def _depth_note(entries: Sequence[Entry]) -> list[str]:
    peak, depth = max((entry.peak, entry.depth) for entry in entries)
    if not peak:
        return []
    return [
        f"16-bit images read as {depth} bits of grey, by their brightest pixel, {peak:,}; "
        "another range: `--set depth=BITS`"
    ]


def _write_samples(path: Path, selection: Selection, columns: Sequence[str]) -> str:
    """Write `samples.csv` and return its sha256."""
    with replacing(path) as target:
        lines = _Lines(target)
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow([*FIXED_COLUMNS, *columns])
        for (sample, entry), group in zip(selection.kept, selection.groups, strict=True):
            file = [entry.sha256, entry.size, entry.width, entry.height, entry.mode]
            facts = [sample.facts.get(column) for column in columns]
            writer.writerow([sample.id, sample.file, sample.label, group, *file, *facts])
    return lines.checksum.hexdigest()


class _Lines:
    """Takes text, writes its bytes to a file and counts them into a checksum."""

    def __init__(self, file: IO[bytes]) -> None:
        self.checksum = hashlib.sha256()
        self._file = file

    def write(self, text: str) -> None:
        data = text.encode()
        self.checksum.update(data)
        self._file.write(data)


def _write_images(
    path: Path, entries: Sequence[Entry], partial: Partial, channels: int
) -> _Checksums:
    """Write `images.npy` and return its checksums."""
    shape = (partial.image_size, partial.image_size, channels)
    header = io.BytesIO()
    description = {"descr": "|u1", "fortran_order": False, "shape": (len(entries), *shape)}
    np.lib.format.write_array_header_1_0(header, description)
    checksums = _Checksums()
    checksums.update(header.getvalue())
    with replacing(path) as file:
        file.write(header.getvalue())
        for entry in entries:
            pixels = np.broadcast_to(partial.read(entry), shape).tobytes()
            checksums.update(pixels)
            file.write(pixels)
    return checksums


class _Checksums:
    """sha256 of a file that is written in pieces: of the whole, and of each block."""

    def __init__(self) -> None:
        self.whole = hashlib.sha256()
        self._full: list[str] = []
        self._block = hashlib.sha256()
        self._room = BLOCK_BYTES

    def update(self, piece: bytes) -> None:
        """Take the next piece of the file."""
        self.whole.update(piece)
        rest = memoryview(piece)
        while rest:
            part, rest = rest[: self._room], rest[self._room :]
            self._block.update(part)
            self._room -= len(part)
            if not self._room:
                self._full.append(self._block.hexdigest())
                self._block, self._room = hashlib.sha256(), BLOCK_BYTES

    def blocks(self) -> list[str]:
        """Return the checksum of each block, the last of which may be shorter."""
        last = [self._block.hexdigest()] if self._room < BLOCK_BYTES else []
        return [*self._full, *last]


def _spread(values: Sequence[int]) -> dict[str, int]:
    return {"min": min(values), "median": statistics.median_low(values), "max": max(values)}
