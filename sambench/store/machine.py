"""What this process may use of the machine: cores, threads and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROCESS, _GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def cores() -> int:
    """Return how many cores this process may use: by its affinity and its control groups."""
    number = os.cpu_count() or 1
    with suppress(AttributeError):  # not on macOS
        number = len(os.sched_getaffinity(0))
    for group in _control_groups("cpu"):
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            with suppress(OSError, ValueError):
                quota, period = " ".join((group / name).read_text() for name in names).split()
                if int(quota) > 0:
                    number = min(number, max(1, int(quota) // int(period)))
    return number


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Have torch use so many threads within an operation meanwhile; None leaves them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def free_memory() -> int | None:
    """Return the bytes free for new processes, by system and control groups; None if untold."""
    try:
        lines = (_PROCESS / "meminfo").read_text().splitlines()
        free = int(dict(line.split(":", 1) for line in lines)["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    names = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
    for group in _control_groups("memory"):
        for limit, used in names:
            with suppress(OSError, ValueError):
                left = int((group / limit).read_text()) - int((group / used).read_text())
                held = map(str.split, (group / "memory.stat").read_text().splitlines())
                # the bytes of files that it holds are given back when memory is short
                files = (int(n) for name, n in held if name in ("inactive_file", "active_file"))
                free = min(free, max(0, left + sum(files)))
    return free


def _control_groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group and those above, of either version."""
    with suppress(OSError):
        for line in (_PROCESS / "self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            root = _GROUPS / controller if number != "0" else _GROUPS
            if number == "0" or controller in controllers.split(","):
                folder = root / path.lstrip("/")
                yield from (f for f in (folder, *folder.parents) if f.is_relative_to(root))
