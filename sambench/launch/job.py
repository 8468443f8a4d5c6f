"""The process of a job: `python -m sambench.launch.job MANIFEST FIRST[-LAST] [AT_ONCE]`.

What becomes of a run is told by its record alone; the job's log is for people. The exit code is 0
done or being done elsewhere, 1 failed or diverged, 2 a mistake of the user, 130 interrupted.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import FrameType

from sambench.config.run_config import RunConfig
from sambench.errors import DeviceError, LaunchError, UserError
from sambench.launch import slurm_jobs
from sambench.launch.launcher import Watcher
from sambench.launch.launchers.local import run_all
from sambench.launch.manifest import Manifest
from sambench.launch.signals import stop_on_signal
from sambench.plugin import load_inherited
from sambench.store.environment import RUNS_ON_DEVICE, yield_cores
from sambench.training.events import Started

_LOOK_SECONDS = 0.2


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
    try:
        with stop_on_signal(insist=False) as stop_requested:
            load_inherited()
            manifest = Manifest.read(path)
            places = range(len(manifest.configs))[first : last + 1]
            if not places:
                raise LaunchError(f"{path} has units 0 to {len(manifest.configs) - 1}, not {first}")
            if found[3] and len(places) > 1:
                code = _side_by_side(path, places, int(found[3]), stop_requested)
            else:
                alone = replace(manifest, configs=manifest.configs[first : last + 1])
                watcher = _watcher(manifest)
                code = run_all(alone, alone.device, watcher, stop_requested, mark=True).exit_code
    except DeviceError as error:  # no fault of the run
        log(f"error: {error}; a job that asked for a GPU finds none: look at its setup and driver")
        return 1
    except UserError as error:
        log(f"error: {error}")
        return 2
    if code == 130 and cut.is_set() and (job := slurm_jobs.own_job()):
        log(f"job {job} was cut and is queued again")
        subprocess.run(["scontrol", "requeue", job], check=False)
    return code


def _side_by_side(
    path: Path, places: Sequence[int], at_once: int, stop_requested: Callable[[], bool]
) -> int:
    """Do units in processes of their own, so many at once, which are asked to stop with us."""

    def alone(place: int) -> int:
        if stop_requested():
            return 130
        with subprocess.Popen([*command, str(place)]) as process:
            while process.poll() is None:
                time.sleep(_LOOK_SECONDS)
                if stop_requested():
                    process.terminate()
        return abs(int(process.returncode))

    command = [sys.executable, "-m", "sambench.launch.job", str(path)]
    os.environ[RUNS_ON_DEVICE] = str(min(at_once, len(places)))
    with ThreadPoolExecutor(at_once) as pool:
        worst = max(pool.map(alone, places))
    return 130 if stop_requested() else worst


def _watcher(manifest: Manifest) -> Watcher:
    """Return a watcher that tells the job's log, and `squeue` which run is at hand."""

    def at_hand(config: RunConfig) -> None:
        if RUNS_ON_DEVICE not in os.environ:  # with others beside it, none is the one
            slurm_jobs.name_own(manifest.suite, config.name)

    return Watcher(
        event=lambda event: at_hand(event.config) if isinstance(event, Started) else None,
        measuring=at_hand,
        finished=lambda record: log(f"{record.name}: {record.status}"),
        failed=lambda config, error: log("".join(traceback.format_exception(error))),
        elsewhere=lambda config: log(f"{config.name} is being done by another process"),
        say=log,
    )


def log(text: str) -> None:
    """Write to where a job's log is."""
    sys.stderr.write(text.rstrip() + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
