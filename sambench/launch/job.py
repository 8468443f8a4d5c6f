"""The process of a job: `python -m sambench.launch.job MANIFEST FIRST[-LAST] [AT_ONCE]`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from sambench.errors import DeviceError, LaunchError, UserError
from sambench.files.claim import HEARTBEAT_SECONDS, Claimed
from sambench.files.owner import STALE_SECONDS
from sambench.launch.manifest import Manifest
from sambench.launch.signals import stop_on_signal
from sambench.launch.unit import mark_error, perform
from sambench.launch.watcher import Watcher
from sambench.plugin import load_inherited
from sambench.store.environment import RUNS_ON_DEVICE, choose_device, yield_cores
from sambench.store.record import COMPLETED, INTERRUPTED
from sambench.store.tree import Store

STOP_FILE = "stop"
"""A file beside a manifest that asks all units of the launch to stop after their step."""

CLUSTER_PATIENCE = STALE_SECONDS + 2 * HEARTBEAT_SECONDS
"""For runs that a cluster starts again because the machine that did them is lost."""

_LOOK_SECONDS, _STOP_FILE_SECONDS, _PATIENT_SECONDS = 0.2, 1.0, 5.0


def main() -> int:
    """Do the units that the command line names, one after another or several side by side.

    In a Slurm job, USR2 asks to save the run at hand and to queue the job again: Slurm sends it
    before a time limit, and at a preemption.
    """
    found = re.fullmatch(r"(\d+)(?:-(\d+))?(?: (\d+))?", " ".join(sys.argv[2:]))
    if found is None:
        log("usage: python -m sambench.launch.job MANIFEST FIRST[-LAST] [AT_ONCE]")
        return 2
    path, first, last = Path(sys.argv[1]), int(found[1]), int(found[2] or found[1])
    yield_cores()
    cut = threading.Event()

    def save(number: int, frame: FrameType | None) -> None:
        cut.set()
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGUSR2, save)
    job = os.environ.get("SLURM_JOB_ID")
    try:
        with stop_on_signal(insist=False) as stop_requested:
            if first < last:
                last = min(last, len(Manifest.read(path).configs) - 1)
            places = [first, *range(first + 1, last + 1)]
            if found[3] and len(places) > 1:
                code = _side_by_side(path, places, int(found[3]), stop_requested)
            else:
                patience = CLUSTER_PATIENCE if job is not None else 0.0
                code = _one_after_another(path, places, patience, stop_requested)
    except UserError as error:
        log(f"error: {error}")
        return 2
    if code == 130 and job and cut.is_set():
        log(f"job {job} was cut and is queued again")
        subprocess.run(["scontrol", "requeue", job], check=False)
    return code


def _one_after_another(
    path: Path, places: list[int], patience: float, stop_requested: Callable[[], bool]
) -> int:
    worst = 0
    for place in places:
        worst = max(worst, perform_alone(path, place, stop_requested, patience=patience))
        if worst == 130:
            break
    return worst


def _side_by_side(
    path: Path, places: list[int], at_once: int, stop_requested: Callable[[], bool]
) -> int:
    """Do units in processes of their own, so many at once, which are asked to stop with us."""
    at_work: list[subprocess.Popen[bytes]] = []
    worst = 0
    os.environ[RUNS_ON_DEVICE] = str(min(at_once, len(places)))
    while at_work or (places and not stop_requested()):
        while places and len(at_work) < at_once and not stop_requested():
            command = [sys.executable, "-m", "sambench.launch.job", str(path), str(places.pop(0))]
            at_work.append(subprocess.Popen(command))
        time.sleep(_LOOK_SECONDS)
        for process in at_work:
            if stop_requested():
                process.send_signal(signal.SIGTERM)
        worst = max([worst, *(abs(process.poll() or 0) for process in at_work)])
        at_work = [process for process in at_work if process.returncode is None]
    return 130 if stop_requested() else worst


def perform_alone(
    path: Path, index: int, stop_requested: Callable[[], bool], *, patience: float = 0.0
) -> int:
    """Do one unit in a process that nobody listens to: how it ended is in the run's record alone.

    A run that another process holds is waited for with `patience`, in seconds: a machine that was
    lost holds its claim for `sambench.files.owner.STALE_SECONDS`. The exit code is 0 done or being
    done elsewhere, 1 failed or diverged, 130 interrupted.

    Raises:
        LaunchError: If there is no such manifest or unit.
    """
    load_inherited()
    manifest = Manifest.read(path)
    if not 0 <= index < len(manifest.configs):
        raise LaunchError(f"{path} has units 0 to {len(manifest.configs) - 1}, not {index}")
    stopping = _or_stop_file(path.with_name(STOP_FILE), stop_requested)
    if stopping():
        return 130
    give_up = time.monotonic() + patience
    try:
        device, _ = choose_device(manifest.device)
        while True:
            try:
                record = perform(
                    manifest,
                    index,
                    device=device,
                    watcher=Watcher(say=log),
                    stop_requested=stopping,
                )
                break
            except Claimed as reason:
                if time.monotonic() > give_up or stopping():
                    log(str(reason))
                    return 0
                time.sleep(min(_PATIENT_SECONDS, patience))
    except KeyboardInterrupt:
        return 130
    except DeviceError as error:  # no fault of the run
        log(f"error: {error}; a job that asked for a GPU finds none: look at its setup and driver")
        return 1
    except Exception as error:
        log(traceback.format_exc())
        mark_error(Store(manifest.results), manifest.configs[index], error)
        return 1
    log(f"{record.name}: {record.status}")
    return {COMPLETED: 0, INTERRUPTED: 130}.get(record.status, 1)


def _or_stop_file(file: Path, stop_requested: Callable[[], bool]) -> Callable[[], bool]:
    """Return a function that also looks for a stop file, at most once a second."""
    looked = float("-inf")
    found = False

    def stopping() -> bool:
        nonlocal looked, found
        now = time.monotonic()
        if not found and now - looked > _STOP_FILE_SECONDS:
            looked, found = now, file.exists()
        return found or stop_requested()

    return stopping


def log(text: str) -> None:
    """Write to where a job's log is."""
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
