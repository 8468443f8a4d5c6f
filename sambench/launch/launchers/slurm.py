"""Runs on a Slurm cluster: an array job of the missing ones, submitted through submitit.

How a run stands is read from its files and from `squeue`, never from submitit's results, which do
not end for a job that was killed. Ctrl-C cancels the jobs: each run is saved after its step. Any
other end of this process (a closed shell, a lost connection) leaves them alone: the same command
finds those still queued, submits what is missing, and waits for both.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from sambench.errors import ConfigError, LaunchError, did_you_mean
from sambench.files.atomic import write_json
from sambench.launch.launcher import RUNS_PER_DEVICE, Launcher, launchers
from sambench.launch.manifest import LAUNCHES, Manifest
from sambench.launch.watcher import Tally, Watcher

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

SUBMISSION = "slurm.json"
POLL_SECONDS = 5.0
"""How often `squeue` is asked."""

ARRAY_SIZE = 1000
"""Most tasks of an array job: one below Slurm's default MaxArraySize."""

REQUEUES = 100
"""Times that submitit requeues a job; it takes each preemption of a job under 10 minutes for a
time-out, and gives up after three by default."""

SHARED = ("timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "stderr_to_stdout")
SETUP = ["export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1} OMP_WAIT_POLICY=PASSIVE"]

Queue = dict[str, tuple[str, str]]
"""State and name of each of the user's jobs, by its id (`12_3` in an array)."""


class ClusterUnit:
    """What a job calls. Of it, two strings and a number are pickled, and no code.

    submitit would save and requeue from within its signal handler, which may run in the middle of a
    step, with perturbed weights. So the signal is only noted here; the run is saved at the end of
    its step, and then submitit's handler is called to requeue the job.
    """

    def __call__(self, manifest: str, index: int) -> None:
        """Do a unit; requeue the job if a time limit or a preemption cut it."""
        from submitit.core.job_environment import JobEnvironment

        from sambench.launch.unit import CLUSTER_PATIENCE, perform_alone

        cut = JobEnvironment._usr_sig()
        caught: list[int] = []

        def note(number: int, frame: FrameType | None) -> None:
            caught.append(number)

        before = {number: signal.signal(number, note) for number in (cut, signal.SIGTERM)}
        code = perform_alone(Path(manifest), index, lambda: bool(caught), patience=CLUSTER_PATIENCE)
        for number, handler in before.items():
            signal.signal(number, handler)
        requeue = before[cut]
        if code == 130 and cut in caught and callable(requeue):
            requeue(cut, None)  # ends the process
        sys.exit(code)

    def checkpoint(self, manifest: str, index: int) -> DelayedSubmission:
        """Return what the requeued job is to call: the same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, manifest, index)


def launch(manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
    """Submit the runs that no earlier job will do, and wait until all are over.

    Raises:
        ConfigError: If an option is not one of submitit's.
        LaunchError: If Slurm or submitit is not there, or the jobs are refused.
    """
    if options.keys() & {RUNS_PER_DEVICE, "workers", "threads"}:
        raise ConfigError(
            "the slurm launcher gives each run a device of its own; to pack several, start "
            "`compare --launcher local --runs-per-device N` in one job"
        )
    given = {key: _value(text) for key, text in options.items()}
    wait = given.pop("wait", True)
    if shutil.which("sbatch") is None or shutil.which("squeue") is None:
        raise LaunchError("there is no Slurm here (no sbatch); use another --launcher")
    jobs = _queued_earlier(manifest)
    if jobs:
        watcher.say(f"{len(jobs)} of the runs are in the queue already: {', '.join(sorted(jobs))}")
    missing = [n for n in range(len(manifest.configs)) if n not in jobs.values()]
    for start in range(0, len(missing), ARRAY_SIZE):
        part = missing[start : start + ARRAY_SIZE]
        submitted = _submit(manifest, part, given)
        first = min(submitted, key=len).partition("_")[0]
        plural = "" if len(part) == 1 else "s"
        watcher.say(f"submitted {len(part)} run{plural} to Slurm as job {first}")
        jobs |= submitted
    if not wait:
        return Tally(elsewhere=len(jobs))
    return _wait(manifest, jobs, watcher)


def _submit(manifest: Manifest, part: Sequence[int], given: Mapping[str, Any]) -> dict[str, int]:
    """Submit some of the runs; return the index of the run of each job."""
    try:
        import submitit
    except ImportError:
        raise LaunchError(
            "the slurm launcher needs submitit: pip install 'sambench[slurm]'"
        ) from None
    path = replace(manifest, configs=tuple(manifest.configs[n] for n in part)).write()
    name = f"sambench-{path.parent.name}"
    known = {*SHARED, *submitit.SlurmExecutor._valid_parameters()}
    for key in given:
        if key not in known:
            raise ConfigError(
                f"launcher slurm has no option {key!r}{did_you_mean(key, known)}; it has wait and "
                f"submitit's: {', '.join(sorted(known))}"
            )
    parameters = {key if key in SHARED else f"slurm_{key}": v for key, v in given.items()}
    setup = [*SETUP, *([str(given["setup"])] if "setup" in given else [])]
    try:
        executor = submitit.AutoExecutor(
            path.parent / "slurm", cluster="slurm", slurm_max_num_timeout=REQUEUES
        )
        executor.update_parameters(**{**parameters, "name": name, "slurm_setup": setup})
    except (TypeError, ValueError, NameError, AssertionError) as error:
        raise ConfigError(f"--slurm: {' '.join(str(error).split())}") from None
    try:
        unit, places = ClusterUnit(), range(len(part))
        submitted = executor.map_array(unit, [str(path)] * len(part), places)
    except submitit.core.utils.FailedJobError as error:
        said = [line for line in str(error).splitlines() if "sbatch" in line and "error" in line]
        raise LaunchError(f"Slurm refused the jobs: {' '.join(said) or error}") from None
    jobs = {str(job.job_id): n for job, n in zip(submitted, part, strict=True)}
    runs = {job: manifest.configs[n].id for job, n in jobs.items()}
    write_json(path.with_name(SUBMISSION), {"version": 1, "name": name, "runs": runs})
    return jobs


def _queued_earlier(manifest: Manifest) -> dict[str, int]:
    """Return the jobs of earlier launches that will still do some of the runs."""
    places = {config.id: n for n, config in enumerate(manifest.configs)}
    queue = _queue() or {}
    names = {name for _, name in queue.values()}
    found = {}
    for path in (manifest.results / LAUNCHES).glob(f"*/{SUBMISSION}"):
        submission = json.loads(path.read_text())
        if submission["name"] in names:
            for job, run in submission["runs"].items():
                if run in places and queue.get(job, ("", ""))[1] == submission["name"]:
                    found[job] = places[run]
    return found


def _wait(manifest: Manifest, jobs: dict[str, int], watcher: Watcher) -> Tally:
    """Tell of each run as its job leaves the queue; Ctrl-C cancels those that are left."""
    from sambench.launch.signals import stop_on_signal

    tally, total, left, ended = Tally(), len(jobs), dict(jobs), False
    try:
        with stop_on_signal((signal.SIGINT,)) as stop_requested:
            while left:
                if stop_requested() and not tally.interrupted:
                    tally.interrupted = True
                    watcher.say("cancelling the jobs; each run is saved after its step")
                    _cancel(left)
                queue = _queue()
                gone = [] if queue is None else [job for job in left if job not in queue]
                for job in gone:
                    _end(manifest, job, left.pop(job), watcher, tally)
                if manifest.fail_fast and tally.exit_code == 1 and left and not ended:
                    ended = True
                    _cancel(left)
                if left:
                    watcher.waiting(_summary(queue or {}, left), total - len(left), total)
                    _sleep(lambda: stop_requested() and not tally.interrupted)
    except KeyboardInterrupt:
        tally.interrupted = True
    return tally


def _end(manifest: Manifest, job: str, index: int, watcher: Watcher, tally: Tally) -> None:
    from sambench.launch.unit import conclude

    reason = (
        f"its Slurm job {job} ended without finishing it (killed, out of memory, node lost); "
        f"see the logs below {manifest.results / LAUNCHES}"
    )
    conclude(manifest, index, watcher, tally, reason)


def _sleep(interrupted: Callable[[], bool]) -> None:
    """Sleep until it is time to ask again, or something has to be done at once."""
    end = time.monotonic() + POLL_SECONDS
    while time.monotonic() < end and not interrupted():
        time.sleep(0.1)


def _summary(queue: Queue, left: Mapping[str, int]) -> str:
    states = [queue[job][0].lower() for job in left if job in queue]
    return "Slurm: " + ", ".join(f"{states.count(s)} {s}" for s in sorted(set(states)))


def _queue() -> Queue | None:
    """Return the user's jobs that are not over, or None when Slurm does not answer."""
    command = ["squeue", "--noheader", "--array", "--me", "--format=%i %T %j"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    rows = (line.split(maxsplit=2) for line in done.stdout.splitlines())
    return {job: (state, name) for job, state, name in rows}


def _cancel(jobs: Mapping[str, int]) -> None:
    """Have Slurm end jobs: those that run get a TERM first, and save their runs."""
    subprocess.run(["scancel", *jobs], capture_output=True, timeout=60, check=False)


def _value(text: str) -> bool | int | float | str:
    if text.lower() in ("yes", "true", "no", "false"):
        return text.lower() in ("yes", "true")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


launchers.register(
    Launcher(
        name="slurm",
        summary="a Slurm cluster: one array job of the missing runs",
        launch=launch,
        options={
            "partition": "where to queue",
            "gpus_per_node": "GPUs of each run; 1 as a rule",
            "timeout_min": "time limit; a run that takes longer is requeued and resumed",
            "array_parallelism": "most runs at once",
            "wait": "no: return once the jobs are submitted",
            "...": "every other parameter of submitit for Slurm (account, qos, constraint ...)",
        },
        open_options=True,
        reference="pip install 'sambench[slurm]', and Slurm",
    )
)
