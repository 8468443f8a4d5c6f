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
from typing import Annotated

from msgspec import Meta

from sambench.errors import ConfigError, UserError
from sambench.files.definition import Whole
from sambench.launch.launcher import Launcher, Tally, Watcher, launchers, read_number
from sambench.launch.manifest import Manifest
from sambench.launch.signals import stop_on_signal
from sambench.launch.together import processes
from sambench.launch.unit import attempt, let_go
from sambench.store.environment import choose_device
from sambench.store.machine import cores, free_memory, torch_threads
from sambench.store.record import INTERRUPTED, RunRecord

ALL = "all"
"""Instead of a number of threads: all cores, as torch takes them by itself."""

MEMORY_SHARE = 0.9
"""Of the free memory, what workers may be started for."""

_LONGEST = threading.TIMEOUT_MAX / 60
Minutes = Annotated[float, Meta(gt=0, le=_LONGEST, extra={"allowed": "a number above 0"})]


def launch(manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
    """Do the runs in-line, or by workers: one a core on CPUs, else as many as are asked for.

    Options that contradict each other, or a device that is not there, are a UserError.
    """
    devices, reason = named_devices(options, manifest.device), "as asked"
    if not devices:
        chosen, reason = choose_device(manifest.device)
        devices = [str(chosen)]
    crew = form_crew(manifest, devices, options)
    minutes = read_number(options, "minutes", Minutes)
    insist, seconds = processes() == 1, minutes and 60 * minutes
    with stop_on_signal(insist=insist, seconds=seconds) as stop_requested:
        there = ", ".join(dict.fromkeys(crew.devices))
        if len(crew.devices) > 1:
            from sambench.launch.pool import Pool

            watcher.say(f"{len(crew.devices)} workers on {there}{crew.note}")
            return Pool(manifest, crew.devices, crew.threads, watcher, stop_requested).run()
        watcher.say(f"device {there} ({reason}){crew.note}")
        with torch_threads(crew.threads):
            return run_all(manifest, crew.devices[0], watcher, stop_requested)


@dataclass(frozen=True, kw_only=True)
class Crew:
    """The workers of a launch: a device for each; a single one is this process itself."""

    devices: Sequence[str]
    threads: int | None  # of each; None leaves them to torch, which takes all cores
    note: str  # tells these, why there are no more workers, and what would use the idle cores


def form_crew(manifest: Manifest, devices: Sequence[str], options: Mapping[str, str]) -> Crew:
    """Return the workers for the runs of a manifest, which take the devices in turn.

    There are so many in all, or on each device: both, or what is no number, is a ConfigError. Their
    threads are OMP_NUM_THREADS by default, else one on CPUs and a share of the cores beside GPUs.
    """
    workers = read_number(options, "workers", Whole)
    per_device = read_number(options, "runs_per_device", Whole)
    if workers is not None and per_device is not None:
        raise ConfigError("--workers and --runs-per-device contradict each other; give one of them")
    runs, why = max(1, len(manifest.configs)), ""
    crew = min(workers or (per_device or 1) * len(devices), runs)
    on_cpus = all(device == "cpu" for device in devices)
    threads = _threads_given(options)
    if threads is None:
        threads = 1 if on_cpus else max(1, cores() // crew) if crew > 1 else 0
    if on_cpus and len(devices) == 1 and workers is None and per_device is None:
        each = threads or cores()
        crew, why = _fitting(manifest, min(max(1, cores() // each), runs))
        if 2 * crew * each <= cores():
            why = why or ("one run" if runs == 1 else f"{runs} runs")
            why += f"; --threads {cores() // crew} uses all {cores()} cores, with other rounding"
    note = f", {threads} thread{'s' * (threads > 1)}{' each' * (crew > 1)}" if threads else ""
    note += f" ({why})" if why else ""
    return Crew(devices=[*islice(cycle(devices), crew)], threads=threads or None, note=note)


def _fitting(manifest: Manifest, wanted: int) -> tuple[int, str]:
    """Return how many workers the free memory holds, at least one, and why fewer than wanted."""
    from sambench.run.estimates import estimate_memory

    free, needs = free_memory() if wanted > 1 else None, {}
    with suppress(UserError):  # the runs themselves will say what is missing
        needs = estimate_memory(manifest.configs, manifest.data) if free else {}
    if free is None or not needs:
        return wanted, ""
    largest = max(needs, key=needs.__getitem__)
    number = min(wanted, max(1, int(MEMORY_SHARE * free / needs[largest])))
    taken, there = needs[largest] / 1e9, free / 1e9
    said = f"{largest} takes about {taken:.1f} GB of memory and {there:.1f} GB are free"
    return number, "" if number == wanted else f"not {wanted}: {said}"


def _threads_given(options: Mapping[str, str]) -> int | None:
    """Return the threads of each run, by default those of OMP_NUM_THREADS; 0 for all cores."""
    if options.get("threads") == ALL:
        return 0
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    default = int(given) if given.isdecimal() and int(given) > 0 else None
    found: int | None = read_number(options, "threads", Whole, default)
    return found


def named_devices(options: Mapping[str, str], device: str | None) -> list[str]:
    """Return the devices of `devices`; a ConfigError if they contradict the device."""
    names = map(str.strip, options.get("devices", "").split(","))
    given = ["cuda:0" if name == "cuda" else name for name in names if name]  # runs are counted
    if given and device is not None:
        raise ConfigError("--device and --devices contradict each other; give one of them")
    return given


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
    that of `attempt`. No such device is a DeviceError, an unwritable results folder a StoreError.
    """
    where, _ = choose_device(device)
    tally = Tally()
    try:
        for index, config in enumerate(manifest.configs):
            if tally.interrupted or stop_requested() or (manifest.fail_fast and tally.exit_code):
                break
            for error in tally.errors:
                let_go(error, where)
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
            "devices": "devices to use at once, such as cuda:0,cuda:1",
            "workers": "runs at once; by default one for each core, as far as the memory allows",
            "threads": "threads of each run on a CPU: a number, 1 by default, or `all`",
            "minutes": "stop after this many minutes and save progress",
            "runs_per_device": "runs at once on each device, by default 1 on a GPU",
        },
    )
)
