"""Arrays on disk: whole, versioned, of one kind; rows that outlive an interruption."""

from __future__ import annotations

import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from sambench.errors import StoreError
from sambench.files.arrays import PartialRows, new_pixels, read_arrays, write_arrays
from sambench.files.atomic import write_bytes


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run" / "a.npz"
    write_arrays(path, "curve", {"x": np.arange(3), "loss": np.array([1.0, np.inf, np.nan])})
    arrays = read_arrays(path, "curve")
    assert sorted(arrays) == ["loss", "x"]
    np.testing.assert_array_equal(arrays["loss"], [1.0, np.inf, np.nan])


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(StoreError, match=r"a\.npz cannot be read .*; measure it again"):
        read_arrays(path, "curve")
    write_arrays(path, "curve", {})
    with pytest.raises(StoreError, match="holds curve of version 1, not plane of version 1"):
        read_arrays(path, "plane")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreError, match="cannot be read"):
        read_arrays(path, "curve")
    buffer = io.BytesIO()
    np.savez(buffer, version=2, kind="curve")
    write_bytes(path, buffer.getvalue())
    with pytest.raises(StoreError, match="holds curve of version 2"):
        read_arrays(path, "curve")
    buffer = io.BytesIO()
    np.savez(buffer, version=1, kind="curve", x=np.array([{}], dtype=object))
    write_bytes(path, buffer.getvalue())
    with pytest.raises(StoreError, match="cannot be read"):
        read_arrays(path, "curve")


def test_what_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the file says of itself, before anything is unpacked, and by each array's header."""
    path = tmp_path / "a.npz"
    write_arrays(path, "curve", {"x": np.zeros(1_000_000)})
    assert len(read_arrays(path, "curve")["x"]) == 1_000_000
    monkeypatch.setattr("sambench.files.arrays.MOST_BYTES", 1_000_000)
    with pytest.raises(StoreError, match=r"a\.npz cannot be read \(its arrays take 8\.0 MB\)"):
        read_arrays(path, "curve")
    header = io.BytesIO()
    told = {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(header, told)
    with zipfile.ZipFile(path, "w") as parts:
        parts.writestr("x.npy", header.getvalue())
    with pytest.raises(StoreError, match=r"a\.npz cannot be read"):
        read_arrays(path, "curve")


def test_a_damaged_stream_and_an_array_alone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, "curve", {"x": np.random.default_rng(0).normal(size=1000)})
    whole = bytearray(path.read_bytes())
    for place in range(60, len(whole) - 300, 97):
        path.write_bytes(bytes(whole[:place]) + b"\xff\x00\xff" + bytes(whole[place + 3 :]))
        with suppress(StoreError):
            read_arrays(path, "curve")
    np.save(path.open("wb"), np.zeros(3))
    with pytest.raises(StoreError, match="cannot be read"):
        read_arrays(path, "curve")


def partial_rows(path: Path, grid: str) -> PartialRows:
    return PartialRows(path, grid, on_kept=lambda: None, clock=lambda: 0.0)


def test_rows_are_there_again(tmp_path: Path) -> None:
    path = tmp_path / ".rows.npz"
    rows = partial_rows(path, "a plane")
    rows[0], rows[2] = np.array([1.0, np.inf]), np.array([3.0, 4.0])
    again = partial_rows(path, "a plane")
    assert list(again) == [0, 2]
    np.testing.assert_array_equal(again[0], [1.0, np.inf])
    again.discard()
    assert not path.exists()
    again.discard()


def test_rows_of_another_grid_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / ".rows.npz"
    partial_rows(path, "one plane")[0] = np.zeros(2)
    assert len(partial_rows(path, "another plane")) == 0
    path.write_bytes(b"torn")
    assert len(partial_rows(path, "one plane")) == 0


def test_pixels_have_their_room_where_the_system_cannot_set_it_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")  # as on macOS
    with new_pixels(tmp_path / "images.npy", (2, 3, 3, 1)) as pixels:
        pixels[1] = 7
    assert np.load(tmp_path / "images.npy")[:, 0, 0, 0].tolist() == [0, 7]
