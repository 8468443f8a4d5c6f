from __future__ import annotations

import errno
import os
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from sambench.errors import StoreError
from sambench.files.atomic import (
    free_bytes,
    replace_folder,
    replacing,
    write_bytes,
    write_json,
    write_text,
)
from sambench.files.checksums import read_sealed


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_bytes_and_text_land_in_a_new_folder(tmp_path):
    write_bytes(tmp_path / "new" / "a", b"\x00\xff")
    write_text(tmp_path / "new" / "b", "ä\r\n")
    assert (tmp_path / "new" / "a").read_bytes() == b"\x00\xff"
    assert (tmp_path / "new" / "b").read_bytes() == "ä\r\n".encode()
    assert names(tmp_path / "new") == ["a", "b"]


def test_json_keeps_the_order_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": ["ä"]})
    text = (tmp_path / "a.json").read_text()
    assert text.startswith('{\n  "b": 1,\n  "a": [\n    "ä"\n  ],\n  "sha256": "')
    assert text.endswith('"\n}\n')
    assert read_sealed(tmp_path / "a.json") == '{\n  "b": 1,\n  "a": [\n    "ä"\n  ]\n}\n'


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1})
    before = (tmp_path / "a.json").read_text()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"b": float("nan")})
    assert (tmp_path / "a.json").read_text() == before


def test_a_block_that_raises_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half")
        file.flush()
        assert path.read_text() == "old"
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_the_rights_are_those_of_any_new_file(tmp_path):
    write_text(tmp_path / "a", "")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize(
    ("code", "refused"), [(errno.EINVAL, False), (errno.EBADF, False), (errno.EIO, True)]
)
def test_a_file_system_that_does_not_sync_folders(tmp_path, monkeypatch, code, refused):
    sync = os.fsync

    def of_files_alone(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(code, os.strerror(code))
        sync(handle)

    monkeypatch.setattr(os, "fsync", of_files_alone)
    with pytest.raises(StoreError, match="Input/output error") if refused else nullcontext():
        write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "free some space there or choose another folder"),
        (errno.EACCES, "get permission to write there or choose another folder"),
        (errno.EROFS, "choose a folder on a disk that can be written"),
        (errno.EIO, "check that disk or choose another folder"),
    ],
)
def test_a_refusing_disk_is_named_with_a_remedy(tmp_path, monkeypatch, code, remedy):
    def refuse(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StoreError) as caught:
        write_text(tmp_path / "a", "text")
    assert str(caught.value) == f"cannot write in {tmp_path}: {os.strerror(code)}; {remedy}"
    assert names(tmp_path) == []


def test_a_file_in_the_way_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="a file is in the way of a folder"):
        write_text(tmp_path / "file" / "a", "text")


def test_the_room_of_a_folder_that_is_not_there_yet(tmp_path):
    free = free_bytes(tmp_path)
    assert free_bytes(tmp_path / "none" / "of these") == pytest.approx(free, rel=0.1)


def test_a_folder_replaces_another(tmp_path):
    for name in ("old", "new"):
        write_text(tmp_path / name / "a", name)
    replace_folder(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "a").read_text() == "new"
    assert names(tmp_path) == ["old"]
