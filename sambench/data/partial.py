"""Decodes the images of a listing in threads, and keeps them so that a cut preparation continues.

Each image has a slot in one big file. The journal names the file that a slot was made from, its
size and its time; a line is written only after the slot has reached the disk, so whatever the
journal says can be trusted, also after a power cut or when the listing has changed meanwhile.

Pillow releases the interpreter lock while it decodes and resizes, so threads are as fast as
processes and cost nothing to start (`benchmarks/prepare.py` measures it).
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sambench.data.decoding import Deep, Recipe, bits_for, decode, shrink
from sambench.data.dicom import UnreadableError
from sambench.data.source import Listing, Sample
from sambench.errors import DataError
from sambench.files.atomic import store_errors

CHUNK = 4096
"""Images handed to the threads at once: each takes a kilobyte while it waits."""

COMMIT_EVERY = 128
JOURNAL_VERSION = 3
FileState = tuple[int, int]
"""Size in bytes and modification time in ns: what tells that a file did not change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One decoded image: where it is kept, and what is known of its file."""

    path: str  # the file it was made from, absolute (`Sample.place`)
    size: int
    mtime_ns: int
    slot: int  # position in the file of pixels
    channels: int  # 1 or 3; a grey image fills the first third of its slot
    sha256: str
    width: int
    height: int
    mode: str
    frames: int
    peak: int
    depth: int  # bits by which a deep image was scaled, else 0


class Partial:
    """Slots of decoded images with their journal; several threads may fill slots at once.

    What writes raises `StoreError` where the disk refuses.
    """

    def __init__(
        self, folder: Path, image_size: int, recipe: Recipe, pixels: BinaryIO, journal: BinaryIO
    ) -> None:
        self.folder = folder
        self.image_size = image_size
        self.recipe = recipe
        self._pixels = pixels
        self._journal = journal
        self._pending: list[Entry] = []
        self._entries = {entry.path: entry for entry in self._read_journal()}
        self.next_slot = 1 + max((entry.slot for entry in self._entries.values()), default=-1)

    def find(self, samples: Sequence[Sample], states: NDArray[np.int64]) -> list[Entry | None]:
        """Return what was decoded earlier, of files that did not change since."""
        found = []
        for sample, state in zip(samples, states, strict=True):
            entry = self._entries.get(sample.place)
            same = entry and [entry.size, entry.mtime_ns] == state.tolist()
            found.append(entry if same else None)
        return found

    def decode(
        self, sample: Sample, state: FileState, slot: int, recipe: Recipe
    ) -> Entry | Deep | str:
        """Decode an image into a slot; return the reason if it cannot be used."""
        try:
            if sample.pixels is None:
                image = decode(sample.path, self.image_size, recipe, sample.page)
            else:
                image = shrink(sample.pixels, self.image_size, recipe)
        except UnreadableError as error:
            return str(error)
        if isinstance(image, Deep):
            return image
        rest, at = memoryview(image.pixels.tobytes()), slot * self._slot_bytes
        with store_errors(self.folder.parent):
            while rest:
                written = os.pwrite(self._pixels.fileno(), rest, at)
                rest, at = rest[written:], at + written
        names = ("sha256", "width", "height", "mode", "frames", "peak")
        facts: dict[str, Any] = {name: getattr(image, name) for name in names}
        return Entry(
            path=sample.place,
            size=state[0],
            mtime_ns=state[1],
            slot=slot,
            channels=image.pixels.shape[-1],
            depth=recipe.depth if image.peak else 0,
            **facts,
        )

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """Return an image as (size, size, C)."""
        shape = (self.image_size, self.image_size, entry.channels)
        with store_errors(self.folder.parent):
            start = entry.slot * self._slot_bytes
            data = os.pread(self._pixels.fileno(), self.image_size**2 * entry.channels, start)
        return np.frombuffer(data, np.uint8).reshape(shape)

    def add(self, entry: Entry) -> None:
        """Note that a slot is filled; it reaches the journal with the next commit."""
        self._pending.append(entry)
        if len(self._pending) >= COMMIT_EVERY:
            self.commit()

    def commit(self) -> None:
        """Bring the pixels, then their journal lines, to the disk."""
        with store_errors(self.folder.parent):
            os.fsync(self._pixels.fileno())
            self._append(*(asdict(entry) for entry in self._pending))
        self._entries.update({entry.path: entry for entry in self._pending})
        self._pending.clear()

    @property
    def _slot_bytes(self) -> int:
        return 3 * self.image_size**2

    def _append(self, *lines: object) -> None:
        self._journal.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def _read_journal(self) -> list[Entry]:
        """Return the entries up to the first line that was cut; begin anew for another format."""
        header = {
            "version": JOURNAL_VERSION,
            "image_size": self.image_size,
            "preprocessing": self.recipe.in_words,
        }
        self._journal.seek(0)
        first, *lines = self._journal.read().splitlines(keepends=True) or [b""]
        known = _parse(first) == header
        whole = [first, *itertools.takewhile(_parse, lines)] if known else []
        self._journal.truncate(sum(map(len, whole)))
        self._journal.seek(0, os.SEEK_END)
        if not known:
            self._append(header)
        return [Entry(**json.loads(line)) for line in whole[1:]]


def _parse(line: bytes) -> object:
    """Return what a line says, or None if it was cut."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None


@contextmanager
def open_partial(folder: Path, image_size: int, recipe: Recipe) -> Iterator[Partial]:
    """Open the decoded images of an earlier, cut preparation, or begin.

    They are kept for the next one unless the images are refused (`DataError`): what is left then
    would lie there for ever.
    """
    paths = (folder / "pixels", folder / "journal.jsonl")
    with store_errors(folder.parent):
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            path.touch()
        pixels, journal = (path.open("r+b") for path in paths)
    with pixels, journal:
        with store_errors(folder.parent):
            partial = Partial(folder, image_size, recipe, pixels, journal)
        try:
            yield partial
        except DataError:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_all(
    listing: Listing,
    partial: Partial,
    states: NDArray[np.int64],
    found: Sequence[Entry | None],
    workers: int | None,
    on_progress: Callable[[int, int, str], None],
) -> list[Entry | str]:
    """Return for each sample its entry, or the reason why it cannot be used.

    Deep images are decoded once all have told their peaks, from which their depth follows. The
    states are size and time of each sample's file, shape (N, 2); what is `found` is not decoded
    again; `on_progress` is called with (done, total, file) after each image.
    """
    samples, slots = listing.samples, itertools.count(partial.next_slot)
    outcomes: list[Entry | Deep | str | None] = [*found]

    def decode_these(positions: Sequence[int], recipe: Recipe) -> None:
        done = len(samples) - len(positions)
        for start in range(0, len(positions), CHUNK):
            work = {}
            for position in positions[start : start + CHUNK]:
                size, mtime_ns = states[position].tolist()
                one = (samples[position], (size, mtime_ns), next(slots), recipe)
                work[pool.submit(partial.decode, *one)] = position
            for future in as_completed(work):
                outcome = outcomes[work[future]] = future.result()
                if isinstance(outcome, Deep):
                    continue
                if isinstance(outcome, Entry):
                    partial.add(outcome)
                done += 1
                on_progress(done, len(samples), samples[work[future]].file)

    with warnings.catch_warnings(), ThreadPoolExecutor(workers or default_workers()) as pool:
        # `decode` refuses large images with a reason
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            decode_these([i for i, one in enumerate(outcomes) if one is None], partial.recipe)
            peaks = [one.peak for one in outcomes if isinstance(one, Entry | Deep) and one.peak]
            depth = partial.recipe.depth or bits_for(max(peaks, default=0))
            again = [
                i
                for i, one in enumerate(outcomes)
                if isinstance(one, Deep) or (isinstance(one, Entry) and one.depth not in (0, depth))
            ]
            decode_these(again, replace(partial.recipe, depth=depth))
        finally:
            pool.shutdown(cancel_futures=True)
            partial.commit()
    return [one for one in outcomes if isinstance(one, Entry | str)]
