"""Writes the prepared format (`prepared.py` reads it)."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL

import sambench
from sambench.data.accounting import Account
from sambench.data.manifest import (
    BLOCK_BYTES,
    FORMAT_VERSION,
    IMAGES,
    MANIFEST,
    SAMPLES,
    LeftOut,
    Manifest,
    fingerprint,
)
from sambench.data.partial import Entry, Partial
from sambench.data.prepared import FIXED_COLUMNS
from sambench.data.problems import some
from sambench.data.selection import TOGETHER, Selection
from sambench.data.source import PARTS, Fact, Listing, Sample, Source
from sambench.files.atomic import replacing, write_json
from sambench.files.checksums import sha256_of
from sambench.files.definition import build, plain

FIXED = {"part": "of the authors' parts", "fold": "folds"}
"""Facts that say which images train and which test."""


class _Written(Manifest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A manifest that is about to be written: what its definition lacks is refused, not lost."""


def write_prepared(
    folder: Path,
    source: Source,
    listing: Listing,
    selection: Selection,
    partial: Partial,
    account: Account,
    skipped: Sequence[LeftOut],
    asked: Mapping[str, Any],
) -> None:
    """Write the images and samples that were selected and, last, the manifest.

    `asked` is what the manifest keeps of the request: its drops, options and listing.
    """
    samples = [sample for sample, _ in selection.kept]
    entries = [entry for _, entry in selection.kept]
    channels = max(entry.channels for entry in entries)
    images, blocks = _write_images(folder / IMAGES, entries, partial, channels)
    files = {SAMPLES: _write_samples(folder / SAMPLES, selection, listing.columns), IMAGES: images}
    labels = Counter(sample.label for sample in samples)
    recipe = replace(partial.recipe, depth=max(entry.depth for entry in entries))
    peak, depth = max((entry.peak, entry.depth) for entry in entries)
    deep = (
        f"16-bit images read as {depth} bits of grey, by their brightest pixel, {peak:,}; "
        "another range: `--set depth=BITS`"
    )
    paged = asked["options"].get("pages") == "all"
    sides = [sorted(side) for side in ([e.width for e in entries], [e.height for e in entries])]
    spans = [(side[0], side[(len(side) - 1) // 2], side[-1]) for side in sides]
    width, height = (dict(zip(("min", "median", "max"), span, strict=True)) for span in spans)
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": source.name,
        "image_size": partial.image_size,
        "channels": channels,
        "images": len(entries),
        "classes": listing.classes,
        "counts": {label: labels[label] for label in listing.classes},
        "native": {"width": width, "height": height},
        "preprocessing": recipe.in_words,
        "layout": listing.layout,
        "options": asked["options"],
        "groups": ["copies", *(f"same {name}" for name in TOGETHER)],
        "reference": source.reference,
        "licence": source.licence,
        "checksums": dict(listing.checksums),
        "notes": [*listing.notes, *notes_on(samples), *([deep] if peak else [])],
        "account": account.to_dict(),
        "pages": {s.file: e.frames for s, e in selection.kept if e.frames > 1 and not paged},
        "skipped": [plain(image) for image in skipped],
        "possible_copies": selection.possible,
        "drops": asked["drops"],
        "dropped": [
            {"id": one.id, "file": one.file, "label": one.label, "reason": reason}
            for one, reason in selection.dropped
        ],
        "written_by": {"sambench": sambench.__version__, "pillow": PIL.__version__},
        "listing": asked["listing"],
        "files": files,
        "image_blocks": blocks,
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


def _write_samples(path: Path, selection: Selection, columns: Sequence[str]) -> str:
    """Write `samples.csv` and return its sha256."""
    checksum, line = hashlib.sha256(), io.StringIO(newline="")
    writer = csv.writer(line, lineterminator="\n")
    with replacing(path) as file:

        def write(*cells: Fact) -> None:
            writer.writerow(cells)
            data = line.getvalue().encode()
            line.seek(0)
            line.truncate()
            checksum.update(data)
            file.write(data)

        write(*FIXED_COLUMNS, *columns)
        for (sample, entry), group in zip(selection.kept, selection.groups, strict=True):
            of_file = (entry.sha256, entry.size, entry.width, entry.height, entry.mode)
            facts = (sample.facts.get(column) for column in columns)
            write(sample.id, sample.file, sample.label, group, *of_file, *facts)
    return checksum.hexdigest()


def _write_images(
    path: Path, entries: Sequence[Entry], partial: Partial, channels: int
) -> tuple[str, list[str]]:
    """Write `images.npy`; return the sha256 of the whole and of each block."""
    shape = (partial.image_size, partial.image_size, channels)
    header = io.BytesIO()
    description = {"descr": "|u1", "fortran_order": False, "shape": (len(entries), *shape)}
    np.lib.format.write_array_header_1_0(header, description)
    whole, blocks, rest = hashlib.sha256(), [], bytearray(header.getvalue())
    with replacing(path) as file:
        file.write(rest)
        for entry in entries:
            pixels = np.broadcast_to(partial.read(entry), shape).tobytes()
            file.write(pixels)
            rest += pixels
            while len(rest) >= BLOCK_BYTES:
                block = bytes(rest[:BLOCK_BYTES])
                del rest[:BLOCK_BYTES]
                whole.update(block)
                blocks.append(sha256_of(block))
    whole.update(rest)
    return whole.hexdigest(), [*blocks, *([sha256_of(bytes(rest))] if rest else [])]
