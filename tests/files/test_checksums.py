"""A stored file is known to be what was written."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from sambench.errors import DamagedError, StoreError
from sambench.files.arrays import read_arrays
from sambench.files.atomic import write_json
from sambench.files.checksums import read_checked, read_sealed, read_whole, sha256_of


def test_ends_of_lines_of_a_text_may_be_changed_as_by_git(tmp_path: Path) -> None:
    written = b'{"epoch": 1}\n{"epoch": 2}\n'
    path = tmp_path / "history.jsonl"
    path.write_bytes(written.replace(b"\n", b"\r\n"))
    assert read_checked(path, sha256_of(written)) == written
    path.write_bytes(written.replace(b"2", b"3"))
    with pytest.raises(DamagedError, match="its checksum is not the record's"):
        read_checked(path, sha256_of(written))


def test_what_git_lfs_has_not_fetched_is_no_damage(tmp_path: Path) -> None:
    (path := tmp_path / "x.npz").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    for read in (read_whole, partial(read_checked, sha256="0"), partial(read_arrays, kind="a")):
        with pytest.raises(
            StoreError, match=r"x\.npz is a git-lfs pointer .*`git lfs pull`"
        ) as got:
            read(path)
        assert not isinstance(got.value, DamagedError)


def test_of_other_files_every_byte_counts(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    path.write_bytes(b"\r\n")
    with pytest.raises(DamagedError):
        read_checked(path, sha256_of(b"\n"))


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(OSError, match="it is a pipe, a socket or a device"):
            read_whole(tmp_path / name)


def test_a_changed_bit_of_a_json_file_changes_no_value(tmp_path: Path) -> None:
    values = {"plan": "demo", "runs": [{"seed": 12, "lr": 0.003}]}
    write_json(path := tmp_path / "a.json", values)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with suppress(ValueError):  # else it is in the name of the seal, as if of a member
            assert values.items() <= json.loads(read_sealed(path)).items()
    for text in (json.dumps(values), whole.replace(b"\n", b"\r\n").decode()):
        path.write_text(text, newline="")  # of before there were seals; as git may write it
        assert json.loads(read_sealed(path)) == values
