"""The process of a job: `python -m sambench.launch.job MANIFEST FIRST[-LAST] [AT_ONCE]`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from sambench.errors import UserError
from sambench.launch.manifest import Manifest
from sambench.launch.signals import stop_on_signal
from sambench.launch.unit import CLUSTER_PATIENCE, log, perform_alone
from sambench.store.environment import RUNS_ON_DEVICE, yield_cores

LOOK_SECONDS = 0.2
"""How often processes side by side are looked after."""


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
            if found[3] and last > first:
                code = _side_by_side(path, range(first, last + 1), int(found[3]), stop_requested)
            else:
                code = _one_after_another(path, first, last, stop_requested)
    except UserError as error:
        log(f"error: {error}")
        return 2
    job = os.environ.get("SLURM_JOB_ID")
    if code == 130 and job and cut.is_set():
        log(f"job {job} was cut and is queued again")
        subprocess.run(["scontrol", "requeue", job], check=False)
    return code


def _one_after_another(
    path: Path, first: int, last: int, stop_requested: Callable[[], bool]
) -> int:
    patience = CLUSTER_PATIENCE if "SLURM_JOB_ID" in os.environ else 0.0
    codes = [0]
    for place in range(first, last + 1):
        if place == first or place < len(Manifest.read(path).configs):
            codes.append(perform_alone(path, place, stop_requested, patience=patience))
        if codes[-1] == 130:
            break
    return max(codes)


def _side_by_side(
    path: Path, places: Sequence[int], at_once: int, stop_requested: Callable[[], bool]
) -> int:
    """Do units in processes of their own, so many at once, which are asked to stop with us."""
    open_places = [place for place in places if place < len(Manifest.read(path).configs)]
    at_work: list[subprocess.Popen[bytes]] = []
    codes = [0]
    os.environ[RUNS_ON_DEVICE] = str(min(at_once, len(open_places)))
    while at_work or (open_places and not stop_requested()):
        while open_places and len(at_work) < at_once and not stop_requested():
            command = [sys.executable, "-m", "sambench.launch.job", str(path)]
            at_work.append(subprocess.Popen([*command, str(open_places.pop(0))]))
        time.sleep(LOOK_SECONDS)
        for process in at_work:
            if stop_requested():
                process.send_signal(signal.SIGTERM)
        codes += [process.returncode for process in at_work if process.poll() is not None]
        at_work = [process for process in at_work if process.returncode is None]
    return max(abs(code) for code in codes) if not stop_requested() else 130


if __name__ == "__main__":
    sys.exit(main())
