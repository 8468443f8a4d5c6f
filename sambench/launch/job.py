"""The process of a job: `python -m sambench.launch.job MANIFEST FIRST[-LAST] [AT_ONCE]`.

What becomes of a run is told by its record alone; the job's log is for people. The exit code is 0
done or being done elsewhere, 1 failed or diverged, 2 a mistake of the user, 130 interrupted.
"""

from __future__ import annotations

import re
import signal
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path
from types import FrameType

from sambench.config.run_config import RunConfig
from sambench.errors import DeviceError, LaunchError, UserError
from sambench.launch import slurm_jobs
from sambench.launch.launcher import Watcher
from sambench.launch.launchers.local import run_all
from sambench.launch.manifest import Manifest
from sambench.launch.pool import Pool
from sambench.launch.signals import stop_on_signal
from sambench.plugin import load_inherited
from sambench.store.environment import choose_device, yield_cores
from sambench.training.events import Started


def main() -> int:
    """Do the units that the command line names; USR2 saves them and queues a Slurm job again."""
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
            whole = Manifest.read(path)
            manifest = replace(whole, configs=whole.configs[first : last + 1])
            at_once = min(int(found[3] or 1), len(manifest.configs))
            watcher = _watcher(manifest, alone=at_once == 1)
            if not manifest.configs:
                raise LaunchError(f"{path} has units 0 to {len(whole.configs) - 1}, not {first}")
            if at_once > 1:
                crew = [str(choose_device(manifest.device)[0])] * at_once
                tally = Pool(manifest, crew, None, watcher, stop_requested).run()
            else:
                tally = run_all(manifest, manifest.device, watcher, stop_requested, mark=True)
    except DeviceError as error:  # no fault of the run
        log(f"error: {error}; a job that asked for a GPU finds none: look at its setup and driver")
        return 1
    except UserError as error:
        log(f"error: {error}")
        return 2
    if tally.interrupted and cut.is_set() and (job := slurm_jobs.own_job()):
        log(f"job {job} was cut and is queued again")
        if refusal := slurm_jobs.instruct("scontrol", "requeue", job):
            log(f"Slurm did not ({refusal}); the same `sambench compare` goes on")
    return tally.exit_code


def _watcher(manifest: Manifest, *, alone: bool) -> Watcher:
    """Return a watcher that tells the job's log, and `squeue` which run is `alone` at hand."""

    def at_hand(config: RunConfig) -> None:
        if alone:
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
