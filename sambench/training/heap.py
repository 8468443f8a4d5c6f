"""Keeps memory that was freed for the next pass, in place of returning it to the system."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Parameters of glibc's `mallopt` (malloc.h)."""

_NEVER, _GROWTH = 2**31 - 1, 64 * 2**20


def keep_freed_memory() -> bool:
    """Have this process keep the memory it frees; return whether that could be arranged.

    glibc hands large blocks back to the system as soon as they are freed, so every pass of a
    training step on the CPU maps and clears the same thousands of pages again: a tenth of the time
    of a step of ResNet-18. Numbers do not change; the process stays as large as it was at its
    largest. Elsewhere than on Linux with glibc nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _GROWTH))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
