"""Decodes the images of a listing in threads, and keeps them so that a cut preparation continues.

Each image has its place in a file of pixels and, once they have reached the disk, a record in
another: whatever has a record can be trusted, also after a power cut. Pillow releases the
interpreter lock while it decodes and resizes, so threads are as fast as processes and cost nothing
to start (`benchmarks/prepare.py` measures it).
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sambench.data.decoding import Deep, Recipe, UnreadableError, bits_for, decode, shrink
from sambench.data.source import Listing, Progress, Sample
from sambench.errors import DataError
from sambench.files.atomic import store_errors

CHUNK = 4096  # images handed to the threads at once: each takes a kilobyte while it waits
COMMIT_EVERY = 128

RECORD = np.dtype(
    [
        ("size", "i8"),  # bytes of the file
        ("channels", "u1"),  # 1 or 3; a grey image fills the first third of its place
        ("sha256", "S64"),  # this and what follows: as in `Decoded`
        ("width", "i4"),
        ("height", "i4"),
        ("mode", "S16"),
        ("frames", "i4"),
        ("peak", "i4"),
        ("depth", "u1"),  # bits by which a deep image was scaled, else 0
        ("room", "V21"),  # to 128 bytes, which lie in one sector of a disk: whole or not there
        ("done", "?"),
    ]
)
"""What is known of one image that is decoded."""


class Partial:
    """The decoded images of one listing; several threads may fill places at once.

    What writes raises `StoreError` where the disk refuses.
    """

    def __init__(
        self, folder: Path, number: int, image_size: int, recipe: Recipe, files: ExitStack
    ) -> None:
        self.root = folder.parents[1]  # what is named where the disk refuses
        self.image_size = image_size
        self.recipe = recipe
        self._place_bytes = 3 * image_size**2
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("pixels", "records"):
            (folder / name).touch()
        self._pixels = files.enter_context((folder / "pixels").open("r+b"))
        self._kept = files.enter_context((folder / "records").open("r+b"))
        kept = self._kept.read().ljust(number * RECORD.itemsize, b"\0")
        self.records = np.frombuffer(bytearray(kept), RECORD, number)
        self._pending: list[int] = []

    def decode(self, sample: Sample, position: int, recipe: Recipe) -> Deep | str | None:
        """Decode an image into its place; return the reason if it cannot be used."""
        try:
            if sample.pixels is None:
                image = decode(sample.path, self.image_size, recipe, sample.page)
            else:
                image = shrink(sample.pixels, self.image_size, recipe)
        except UnreadableError as error:
            return str(error)
        if isinstance(image, Deep):
            return image
        record = self.records[position]
        for name in ("sha256", "width", "height", "mode", "frames", "peak"):
            record[name] = getattr(image, name)
        record["channels"] = image.pixels.shape[-1]
        record["depth"] = recipe.depth if image.peak else 0
        rest, at = memoryview(image.pixels.tobytes()), position * self._place_bytes
        with store_errors(self.root):
            while rest:
                written = os.pwrite(self._pixels.fileno(), rest, at)
                rest, at = rest[written:], at + written
        return None

    def read(self, position: int) -> NDArray[np.uint8]:
        """Return an image as (size, size, C)."""
        shape = (self.image_size, self.image_size, int(self.records["channels"][position]))
        with store_errors(self.root):
            at = position * self._place_bytes
            data = os.pread(self._pixels.fileno(), int(np.prod(shape)), at)
        return np.frombuffer(data, np.uint8).reshape(shape)

    def add(self, position: int) -> None:
        """Note that a place is filled; its record reaches the disk with the next commit."""
        self.records["done"][position] = True
        self._pending.append(position)
        if len(self._pending) >= COMMIT_EVERY:
            self.commit()

    def commit(self) -> None:
        """Bring the pixels, then their records, to the disk."""
        with store_errors(self.root):
            os.fsync(self._pixels.fileno())
            for position in self._pending:
                at = position * RECORD.itemsize
                os.pwrite(self._kept.fileno(), self.records[position].tobytes(), at)
            os.fsync(self._kept.fileno())
        self._pending.clear()


@contextmanager
def open_partial(
    folder: Path, key: str, number: int, image_size: int, recipe: Recipe
) -> Iterator[Partial]:
    """Open the decoded images of an earlier preparation of the same listing that was cut, or begin.

    The `key` says which listing that is. They are kept for the next one unless the images are
    refused (`DataError`): what is left then would lie there for ever.
    """
    with ExitStack() as files:
        with store_errors(folder.parent):
            if not (folder / key).exists():
                shutil.rmtree(folder, ignore_errors=True)
            partial = Partial(folder / key, number, image_size, recipe, files)
        try:
            yield partial
        except DataError:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_all(
    listing: Listing, partial: Partial, workers: int | None, on_progress: Progress
) -> dict[int, str]:
    """Decode what has no record yet; return why others cannot be used, by position.

    Deep images are decoded once all have told their peaks, from which their depth follows.
    `on_progress` is called with (done, total, file) after each image.
    """
    samples, records = listing.samples, partial.records
    reasons: dict[int, str] = {}
    peaks: dict[int, int] = {}

    def decode_these(positions: Sequence[int], recipe: Recipe) -> None:
        done = len(samples) - len(positions)
        for start in range(0, len(positions), CHUNK):
            chunk = positions[start : start + CHUNK]
            work = {pool.submit(partial.decode, samples[i], i, recipe): i for i in chunk}
            for future in as_completed(work):
                position, outcome = work[future], future.result()
                if isinstance(outcome, Deep):
                    peaks[position] = outcome.peak
                    continue
                if isinstance(outcome, str):
                    reasons[position] = outcome
                else:
                    partial.add(position)
                done += 1
                on_progress(done, len(samples), samples[position].file)

    with warnings.catch_warnings(), ThreadPoolExecutor(workers or default_workers()) as pool:
        # `decode` refuses large images with a reason
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            decode_these(np.flatnonzero(~records["done"]).tolist(), partial.recipe)
            peak = max([*peaks.values(), int(records["peak"].max(initial=0))])
            depth = partial.recipe.depth or bits_for(peak)
            decode_these(sorted(peaks), replace(partial.recipe, depth=depth))
        finally:
            pool.shutdown(cancel_futures=True)
            partial.commit()
    return reasons
