"""Decodes the images of a listing in threads, and keeps them so that a cut preparation continues.

Each image has its place in `images.npy` from the start, and, once it has reached the disk, a record
beside it: whatever has a record can be trusted, also after a power cut. Pillow releases the
interpreter lock while it decodes and resizes, so threads are as fast as processes and cost nothing
to start (`benchmarks/prepare.py` measures it).
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from sambench.data.decoding import Recipe, UnreadableError, bits_for, decode, shrink
from sambench.data.manifest import IMAGES, LeftOut
from sambench.data.source import Listing, Progress, Sample
from sambench.files.arrays import Pixels, new_pixels
from sambench.files.atomic import store_errors

CHUNK = 4096  # images handed to the threads at once: each takes a kilobyte while it waits
COMMIT_EVERY = 128

RECORD = np.dtype(
    [
        ("size", "i8"),  # bytes of the file
        ("channels", "u1"),  # 1 or 3; 0 where no image is decoded
        ("sha256", "S64"),  # this and what follows: as in `Decoded`
        ("width", "i4"),
        ("height", "i4"),
        ("mode", "S16"),
        ("frames", "i4"),
        ("peak", "i4"),
        ("depth", "u1"),  # bits by which a deep image was scaled, else 0
        ("room", "V22"),  # to 128 bytes, which lie in one sector of a disk: whole or not there
    ]
)
"""What is known of one image that is decoded."""


class Partial:
    """The decoded images of one listing; several threads may fill places at once.

    Places are for grey images until the first one in colour is met, which makes all three times as
    large. What writes raises `StoreError` where the disk refuses.
    """

    def __init__(self, work: Path, key: str, number: int, image_size: int, recipe: Recipe) -> None:
        """Open what a cut preparation of the same `key` (images and recipe) left, or begin."""
        self.folder = work / key  # where `images.npy` is, and nothing else
        self.recipe = recipe
        self._kept = work / "records"
        self._root = work.parent  # what is named where the disk refuses
        self._filling = Lock()
        with store_errors(self._root):
            if not (self.folder.exists() and self._kept.exists()):
                shutil.rmtree(work, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            for cut in work.glob("*/.*.tmp"):  # by a kill in the middle of a write
                cut.unlink()
            self._kept.touch()
            kept = self._kept.read_bytes().ljust(number * RECORD.itemsize, b"\0")
        self.records = np.frombuffer(bytearray(kept), RECORD, number)
        if (self.folder / IMAGES).exists():
            self.images: Pixels = np.load(self.folder / IMAGES, mmap_mode="r+")
        else:
            with new_pixels(self.folder / IMAGES, (number, image_size, image_size, 1)) as places:
                self.images = places

    def decode(self, sample: Sample, position: int, recipe: Recipe) -> int | None:
        """Decode an image into its place, or return its peak if the depth must be known first.

        `UnreadableError` if it cannot be used.
        """
        size = self.images.shape[1]
        if sample.pixels is None:
            image = decode(sample.path, size, recipe, sample.page)
        else:
            image = shrink(sample.pixels, size, recipe)
        if isinstance(image, int):
            return image
        record = self.records[position]
        for name in ("sha256", "width", "height", "mode", "frames", "peak"):
            record[name] = getattr(image, name)
        record["depth"] = recipe.depth if image.peak else 0
        channels = image.pixels.shape[-1]
        with self._filling:
            if channels > self.images.shape[-1]:
                with new_pixels(self.folder / IMAGES, (*self.images.shape[:3], 3)) as places:
                    for filled in np.flatnonzero(self.records["channels"]):
                        places[filled] = self.images[filled]
                self.images = places
            self.images[position] = image.pixels
            record["channels"] = channels
        return None

    def commit(self, filled: list[int]) -> None:
        """Bring the pixels of the places that are filled, then their records, to the disk."""
        with store_errors(self._root), self._kept.open("r+b") as file:
            self.images.flush()
            for position in filled:
                at = position * RECORD.itemsize
                os.pwrite(file.fileno(), self.records[position].tobytes(), at)
            os.fsync(file.fileno())
        filled.clear()


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_all(
    listing: Listing, partial: Partial, workers: int | None, on_progress: Progress
) -> list[LeftOut]:
    """Decode what has no record yet; return the images that cannot be used.

    Deep images are decoded once all have told their peaks, from which their depth follows.
    `on_progress` is called with (done, total, file) after each image.
    """
    samples, records = listing.samples, partial.records
    reasons: dict[int, str] = {}
    peaks: dict[int, int] = {}
    filled: list[int] = []

    def decode_these(positions: Sequence[int], recipe: Recipe) -> None:
        done = len(samples) - len(positions)
        for start in range(0, len(positions), CHUNK):
            chunk = positions[start : start + CHUNK]
            work = {pool.submit(partial.decode, samples[i], i, recipe): i for i in chunk}
            for future in as_completed(work):
                position = work[future]
                try:
                    if (peak := future.result()) is not None:
                        peaks[position] = peak
                        continue
                    filled.append(position)
                    if len(filled) >= COMMIT_EVERY:
                        partial.commit(filled)
                except UnreadableError as error:
                    reasons[position] = str(error)
                done += 1
                on_progress(done, len(samples), samples[position].file)

    with warnings.catch_warnings(), ThreadPoolExecutor(workers or default_workers()) as pool:
        # `decode` refuses large images with a reason
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            decode_these(np.flatnonzero(records["channels"] == 0).tolist(), partial.recipe)
            peak = max([*peaks.values(), int(records["peak"].max(initial=0))])
            decode_these(sorted(peaks), replace(partial.recipe, depth=bits_for(peak)))
        finally:
            pool.shutdown(cancel_futures=True)
            partial.commit(filled)
    unusable = ((samples[position], reason) for position, reason in sorted(reasons.items()))
    return [LeftOut(id=one.id, file=one.file, reason=reason) for one, reason in unusable]
