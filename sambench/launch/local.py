"""Runs on this machine: in-line on one device, or by workers, each with a device of its own."""

from __future__ import annotations

from collections.abc import Mapping

from sambench.claim import Claimed
from sambench.errors import ConfigError, StoreError
from sambench.launch.launcher import Launcher, launchers
from sambench.launch.manifest import Manifest
from sambench.launch.pool import Pool
from sambench.launch.signals import stop_on_signal
from sambench.launch.together import processes
from sambench.launch.unit import perform
from sambench.launch.watcher import Tally, Watcher
from sambench.record import INTERRUPTED


def launch(manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
    """Do the runs in-line, or by workers where `devices` or `workers` ask for several.

    Raises:
        ConfigError: If the options contradict each other.
        DeviceError: If a device is not there.
        StoreError: If the results folder cannot be written.
    """
    devices = worker_devices(options, manifest.device)
    if len(devices) > 1 and len(manifest.configs) > 1:
        return Pool(manifest, devices[: len(manifest.configs)], watcher).run()
    one = devices[0] if devices else manifest.device
    return run_all(manifest, one, watcher)


def worker_devices(options: Mapping[str, str], device: str | None) -> list[str]:
    """Return a device for each worker: the devices of `devices`, each with `workers` of them.

    Raises:
        ConfigError: If `workers` is no number above 0, or `devices` contradicts the device.
    """
    given = [name.strip() for name in options.get("devices", "").split(",") if name.strip()]
    if given and device is not None:
        raise ConfigError("--device and --devices contradict each other; give one of them")
    text = options.get("workers", "1")
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"workers={text!r} is not allowed; allowed: a whole number >= 1")
    if not given and int(text) == 1:
        return []
    return [name for name in given or [device or "cpu"] for _ in range(int(text))]


def run_all(manifest: Manifest, device: str | None, watcher: Watcher) -> Tally:
    """Do the runs in this process, one after another; one that fails does not stop the rest.

    Args:
        manifest: The runs.
        device: Where to train; None for the best there is.
        watcher: Told what happens.

    Raises:
        DeviceError: If the device is not there.
        StoreError: If the results folder cannot be written.
    """
    from sambench.environment import choose_device

    where, reason = choose_device(device)
    watcher.say(f"device {where} ({reason})")
    tally = Tally()
    with stop_on_signal(insist=processes() == 1) as stop_requested:
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
            except StoreError:
                raise  # no other run could be written either
            except Exception as error:
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
            "workers": "processes for each device",
        },
    )
)
