"""The one place where files are written: a reader sees the old file or the new, never half of one.

Each write goes to a temporary file in the same folder, is flushed to the disk and then renamed.
What the disk refuses is a StoreError that names the folder and the remedy; `check_room` tells
beforehand whether a large piece of work fits.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sambench.errors import StoreError
from sambench.files.checksums import sealed

_PERMIT = "get permission to write there or choose another folder"
_MOVE = "a file is in the way of a folder: move it or choose another folder"
_REMEDIES = {
    errno.ENOSPC: "free some space there or choose another folder",
    errno.EDQUOT: "free some of your quota there or choose another folder",
    errno.EROFS: "choose a folder on a disk that can be written",
    **dict.fromkeys((errno.EACCES, errno.EPERM), _PERMIT),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), _MOVE),
}

_NO_SYNC_OF_FOLDERS = (errno.EINVAL, errno.EBADF, errno.ENOTSUP)  # such as Windows drives in WSL


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a whole file, creating its folder."""
    with replacing(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file with the line ends of `text`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write a JSON object, indented and sealed; a number that JSON lacks is a ValueError."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, sealed(text + "\n"))


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows of cells as a CSV table, on any system with the line ends of Unix."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that becomes `path` when the block ends, and vanishes if it raises."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    with store_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("x+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def replace_folder(finished: Path, final: Path) -> None:
    """Rename a finished folder into place; an older one there is moved aside, then removed."""
    aside = final.with_name(f".{final.name}.{secrets.token_hex(6)}.old")
    with store_errors(final.parent):
        sync_folder(finished)
        if final.exists():
            final.rename(aside)
        finished.rename(final)
        sync_folder(final.parent)
        shutil.rmtree(aside, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut, where its file system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC_OF_FOLDERS:
            raise
    finally:
        os.close(handle)


@contextmanager
def store_errors(folder: Path) -> Iterator[None]:
    """Turn an `OSError` of the block into a `StoreError` that names the folder and the remedy."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check that disk or choose another folder")
        said = error.strerror or error
        raise StoreError(f"cannot write in {folder}: {said}; {remedy}") from error


def check_room(what: str, needed: int, folder: Path, remedy: str) -> None:
    """Refuse, by a StoreError, work that takes more bytes than the disk of a folder has free."""
    free = free_bytes(folder)
    if needed > free:
        raise StoreError(
            f"{what} takes {human(needed)} in {folder}, where {human(free)} are free; {remedy}"
        )


def free_bytes(folder: Path) -> int:
    """Return the free bytes on the disk of a folder, which need not exist yet."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def human(number: int) -> str:
    """Return a number of bytes for people, in powers of ten.

    >>> human(999), human(1_234_567), human(81_200_000_000)
    ('1 kB', '1.2 MB', '81 GB')
    """
    for factor, unit in ((1e9, "GB"), (1e6, "MB")):
        if number >= factor:
            scaled = number / factor
            return f"{scaled:,.1f} {unit}" if scaled < 10 else f"{scaled:,.0f} {unit}"
    return f"{number / 1e3:.0f} kB"
