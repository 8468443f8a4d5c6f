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
                f"{what} takes {human(self.least)} in {self.folder}, where "
                f"{human(self.free)} are free; {remedy}"
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
