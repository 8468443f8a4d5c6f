"""Writes the prepared format (`prepared.py` reads it)."""

from __future__ import annotations

import csv
import hashlib
import io
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import PIL

import sambench
from sambench.atomic import replacing, write_bytes, write_json
from sambench.data.decoding import PREPROCESSING
from sambench.data.groups import connected
from sambench.data.partial import Entry, Partial
from sambench.data.prepared import (
    FIXED_COLUMNS,
    FORMAT_VERSION,
    IMAGES,
    MANIFEST,
    SAMPLES,
    fingerprint,
)
from sambench.data.source import Fact, Listing, Sample, Setting, Source

TOGETHER = ("patient",)
"""Facts whose equal values keep images in one group."""


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
    decoded: Sequence[tuple[Sample, Entry]],
    partial: Partial,
    *,
    skipped: Sequence[Skipped],
    options: Mapping[str, Setting],
    listing_sha256: str,
) -> None:
    """Write images, samples and, last, the manifest.

    Args:
        folder: Where to.
        source: The dataset family.
        listing: What the source told.
        decoded: The images to write, in order.
        partial: Holds their pixels.
        skipped: What was left out.
        options: The source's settings.
        listing_sha256: By which the next preparation sees that nothing has changed.

    Raises:
        StoreError: If the disk refuses.
    """
    entries = [entry for _, entry in decoded]
    channels = max(entry.channels for entry in entries)
    files = {
        SAMPLES: _write_samples(folder / SAMPLES, decoded, listing),
        IMAGES: _write_images(folder / IMAGES, entries, partial, channels),
    }
    labels = Counter(sample.label for sample, _ in decoded)
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
        "preprocessing": PREPROCESSING,
        "layout": listing.layout,
        "options": dict(options),
        "groups": ["identical files", *(f"same {name}" for name in TOGETHER)],
        "reference": source.reference,
        "licence": source.licence,
        "checksums": dict(listing.checksums),
        "notes": listing.notes,
        "skipped": [asdict(image) for image in skipped],
        "written_by": {"sambench": sambench.__version__, "pillow": PIL.__version__},
        "listing": listing_sha256,
        "files": files,
        "fingerprint": fingerprint(files[SAMPLES], files[IMAGES]),
    }
    write_json(folder / MANIFEST, manifest)


def _write_samples(path: Path, decoded: Sequence[tuple[Sample, Entry]], listing: Listing) -> str:
    """Write `samples.csv` and return its sha256; a group is called after its first image."""
    first = connected([_belongs_to(sample, entry) for sample, entry in decoded])
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIXED_COLUMNS, *listing.columns])
    for (sample, entry), group in zip(decoded, first, strict=True):
        facts = [sample.facts.get(column) for column in listing.columns]
        writer.writerow(
            [sample.id, sample.file, sample.label, decoded[group][0].id, entry.sha256, *facts]
        )
    data = text.getvalue().encode()
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def _belongs_to(sample: Sample, entry: Entry) -> Iterator[tuple[str, Fact]]:
    """Yield what keeps an image together with others: its bytes, its patient."""
    yield ("sha256", entry.sha256)
    for name in TOGETHER:
        if sample.facts.get(name) is not None:
            yield (name, sample.facts[name])


def _write_images(path: Path, entries: Sequence[Entry], partial: Partial, channels: int) -> str:
    """Write `images.npy` and return its sha256."""
    shape = (partial.image_size, partial.image_size, channels)
    header = io.BytesIO()
    description = {"descr": "|u1", "fortran_order": False, "shape": (len(entries), *shape)}
    np.lib.format.write_array_header_1_0(header, description)
    checksum = hashlib.sha256(header.getbuffer())
    with replacing(path) as file:
        file.write(header.getbuffer())
        for entry in entries:
            pixels = np.broadcast_to(partial.read(entry), shape).tobytes()
            checksum.update(pixels)
            file.write(pixels)
    return checksum.hexdigest()


def _spread(values: Sequence[int]) -> dict[str, int]:
    return {"min": min(values), "median": statistics.median_low(values), "max": max(values)}
