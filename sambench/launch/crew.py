"""How many workers do runs at once on this machine, and with how many threads each.

On CPUs one worker a core with one thread each does more runs an hour than one run on all cores, and
the bits of a run then do not depend on how many cores a machine has.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final

from sambench.errors import ConfigError, UserError
from sambench.launch.manifest import Manifest
from sambench.store.machine import cores, free_memory

ALL: Final = "all"
"""Instead of a number of threads: all cores, as torch takes them by itself."""

MEMORY_SHARE = 0.9
"""Of the free memory, what workers may be started for."""


@dataclass(frozen=True, kw_only=True)
class Crew:
    """The workers of a launch: a device for each; a single one is this process itself.

    `threads` of each; None leaves them to torch, which takes all cores. The note says why there are
    no more workers, and what would use the idle cores.
    """

    devices: Sequence[str]
    threads: int | None
    note: str = ""

    def __str__(self) -> str:
        """Say how many workers there are, where, and with how many threads."""
        workers = f"{len(self.devices)} worker{'' if len(self.devices) == 1 else 's'}"
        threads = f", {count_threads(self.threads)} each" if self.threads else ""
        return f"{workers} on {', '.join(dict.fromkeys(self.devices))}{threads}{self.note}"


def count_threads(number: int) -> str:
    """Write a number of threads."""
    return f"{number} thread{'' if number == 1 else 's'}"


def form_crew(
    manifest: Manifest,
    devices: Sequence[str],
    *,
    workers: int | None = None,
    per_device: int | None = None,
    threads: int | str | None = None,
) -> Crew:
    """Return the workers for the runs of a manifest, which take the devices in turn.

    There are so many in all, or on each device. Their threads are by default OMP_NUM_THREADS;
    without it one on CPUs, and beside GPUs a share of the cores.

    Raises:
        ConfigError: If both `workers` and `per_device` are given.
    """
    if workers is not None and per_device is not None:
        raise ConfigError("--workers and --runs-per-device contradict each other; give one of them")
    asked = workers or (per_device or 1) * len(devices)
    given = threads or _threads_given()
    runs = max(1, len(manifest.configs))
    if any(device != "cpu" for device in devices):
        number = min(asked, runs)
        if given is None and number > 1:
            given = max(1, cores() // number)
        crew = tuple(islice(cycle(devices), number))
        return Crew(devices=crew, threads=given if isinstance(given, int) else None)
    each = cores() if given == ALL else int(given or 1)
    chosen = workers is not None or per_device is not None or len(devices) > 1
    most = asked if chosen else max(1, cores() // each)
    number, why = min(most, runs), ""
    if not chosen and number > 1:
        number, why = _fitting(manifest, number)
    if not chosen and 2 * number * each <= cores():
        why = why or ("one run" if runs == 1 else f"{runs} runs")
        why += f"; --threads {cores() // number} uses all {cores()} cores, with other rounding"
    note = f" ({why})" if why else ""
    return Crew(devices=("cpu",) * number, threads=None if given == ALL else each, note=note)


def _fitting(manifest: Manifest, wanted: int) -> tuple[int, str]:
    """Return how many workers the free memory holds, at least one, and why fewer than wanted."""
    from sambench.run.memory import estimate_memory

    free = free_memory()
    if free is None:
        return wanted, ""
    try:
        needs = estimate_memory(manifest.configs, manifest.data)
    except UserError:
        return wanted, ""  # the runs themselves will say what is missing
    largest = max(needs, key=needs.__getitem__)
    number = min(wanted, max(1, int(MEMORY_SHARE * free / needs[largest])))
    if number == wanted:
        return wanted, ""
    return number, (
        f"not {wanted}: {largest} takes about {needs[largest] / 1e9:.1f} GB of memory and "
        f"{free / 1e9:.1f} GB are free"
    )


def _threads_given() -> int | None:
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(given) if given.isdecimal() and int(given) > 0 else None
