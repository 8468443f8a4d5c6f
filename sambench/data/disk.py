"""How much room a piece of work takes on a disk, and whether there is that much."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sambench.errors import StoreError


@dataclass(frozen=True, kw_only=True)
class Room:
    """Bytes on a disk.

    Attributes:
        folder: What will be written to.
        least: Bytes that will be needed at least.
        most: Bytes that will be needed at most.
        kept: The most of them that stay when the work is done.
        free: Bytes that are free there.
    """

    folder: Path
    least: int
    most: int
    kept: int
    free: int

    def check(self, what: str, remedy: str) -> None:
        """Stop before the work starts if it cannot fit.

        Raises:
            StoreError: If even the least does not fit.
        """
        if self.least > self.free:
            raise StoreError(
                f"{what} takes {megabytes(self.least)} in {self.folder}, where "
                f"{megabytes(self.free)} are free; {remedy}"
            )


def free_bytes(folder: Path) -> int:
    """Return the free bytes on the disk of a folder, which need not exist yet."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def megabytes(number: int) -> str:
    """Return a number of bytes for people.

    >>> megabytes(1_234_567), megabytes(81_200_000_000)
    ('1.2 MB', '81,200 MB')
    """
    millions = number / 1e6
    return f"{millions:,.0f} MB" if millions >= 100 else f"{millions:.1f} MB"
