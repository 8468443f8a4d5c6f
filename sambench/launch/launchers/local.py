"""Runs on this machine: in-line on one device, or by workers, each with a device of its own."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Literal

from sambench.errors import ConfigError, DamagedError, StoreError
from sambench.launch.launcher import AUTO, RUNS_PER_DEVICE, Launcher, launchers
from sambench.launch.manifest import Manifest
from sambench.launch.watcher import Tally, Watcher
from sambench.store.record import INTERRUPTED

MINUTES = "minutes"


def launch(manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
    """Do the runs in-line, or by workers where several devices or runs on one are asked for.

    Raises:
        ConfigError: If the options contradict each other.
        DeviceError: If a device is not there.
        StoreError: If the results folder cannot be written.
    """
    from sambench.launch.packing import Packing
    from sambench.launch.pool import Pool

    devices = named_devices(options, manifest.device)
    number, seconds = runs_per_device(options), seconds_allowed(options)
    if number != 1 and not devices:
        from sambench.store.environment import choose_device

        devices = [str(choose_device(manifest.device)[0])]
    packing = None
    if number == AUTO and any(name.startswith("cuda") for name in devices):
        packing = Packing(manifest, len(devices))
    workers = [name for name in devices for _ in range(number if isinstance(number, int) else 1)]
    if (len(workers) > 1 or packing) and len(manifest.configs) > 1:
        return Pool(manifest, workers[: len(manifest.configs)], watcher, packing, seconds).run()
    device = workers[0] if workers else manifest.device
    return run_all(manifest, device, watcher, seconds)


def named_devices(options: Mapping[str, str], device: str | None) -> list[str]:
    """Return the devices of `devices`.

    Raises:
        ConfigError: If it contradicts the device.
    """
    given = [name.strip() for name in options.get("devices", "").split(",") if name.strip()]
    if given and device is not None:
        raise ConfigError("--device and --devices contradict each other; give one of them")
    return given


def runs_per_device(options: Mapping[str, str]) -> int | Literal["auto"]:
    """Return how many runs go on each device at once.

    Raises:
        ConfigError: If it is neither `auto` nor a whole number above 0.
    """
    text = options.get(RUNS_PER_DEVICE, "1")
    if text == AUTO:
        return AUTO
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(
            f"{RUNS_PER_DEVICE}={text!r} is not allowed; allowed: a whole number >= 1, or auto"
        )
    return int(text)


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

    where, reason = choose_device(device)
    watcher.say(f"device {where} ({reason})")
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
        summary="this machine: in-line, or a worker for each device",
        launch=launch,
        options={
            "devices": "devices to use at once, as cuda:0,cuda:1",
            MINUTES: "save what is at hand and stop after so long",
            RUNS_PER_DEVICE: "runs packed on each device at once; auto: as many as fit on a GPU",
        },
    )
)
