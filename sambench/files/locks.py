"""Keeps processes that want to make the same file or folder out of each other's way."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sambench.errors import DataError
from sambench.files.atomic import store_errors


@contextmanager
def lock(final: Path, doing: str) -> Iterator[None]:
    """Hold the right to make `final`; the system frees the lock of a process that died.

    Args:
        final: What is being made; its folder is created, and a hidden lock file stays there.
        doing: What the holder does, e.g. "preparing".

    Raises:
        DataError: If another process holds it.
        StoreError: If the disk refuses.
    """
    with store_errors(final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
        file = final.with_name(f".{final.name}.lock").open("w")
    with file:
        with store_errors(final.parent):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataError(f"another process is {doing} {final}; wait until it is done") from (
                    error
                )
        yield
