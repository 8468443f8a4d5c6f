"""Arrays on disk: versioned npz files, written whole, read without pickle."""

from __future__ import annotations

import io
import math
import os
import zipfile
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sambench.errors import StoreError
from sambench.files.atomic import human, replacing, write_bytes
from sambench.files.checksums import read_whole, sha256_of

VERSION = 1
MOST_BYTES = 2**31
"""Of the arrays of a file, which may be squeezed into next to nothing."""

Arrays = Mapping[str, NDArray[Any]]
Pixels = np.memmap[Any, np.dtype[np.uint8]]


def unpacked(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file; a ValueError if it is none, holds objects or too much."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            if (needed := sum(part.file_size for part in parts.infolist())) > MOST_BYTES:
                raise ValueError(f"its arrays take {human(needed)}")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: np.asarray(array) for name, array in file.items()}
    except Exception as error:  # on damaged files numpy and its unpackers raise almost anything
        raise ValueError(str(error)) from error


def write_arrays(path: Path, kind: str, arrays: Mapping[str, Any]) -> str:
    """Write named arrays and what they are, return the file's sha256; a StoreError on refusal."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, version=VERSION, kind=kind, **arrays)
    write_bytes(path, buffer.getvalue())
    return sha256_of(buffer.getvalue())


def read_arrays(
    path: Path,
    kind: str,
    needs: Mapping[str, str] = MappingProxyType({}),
    sha256: str | None = None,
) -> Arrays:
    """Read what `write_arrays` wrote; a StoreError if it is missing, damaged or another file.

    It needs some arrays of numbers, each given with a letter for each of its axes, as "yx": axes of
    one letter are of one length, of "*" of any, even none. In capitals, numbers may be infinite.
    """
    try:
        data = read_whole(path)
        if sha256 is not None and sha256_of(data) != sha256:
            raise ValueError("it is not the file that the record tells of")
        arrays = unpacked(data)
        version, found = int(arrays.pop("version")), str(arrays.pop("kind"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} cannot be read ({error}); measure it again") from error
    if (version, found) != (VERSION, kind):
        raise StoreError(
            f"{path} holds {found} of version {version}, not {kind} of version {VERSION}; "
            "measure it again"
        )
    lengths: dict[str, int] = {}
    wrong = [name for name in needs if not _fits(arrays.get(name), needs[name], lengths)]
    if wrong:
        raise StoreError(f"{path} has no sound {', '.join(wrong)}; measure it again")
    return arrays


def _fits(array: NDArray[Any] | None, axes: str, lengths: dict[str, int]) -> bool:
    """Whether an array has these axes, of the lengths of others so far, and sound numbers."""
    if array is None or array.dtype.kind not in "fiu" or array.ndim != len(axes):
        return False
    both = [pair for pair in zip(axes.lower(), array.shape, strict=True) if pair[0] != "*"]
    alike = all(length and lengths.setdefault(letter, length) == length for letter, length in both)
    return alike and (axes.isupper() or bool(np.isfinite(array).all()))


@contextmanager
def new_pixels(path: Path, shape: tuple[int, ...]) -> Iterator[Pixels]:
    """Yield the content of an npy file, to be filled; the file is `path` when the block ends.

    Its room is taken at once, or refused by a StoreError: a disk full later would end the process.
    """
    with replacing(path) as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        file.truncate(start + math.prod(shape))
        if hasattr(os, "posix_fallocate"):  # not on macOS
            os.posix_fallocate(file.fileno(), start, math.prod(shape))
        pixels = np.memmap(file, np.uint8, "r+", start, shape)
        yield pixels
        pixels.flush()


@dataclass(eq=False)
class PartialRows(UserDict[int, NDArray[np.float64]]):
    """Rows of a grid that are on disk as soon as they are known.

    The grid names everything that they depend on; a file of another, or a damaged one, is begun
    anew. `on_kept` is called when a row is on disk; what it raises ends the work there. The `clock`
    tells how long rows took; `seconds_before` is what those of earlier sessions did.
    """

    path: Path
    grid: str
    on_kept: Callable[[], None]
    clock: Callable[[], float]

    def __post_init__(self) -> None:
        super().__init__()
        self.seconds_before, self._start = 0.0, self.clock()
        with suppress(StoreError):
            arrays = read_arrays(self.path, "partial grid")
            if str(arrays["grid"]) == self.grid:
                self.data = dict(zip(map(int, arrays["index"]), arrays["rows"], strict=True))
                self.seconds_before = float(arrays.get("seconds", 0.0))  # older files have none

    def __setitem__(self, index: int, row: NDArray[np.float64]) -> None:
        super().__setitem__(index, row)
        arrays = {
            "grid": self.grid,
            "index": np.array(list(self.data), dtype=np.int64),
            "rows": np.stack(list(self.data.values())),
            "seconds": self.seconds_before + self.clock() - self._start,
        }
        write_arrays(self.path, "partial grid", arrays)
        self.on_kept()

    def discard(self) -> None:
        """Remove the file, once the whole grid is kept elsewhere."""
        self.path.unlink(missing_ok=True)
