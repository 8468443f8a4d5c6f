"""Runs on this machine: in-line, or by several workers at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from sambench.errors import ConfigError, DamagedError, StoreError
from sambench.files.claim import Claimed
from sambench.launch.crew import ALL, count_threads, form_crew
from sambench.launch.launcher import Launcher, launchers, whole_number
from sambench.launch.manifest import Manifest
from sambench.launch.pool import Pool
from sambench.launch.signals import stop_on_signal
from sambench.launch.together import processes
from sambench.launch.unit import perform
from sambench.launch.watcher import Tally, Watcher
from sambench.store.environment import choose_device
from sambench.store.record import INTERRUPTED


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
    seconds = seconds_allowed(options)
    if len(crew.devices) > 1:
        return Pool(manifest, crew, watcher, seconds).run()
    shown = f", {count_threads(crew.threads)}" if crew.threads else ""
    watcher.say(f"device {crew.devices[0]} ({reason}){shown}{crew.note}")
    import torch

    before = torch.get_num_threads()
    if crew.threads:
        torch.set_num_threads(crew.threads)
    try:
        return run_all(manifest, crew.devices[0], watcher, seconds)
    finally:
        if crew.threads:
            torch.set_num_threads(before)


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
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < threading.TIMEOUT_MAX / 60:
        raise ConfigError(f"minutes={text!r} is not allowed; allowed: a number above 0")
    return 60 * minutes


def run_all(
    manifest: Manifest, device: str | None, watcher: Watcher, seconds: float | None = None
) -> Tally:
    """Do the runs in this process, one after another; one that fails does not stop the rest.

    After so many seconds the run at hand is saved and the others are not begun.

    Raises:
        DeviceError: If the device is not there.
        StoreError: If the results folder cannot be written.
    """
    where, _ = choose_device(device)
    tally = Tally()
    with stop_on_signal(insist=processes() == 1, seconds=seconds) as stop_requested:
        for index, config in enumerate(manifest.configs):
            try:
                record = perform(
                    manifest, index, device=where, watcher=watcher, stop_requested=stop_requested
                )
                tally.count(config, record, watcher)
                tally.interrupted = record.status == INTERRUPTED
            except Claimed:
                tally.count(config, None, watcher)
            except KeyboardInterrupt:
                tally.interrupted = True
            except Exception as error:
                if isinstance(error, StoreError) and not isinstance(error, DamagedError):
                    raise  # no other run could be written either
                tally.count(config, error, watcher)
            tally.interrupted |= stop_requested()
            if tally.interrupted or (manifest.fail_fast and tally.exit_code):
                break
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
