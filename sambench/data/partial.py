"""The images that a preparation under way has decoded, kept so that a cut one continues.

Each image has a slot in one big file. The journal names the file that a slot was made from, its
size and its time; a line is written only after the slot has reached the disk, so whatever the
journal says can be trusted, also after a power cut or when the listing has changed meanwhile.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from sambench.data.decoding import Decoded, Recipe
from sambench.errors import DataError
from sambench.files.atomic import store_errors

COMMIT_EVERY = 128
JOURNAL_VERSION = 3
FileState = tuple[int, int]
"""Size in bytes and modification time in ns: what tells that a file did not change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One decoded image.

    Attributes:
        path: The file it was made from, absolute (`Sample.place`).
        size: That file's size in bytes.
        mtime_ns: That file's modification time.
        slot: Position in the file of pixels.
        channels: 1 or 3; a grey image fills the first third of its slot.
        sha256: Of the file.
        width: Native width.
        height: Native height.
        mode: Of the file, as Pillow names it.
        frames: Pages or frames that the file has.
        peak: Brightest pixel of a deep image, else 0.
        depth: Bits by which a deep image was scaled, else 0.
    """

    path: str
    size: int
    mtime_ns: int
    slot: int
    channels: int
    sha256: str
    width: int
    height: int
    mode: str
    frames: int
    peak: int
    depth: int


class Partial:
    """Slots of decoded images with their journal."""

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

    def find(self, place: str, state: FileState) -> Entry | None:
        """Return the decoded image of a file, if it was decoded and the file did not change."""
        entry = self._entries.get(place)
        return entry if entry and (entry.size, entry.mtime_ns) == state else None

    def fill(
        self, slot: int, source: str, state: FileState, image: Decoded, depth: int = 0
    ) -> Entry:
        """Write an image to a slot; several threads may do so at once.

        Raises:
            StoreError: If the disk refuses.
        """
        rest = memoryview(image.pixels.tobytes())
        place = slot * self._slot_bytes
        with store_errors(self.folder.parent):
            while rest:
                written = os.pwrite(self._pixels.fileno(), rest, place)
                rest, place = rest[written:], place + written
        return Entry(
            path=source,
            size=state[0],
            mtime_ns=state[1],
            slot=slot,
            channels=image.pixels.shape[-1],
            sha256=image.sha256,
            width=image.width,
            height=image.height,
            mode=image.mode,
            frames=image.frames,
            peak=image.peak,
            depth=depth if image.peak else 0,
        )

    def read(self, entry: Entry) -> NDArray[np.uint8]:
        """Return an image as (size, size, C)."""
        side = self.image_size
        count = side * side * entry.channels
        with store_errors(self.folder.parent):
            data = os.pread(self._pixels.fileno(), count, entry.slot * self._slot_bytes)
        return np.frombuffer(data, np.uint8).reshape(side, side, entry.channels)

    def add(self, entry: Entry) -> None:
        """Note that a slot is filled; it reaches the journal with the next commit."""
        self._pending.append(entry)
        if len(self._pending) >= COMMIT_EVERY:
            self.commit()

    def commit(self) -> None:
        """Bring the pixels, then their journal lines, to the disk.

        Raises:
            StoreError: If the disk refuses.
        """
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
        whole = [first, *takewhile(_parse, lines)] if known else []
        self._journal.truncate(sum(map(len, whole)))
        self._journal.seek(0, os.SEEK_END)
        if not known:
            self._append(header)
        return [Entry(**json.loads(line)) for line in whole[1:]]


@contextmanager
def open_partial(folder: Path, image_size: int, recipe: Recipe) -> Iterator[Partial]:
    """Open the decoded images of an earlier, cut preparation, or begin.

    They are kept for the next one unless the images are refused (`DataError`): what is left then
    would lie there for ever.

    Raises:
        StoreError: If the disk refuses.
    """
    with store_errors(folder.parent):
        folder.mkdir(parents=True, exist_ok=True)
        pixels_path, journal_path = folder / "pixels", folder / "journal.jsonl"
        for path in (pixels_path, journal_path):
            path.touch()
        pixels, journal = pixels_path.open("r+b"), journal_path.open("r+b")
    with pixels, journal:
        with store_errors(folder.parent):
            partial = Partial(folder, image_size, recipe, pixels, journal)
        try:
            yield partial
        except DataError:
            remove_partial(folder)
            raise


def remove_partial(folder: Path) -> None:
    """Remove the decoded images of a preparation that has ended."""
    shutil.rmtree(folder, ignore_errors=True)


def _parse(line: bytes) -> object:
    """Return what a line says, or None if it was cut."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
