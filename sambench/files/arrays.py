"""Arrays on disk: versioned npz files, written whole, read without pickle."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sambench.errors import StoreError
from sambench.files.atomic import write_bytes

VERSION = 1
Arrays = Mapping[str, NDArray[Any]]


def write_arrays(path: Path, kind: str, arrays: Mapping[str, Any]) -> None:
    """Write named arrays and what they are.

    Raises:
        StoreError: If the disk refuses.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, version=VERSION, kind=kind, **arrays)
    write_bytes(path, buffer.getvalue())


def read_arrays(path: Path, kind: str) -> Arrays:
    """Read what `write_arrays` wrote.

    Raises:
        StoreError: If the file is missing, damaged, of another version or of another kind.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file.items())
        version, found = int(arrays.pop("version")), str(arrays.pop("kind"))
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path} cannot be read ({error}); measure it again") from error
    if (version, found) != (VERSION, kind):
        raise StoreError(
            f"{path} holds {found} of version {version}, not {kind} of version {VERSION}; "
            "measure it again"
        )
    return arrays


class PartialRows(MutableMapping[int, NDArray[np.float64]]):
    """Rows of a grid that are on disk as soon as they are known.

    Args:
        path: The file; one of another grid, or a damaged one, is begun anew.
        grid: Names everything that the rows depend on.
        on_kept: Called when a row is on disk; what it raises ends the work there.
    """

    def __init__(self, path: Path, grid: str, on_kept: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._grid = grid
        self._on_kept = on_kept
        try:
            arrays = read_arrays(path, "partial grid")
        except StoreError:
            arrays = {}
        same = bool(arrays) and str(arrays["grid"]) == grid
        self._rows: dict[int, NDArray[np.float64]] = (
            {int(i): row for i, row in zip(arrays["index"], arrays["rows"], strict=True)}
            if same
            else {}
        )

    def __getitem__(self, index: int) -> NDArray[np.float64]:
        return self._rows[index]

    def __setitem__(self, index: int, row: NDArray[np.float64]) -> None:
        self._rows[index] = row
        self._save()
        self._on_kept()

    def __delitem__(self, index: int) -> None:
        del self._rows[index]
        self._save()

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def discard(self) -> None:
        """Remove the file, once the whole grid is kept elsewhere."""
        self._path.unlink(missing_ok=True)

    def _save(self) -> None:
        arrays = {
            "grid": self._grid,
            "index": np.array(list(self._rows), dtype=np.int64),
            "rows": np.stack(list(self._rows.values())) if self._rows else np.empty(0),
        }
        write_arrays(self._path, "partial grid", arrays)
