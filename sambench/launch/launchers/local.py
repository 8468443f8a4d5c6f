"""Runs on this machine: in-line, or by several workers at once.

On CPUs one worker a core with one thread each does more runs an hour than one run on all cores, and
the bits of a run then do not depend on how many cores a machine has.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final, Literal

from sambench.errors import ConfigError, UserError
from sambench.launch.launcher import Launcher, Tally, Watcher, launchers, whole_number
from sambench.launch.manifest import Manifest
from sambench.launch.pool import Pool
from sambench.launch.signals import stop_on_signal
from sambench.launch.together import processes
from sambench.launch.unit import attempt
from sambench.store.environment import choose_device
from sambench.store.machine import cores, free_memory
from sambench.store.record import INTERRUPTED, RunRecord

ALL: Final = "all"
"""Instead of a number of threads: all cores, as torch takes them by itself."""

MEMORY_SHARE = 0.9
"""Of the free memory, what workers may be started for."""


def launch(manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
    """Do the runs in-line, or by workers: one a core on CPUs, else as many as are asked for.

    Raises:
        UserError: If options contradict each other, or a device is not there.
    """
    devices, reason = named_devices(options, manifest.device), "as asked"
    if not devices:
        chosen, reason = choose_device(manifest.device)
        devices = [str(chosen)]
    crew = form_crew(
        manifest,
        devices,
        workers=whole_number(options, "workers", None),
        per_device=whole_number(options, "runs_per_device", None),
        threads=ALL if options.get("threads") == ALL else whole_number(options, "threads", None),
    )
    seconds, alone = seconds_allowed(options), processes() == 1
    with stop_on_signal(insist=alone, seconds=seconds) as stop_requested:
        if len(crew.devices) > 1:
            watcher.say(str(crew))
            return Pool(manifest, crew.devices, crew.threads, watcher, stop_requested).run()
        shown = f", {count_threads(crew.threads)}" if crew.threads else ""
        watcher.say(f"device {crew.devices[0]} ({reason}){shown}{crew.note}")
        import torch

        before = torch.get_num_threads()
        try:
            torch.set_num_threads(crew.threads or before)
            return run_all(manifest, crew.devices[0], watcher, stop_requested)
        finally:
            torch.set_num_threads(before)


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
    threads: int | Literal["all"] | None = None,
) -> Crew:
    """Return the workers for the runs of a manifest, which take the devices in turn.

    There are so many in all, or on each device. Their threads are by default OMP_NUM_THREADS;
    without it one on CPUs, and beside GPUs a share of the cores.

    Raises:
        ConfigError: If both `workers` and `per_device` are given.
    """
    if workers is not None and per_device is not None:
        raise ConfigError("--workers and --runs-per-device contradict each other; give one of them")
    runs, given = max(1, len(manifest.configs)), threads or _threads_given()
    asked = min(workers or (per_device or 1) * len(devices), runs)
    if any(device != "cpu" for device in devices):
        if given is None and asked > 1:
            given = max(1, cores() // asked)
        crew = tuple(islice(cycle(devices), asked))
        return Crew(devices=crew, threads=None if given == ALL else given)
    each = cores() if given == ALL else int(given or 1)
    number, why = asked, ""
    if workers is None and per_device is None and len(devices) == 1:
        number, why = _fitting(manifest, min(max(1, cores() // each), runs))
        if 2 * number * each <= cores():
            why = why or ("one run" if runs == 1 else f"{runs} runs")
            why += f"; --threads {cores() // number} uses all {cores()} cores, with other rounding"
    note = f" ({why})" if why else ""
    return Crew(devices=("cpu",) * number, threads=None if given == ALL else each, note=note)


def _fitting(manifest: Manifest, wanted: int) -> tuple[int, str]:
    """Return how many workers the free memory holds, at least one, and why fewer than wanted."""
    from sambench.run.memory import estimate_memory

    free, needs = free_memory() if wanted > 1 else None, {}
    with suppress(UserError):  # the runs themselves will say what is missing
        needs = estimate_memory(manifest.configs, manifest.data) if free else {}
    if free is None or not needs:
        return wanted, ""
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


def named_devices(options: Mapping[str, str], device: str | None) -> list[str]:
    """Return the devices of `devices`; a ConfigError if they contradict the device."""
    given = [name.strip() for name in options.get("devices", "").split(",") if name.strip()]
    if given and device is not None:
        raise ConfigError("--device and --devices contradict each other; give one of them")
    return given


def seconds_allowed(options: Mapping[str, str]) -> float | None:
    """Return the seconds after which to stop; None for as long as it takes.

    Raises:
        ConfigError: If `minutes` is no number above 0.
    """
    text = options.get("minutes")
    if text is None:
        return None
    with suppress(ValueError):
        if 0 < 60 * float(text) < threading.TIMEOUT_MAX:
            return 60 * float(text)
    raise ConfigError(f"minutes={text!r} is not allowed; allowed: a number above 0")


def run_all(
    manifest: Manifest,
    device: str | None,
    watcher: Watcher,
    stop_requested: Callable[[], bool] = lambda: False,
    *,
    mark: bool = False,
) -> Tally:
    """Do the runs in this process, one after another; one that fails does not stop the rest.

    When it is requested to stop, the run at hand is saved and the others are not begun. `mark` is
    for a process that nobody listens to (`sambench.launch.unit.attempt`).

    Raises:
        DeviceError: If the device is not there.
        StoreError: If the results folder cannot be written.
    """
    where, _ = choose_device(device)
    tally = Tally()
    try:
        for index, config in enumerate(manifest.configs):
            if tally.interrupted or stop_requested() or (manifest.fail_fast and tally.exit_code):
                break
            ending = attempt(manifest, index, where, watcher, stop_requested, mark=mark)
            tally.count(config, ending, watcher)
            tally.interrupted = isinstance(ending, RunRecord) and ending.status == INTERRUPTED
    except KeyboardInterrupt:
        tally.interrupted = True
    tally.interrupted |= stop_requested()
    return tally


launchers.register(
    Launcher(
        name="local",
        summary="this machine: a worker for each core, or for each device",
        launch=launch,
        options={
            "devices": "devices to use at once, as cuda:0,cuda:1",
            "workers": "runs at once; on CPUs one a core, as far as the memory allows",
            "threads": "of each run on a CPU; 1, or all",
            "minutes": "save what is at hand and stop after so long",
            "runs_per_device": "runs at once on each device; 1 on a GPU",
        },
    )
)
