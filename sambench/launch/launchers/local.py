"""Runs on this machine: in-line, or by several workers at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sambench.errors import ConfigError, DamagedError, StoreError
from sambench.launch.launcher import RUNS_PER_DEVICE, Launcher, launchers
from sambench.launch.manifest import Manifest
from sambench.launch.watcher import Tally, Watcher
from sambench.store.record import INTERRUPTED

MINUTES, WORKERS, THREADS = "minutes", "workers", "threads"


def launch(manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
    """Do the runs in-line, or by workers: one a core on CPUs, else as many as are asked for.

    Raises:
        ConfigError: If the options contradict each other.
        DeviceError: If a device is not there.
        StoreError: If the results folder cannot be written.
    """
    from sambench.launch.crew import ALL, count_threads, form_crew
    from sambench.launch.pool import Pool

    devices, reason = named_devices(options, manifest.device), "as asked"
    if not devices:
        from sambench.store.environment import choose_device

        chosen, reason = choose_device(manifest.device)
        devices = [str(chosen)]
    threads = ALL if options.get(THREADS) == ALL else whole_number(options, THREADS)
    crew = form_crew(
        manifest,
        devices,
        workers=whole_number(options, WORKERS),
        per_device=whole_number(options, RUNS_PER_DEVICE),
        threads=threads,
    )
    seconds = seconds_allowed(options)
    if len(crew.devices) > 1:
        return Pool(manifest, crew, watcher, seconds).run()
    shown = f", {count_threads(crew.threads)}" if crew.threads else ""
    watcher.say(f"device {crew.devices[0]} ({reason}){shown}{crew.note}")
    with computing_threads(crew.threads):
        return run_all(manifest, crew.devices[0], watcher, seconds)


def named_devices(options: Mapping[str, str], device: str | None) -> list[str]:
    """Return the devices of `devices`.

    Raises:
        ConfigError: If it contradicts the device.
    """
    given = [name.strip() for name in options.get("devices", "").split(",") if name.strip()]
    if given and device is not None:
        raise ConfigError("--device and --devices contradict each other; give one of them")
    return given


def whole_number(options: Mapping[str, str], name: str, least: int = 1) -> int | None:
    """Return an option that is a whole number; None where it is not given.

    Raises:
        ConfigError: If it is anything else, or less than `least`.
    """
    text = options.get(name)
    if text is None:
        return None
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{name}={text!r} is not allowed; allowed: a whole number >= {least}")
    return int(text)


@contextmanager
def computing_threads(number: int | None) -> Iterator[None]:
    """Have torch compute with so many threads while the block runs; None leaves them alone."""
    if number is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds_allowed(options: Mapping[str, str]) -> float | None:
    """Return the seconds after which to stop; None for as long as it takes.

    Raises:
        ConfigError: If `minutes` is no number above 0.
    """
    text = options.get(MINUTES)
    if text is None:
        return None
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < threading.TIMEOUT_MAX / 60:
        raise ConfigError(f"{MINUTES}={text!r} is not allowed; allowed: a number above 0")
    return 60 * minutes


def run_all(
    manifest: Manifest, device: str | None, watcher: Watcher, seconds: float | None = None
) -> Tally:
    """Do the runs in this process, one after another; one that fails does not stop the rest.

    Args:
        manifest: The runs.
        device: Where to train; None for the best there is.
        watcher: Told what happens.
        seconds: Save the run at hand and stop after so long; None for never.

    Raises:
        DeviceError: If the device is not there.
        StoreError: If the results folder cannot be written.
    """
    from sambench.files.claim import Claimed
    from sambench.launch.signals import stop_on_signal
    from sambench.launch.together import processes
    from sambench.launch.unit import perform
    from sambench.store.environment import choose_device

    where, _ = choose_device(device)
    tally = Tally()
    with stop_on_signal(insist=processes() == 1, seconds=seconds) as stop_requested:
        for index, config in enumerate(manifest.configs):
            try:
                record = perform(
                    manifest, index, device=where, watcher=watcher, stop_requested=stop_requested
                )
                tally.records.append(record)
                watcher.finished(record)
                tally.interrupted = record.status == INTERRUPTED
            except Claimed:
                tally.elsewhere += 1
                watcher.elsewhere(config)
            except KeyboardInterrupt:
                tally.interrupted = True
            except Exception as error:
                if isinstance(error, StoreError) and not isinstance(error, DamagedError):
                    raise  # no other run could be written either
                tally.errors.append(error)
                watcher.failed(config, error)
            if tally.interrupted or stop_requested():
                tally.interrupted = True
                break
            if manifest.fail_fast and tally.exit_code:
                break
    return tally


launchers.register(
    Launcher(
        name="local",
        summary="this machine: a worker for each core, or for each device",
        launch=launch,
        options={
            "devices": "devices to use at once, as cuda:0,cuda:1",
            WORKERS: "runs at once; on CPUs one a core, as far as the memory allows",
            THREADS: "of each run on a CPU; 1, or all",
            MINUTES: "save what is at hand and stop after so long",
            RUNS_PER_DEVICE: "runs at once on each device; 1 on a GPU",
        },
    )
)
