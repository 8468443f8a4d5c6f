"""Checksums by which a stored file is known to be what was written: sha256, in hex digits.

A JSON file is sealed: its last line is the checksum of all lines before. That finds damage and
edits by hand; it does not find an edit by somebody who makes a new seal.
"""

from __future__ import annotations

import errno
import hashlib
import re
from pathlib import Path
from typing import BinaryIO

from sambench.errors import DO_AGAIN, DamagedError, StoreError

_SEAL = ',\n  "sha256": "'
_END = '"\n}\n'
_POINTER = b"version https://git-lfs.github.com/spec/"


def opened(path: Path) -> BinaryIO:
    """Open a file to be read; what is none, as a pipe, whose end may never come, is an OSError."""
    if not (path.is_file() or path.is_dir()) and path.exists():
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device", str(path))
    return path.open("rb")


def read_whole(path: Path) -> bytes:
    """Return the content of a file; a StoreError if git has left a pointer to it in its place.

    Raises OSError as `opened` does.
    """
    with opened(path) as file:
        data = file.read()
    if data.startswith(_POINTER):
        raise StoreError(f"{path} is a git-lfs pointer in place of the file; run `git lfs pull`")
    return data


def sha256_of(data: bytes | memoryview) -> str:
    """Return the checksum of some bytes."""
    return hashlib.sha256(data).hexdigest()


def read_checked(path: Path, sha256: str | None) -> bytes:
    """Return the content of a file that a run has written; the bytes checked are those returned.

    Another checksum than the run wrote down, if it did, is a DamagedError; a file that cannot be
    read is an OSError. Ends of lines may have been changed, as by git.
    """
    data = read_whole(path)
    if path.suffix == ".jsonl":
        data = data.replace(b"\r\n", b"\n")
    if sha256 is not None and sha256_of(data) != sha256:
        raise DamagedError(
            f"{path} is not the file that its run wrote (its checksum is not the record's): it is "
            "damaged or another run's; " + DO_AGAIN
        )
    return data


def sealed(text: str) -> str:
    """Return an indented JSON object with its checksum as one more member."""
    body = text.removesuffix("\n}\n")
    return f"{body}{_SEAL}{sha256_of(body.encode())}{_END}"


def unsealed(text: str) -> tuple[str, bool]:
    """Return a JSON text without its seal, and whether it is as it was when it was sealed.

    Ends of lines may have been changed, as by git.
    """
    body, found, seal = text.replace("\r\n", "\n").rpartition(_SEAL)
    if not found:
        return text, False
    return body + "\n}\n", seal == sha256_of(body.encode()) + _END


def read_sealed(path: Path) -> str:
    """Return the text of a JSON file without its seal, which files of early versions have not.

    What was altered is a ValueError, one that cannot be read an OSError.
    """
    text = read_whole(path).decode()
    body, intact = unsealed(text)
    if not intact and re.search(r'"sha256":\s*"[^"]*"\s*}\s*$', text):
        raise ValueError("it was altered: its checksum does not fit")
    return body
