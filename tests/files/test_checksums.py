"""A stored file is known to be what was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from sambench.errors import DamagedError
from sambench.files.checksums import read_checked, sha256_of


def test_ends_of_lines_of_a_text_may_be_changed_as_by_git(tmp_path: Path) -> None:
    written = b'{"epoch": 1}\n{"epoch": 2}\n'
    path = tmp_path / "history.jsonl"
    path.write_bytes(written.replace(b"\n", b"\r\n"))
    assert read_checked(path, sha256_of(written)) == written
    path.write_bytes(written.replace(b"2", b"3"))
    with pytest.raises(DamagedError, match="its checksum is not the record's"):
        read_checked(path, sha256_of(written))


def test_of_other_files_every_byte_counts(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    path.write_bytes(b"\r\n")
    with pytest.raises(DamagedError):
        read_checked(path, sha256_of(b"\n"))
