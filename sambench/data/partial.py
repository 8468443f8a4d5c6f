"""Decodes the images of a listing in threads, and keeps them so that a cut preparation continues.

Each image has a slot in one big file, and the journal a record of each slot, with the file that it
was made from. A record is written only after the slot has reached the disk, so whatever the journal
says can be trusted, also after a power cut or when the listing has changed meanwhile. Pillow
releases the interpreter lock while it decodes and resizes, so threads are as fast as processes and
cost nothing to start (`benchmarks/prepare.py` measures it).
"""

from __future__ import annotations

import hashlib
import itertools
import json
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
JOURNAL_VERSION = 4

Records = NDArray[np.void]
ORIGIN = ["place", "size", "mtime_ns"]
"""Fields that tell which file a record is of, and that the file did not change."""

RECORD = np.dtype(
    [
        ("place", "S32"),  # digest of `Sample.place`
        ("size", "i8"),  # bytes of the file
        ("mtime_ns", "i8"),
        ("slot", "i8"),  # position in the file of pixels; -1 while there is none
        ("channels", "u1"),  # 1 or 3; a grey image fills the first third of its slot
        ("sha256", "S64"),  # this and what follows: as in `Decoded`
        ("width", "i4"),
        ("height", "i4"),
        ("mode", "S16"),
        ("frames", "i4"),
        ("peak", "i4"),
        ("depth", "u1"),  # bits by which a deep image was scaled, else 0
        ("whole", "?"),  # true and last: a record that a power failure cut lacks it
    ]
)
"""What is known of one image."""


class Partial:
    """Slots of decoded images with their journal; several threads may fill slots at once.

    What writes raises `StoreError` where the disk refuses.
    """

    def __init__(self, folder: Path, image_size: int, recipe: Recipe, files: ExitStack) -> None:
        self.folder = folder
        self.image_size = image_size
        self.recipe = recipe
        self._slot_bytes = 3 * image_size**2
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("pixels", "journal"):
            (folder / name).touch()
        self._pixels = files.enter_context((folder / "pixels").open("r+b"))
        self._journal = files.enter_context((folder / "journal").open("r+b"))
        self._pending: list[bytes] = []
        self._earlier = self._read_journal()
        self._slots = itertools.count(int(self._earlier["slot"].max(initial=-1)) + 1)

    def find(self, samples: Sequence[Sample], states: NDArray[np.int64]) -> Records:
        """Return a record of each sample, with a slot where it was decoded from the same file.

        The states, (N, 2), are size and time of each sample's file.
        """
        records = np.zeros(len(samples), RECORD)
        places = (os.fsencode(sample.place) for sample in samples)
        records["place"] = [hashlib.sha256(place).hexdigest()[:32] for place in places]
        records["size"], records["mtime_ns"] = states.T
        records["slot"] = -1
        decoded = dict(zip(self._earlier[ORIGIN].tolist(), self._earlier, strict=True))
        for position, origin in enumerate(records[ORIGIN].tolist() if decoded else ()):
            records[position] = decoded.get(origin, records[position])
        return records

    def decode(self, sample: Sample, record: np.void, recipe: Recipe) -> np.void | Deep | str:
        """Decode an image into a slot of its own; return the reason if it cannot be used."""
        try:
            if sample.pixels is None:
                image = decode(sample.path, self.image_size, recipe, sample.page)
            else:
                image = shrink(sample.pixels, self.image_size, recipe)
        except UnreadableError as error:
            return str(error)
        if isinstance(image, Deep):
            return image
        record = record.copy()
        for name in ("sha256", "width", "height", "mode", "frames", "peak"):
            record[name] = getattr(image, name)
        record["slot"], record["channels"] = next(self._slots), image.pixels.shape[-1]
        record["depth"] = recipe.depth if image.peak else 0
        record["whole"] = True
        rest, at = memoryview(image.pixels.tobytes()), int(record["slot"]) * self._slot_bytes
        with store_errors(self.folder.parent):
            while rest:
                written = os.pwrite(self._pixels.fileno(), rest, at)
                rest, at = rest[written:], at + written
        return record

    def read(self, record: np.void) -> NDArray[np.uint8]:
        """Return an image as (size, size, C)."""
        shape = (self.image_size, self.image_size, int(record["channels"]))
        with store_errors(self.folder.parent):
            start = int(record["slot"]) * self._slot_bytes
            data = os.pread(self._pixels.fileno(), int(np.prod(shape)), start)
        return np.frombuffer(data, np.uint8).reshape(shape)

    def add(self, record: np.void) -> None:
        """Note that a slot is filled; it reaches the journal with the next commit."""
        self._pending.append(record.tobytes())
        if len(self._pending) >= COMMIT_EVERY:
            self.commit()

    def commit(self) -> None:
        """Bring the pixels, then their records, to the disk."""
        with store_errors(self.folder.parent):
            os.fsync(self._pixels.fileno())
            self._append(b"".join(self._pending))
        self._pending.clear()

    def _append(self, data: bytes) -> None:
        self._journal.write(data)
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def _read_journal(self) -> Records:
        """Return the records up to the first that was cut; begin anew for another format."""
        header = {
            "version": JOURNAL_VERSION,
            "image_size": self.image_size,
            "preprocessing": self.recipe.in_words,
        }
        first = json.dumps(header).encode() + b"\n"
        self._journal.seek(0)
        known, data = self._journal.readline() == first, self._journal.read()
        records = np.frombuffer(data, RECORD, len(data) // RECORD.itemsize if known else 0)
        records = records[: int(np.append(records["whole"], False).argmin())]
        self._journal.truncate(len(first) + records.nbytes if known else 0)
        self._journal.seek(0, os.SEEK_END)
        if not known:
            self._append(first)
        return records


@contextmanager
def open_partial(folder: Path, image_size: int, recipe: Recipe) -> Iterator[Partial]:
    """Open the decoded images of an earlier, cut preparation, or begin.

    They are kept for the next one unless the images are refused (`DataError`): what is left then
    would lie there for ever.
    """
    with ExitStack() as files:
        with store_errors(folder.parent):
            partial = Partial(folder, image_size, recipe, files)
        try:
            yield partial
        except DataError:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_all(
    listing: Listing, partial: Partial, records: Records, workers: int | None, on_progress: Progress
) -> dict[int, str]:
    """Decode what has no slot and complete its record; return why others cannot be used.

    Deep images are decoded once all have told their peaks, from which their depth follows. The
    reasons are by position; `on_progress` is called with (done, total, file) after each image.
    """
    samples = listing.samples
    reasons: dict[int, str] = {}
    peaks: dict[int, int] = {}

    def decode_these(positions: Sequence[int], recipe: Recipe) -> None:
        done = len(samples) - len(positions)
        for start in range(0, len(positions), CHUNK):
            chunk = positions[start : start + CHUNK]
            work = {pool.submit(partial.decode, samples[i], records[i], recipe): i for i in chunk}
            for future in as_completed(work):
                position, outcome = work[future], future.result()
                if isinstance(outcome, Deep):
                    peaks[position] = outcome.peak
                    continue
                if isinstance(outcome, str):
                    reasons[position] = outcome
                    records["slot"][position] = -1
                else:
                    records[position] = outcome
                    partial.add(outcome)
                done += 1
                on_progress(done, len(samples), samples[position].file)

    with warnings.catch_warnings(), ThreadPoolExecutor(workers or default_workers()) as pool:
        # `decode` refuses large images with a reason
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            decode_these(np.flatnonzero(records["slot"] < 0).tolist(), partial.recipe)
            peak = max([*peaks.values(), int(records["peak"].max(initial=0))])
            depth = partial.recipe.depth or bits_for(peak)
            other = (records["depth"] != 0) & (records["depth"] != depth)
            again = sorted({*peaks, *np.flatnonzero(other).tolist()})
            decode_these(again, replace(partial.recipe, depth=depth))
        finally:
            pool.shutdown(cancel_futures=True)
            partial.commit()
    return reasons
