"""Runs on a Slurm cluster: an array job of the missing ones.

How a run stands is read from its files and from Slurm's own account of its job. Ctrl-C cancels the
jobs: each run is saved after its step. Any other end of this process (a closed shell, a lost
connection) leaves them alone: the same command finds those still queued, submits what is missing,
and waits for both.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from sambench.config.run_config import RunConfig
from sambench.errors import LaunchError
from sambench.files.atomic import write_json, write_text
from sambench.files.claim import Claimed
from sambench.launch import slurm_jobs
from sambench.launch.launcher import CLUSTER_PATIENCE, Launcher, Tally, Watcher, launchers
from sambench.launch.manifest import LAUNCHES, MANIFEST, Manifest
from sambench.launch.signals import stop_on_signal
from sambench.launch.slurm_jobs import End, Job, JobOptions, job_script
from sambench.launch.unit import conclude
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.tree import Store

SUBMISSION, SCRIPT = "slurm.json", "job.sh"
POLL_SECONDS = 5.0
"""How often `squeue` is asked."""

ARRAY_SIZE = 1000
"""Most tasks of an array job: one below Slurm's default MaxArraySize."""

Jobs = dict[str, tuple[Path, tuple[int, ...]]]
"""The folder of its launch and the places of its runs in the manifest, by the id of a job."""


def launch(manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
    """Submit the runs that no earlier job will do, and wait until all are over.

    Raises:
        UserError: If options contradict each other, or Slurm is silent or refuses the jobs.
    """
    given = JobOptions(options)
    manifest = replace(manifest, patience=CLUSTER_PATIENCE)
    if given.promises_gpu and manifest.device is None:
        manifest = replace(manifest, device="cuda")  # a job without one stops and says so
    number = len(manifest.configs)
    if given.file is not None:
        write_text(given.file, job_script(given, manifest.write(), manifest))
        watcher.say(f"wrote {given.file}; submit it with `sbatch {given.file}`")
        return Tally(elsewhere=number)
    if shutil.which("sbatch") is None or shutil.which("squeue") is None:
        raise LaunchError("there is no Slurm here (no sbatch); use another --launcher")
    queued = _queued(manifest.results, manifest.configs, watcher.say)
    jobs: Jobs = {job.id: (folder, places) for job, folder, places in queued}
    there = {place for _, places in jobs.values() for place in places}
    if jobs:
        shown = ", ".join(sorted(jobs))
        watcher.say(f"{len(there)} of the runs are in the queue already: {shown}")
    jobs |= _submit(manifest, [n for n in range(number) if n not in there], given, watcher)
    if not given.wait:
        return Tally(elsewhere=number)
    return _Launch(manifest, jobs, given, watcher).wait()


def check(options: Mapping[str, str]) -> None:
    """Have Slurm look at the options without submitting anything."""
    nothing = Manifest(configs=(), data=Path(), results=Path())
    script = job_script(JobOptions(options), Path("launch") / MANIFEST, nothing)
    if shutil.which("sbatch"):
        slurm_jobs.sbatch(script, test=True)


def describe_queued(results: Path, configs: Sequence[RunConfig]) -> dict[str, str]:
    """Return what Slurm says of the runs that a job of an earlier launch will do, by id."""
    if shutil.which("squeue") is None or not any((results / LAUNCHES).glob(f"*/{SUBMISSION}")):
        return {}
    found: dict[int, str] = {}
    for job, folder, places in _queued(results, configs, lambda text: None):
        log = "" if job.state == "PENDING" else f", log {folder / f'{job.id}.log'}"
        found |= dict.fromkeys(places, f"{job}{log}")
    return {configs[place].id: found[place] for place in sorted(found)}


def _submit(manifest: Manifest, places: Sequence[int], given: JobOptions, watcher: Watcher) -> Jobs:
    """Submit some of the runs, nothing of which is left where Slurm refuses them."""
    jobs: Jobs = {}
    each = given.runs_per_job
    for start in range(0, len(places), ARRAY_SIZE * each):
        part = places[start : start + ARRAY_SIZE * each]
        chosen = replace(manifest, configs=tuple(manifest.configs[n] for n in part))
        path = chosen.write()
        script = job_script(given, path, chosen)
        try:
            number = slurm_jobs.sbatch(script)
        except LaunchError:
            shutil.rmtree(path.parent)
            raise
        write_text(path.with_name(SCRIPT), script)
        tasks = {
            f"{number}_{n // each}": tuple(part[n : n + each]) for n in range(0, len(part), each)
        }
        runs = {job: [manifest.configs[n].id for n in those] for job, those in tasks.items()}
        write_json(path.with_name(SUBMISSION), {"version": 2, "runs": runs})
        said = f"{len(part)} run{'' if len(part) == 1 else 's'}"
        watcher.say(f"submitted {said} to Slurm as job {number}; logs in {path.parent}")
        jobs |= {job: (path.parent, those) for job, those in tasks.items()}
    return jobs


def _queued(
    results: Path, configs: Sequence[RunConfig], say: Callable[[str], None]
) -> Iterator[tuple[Job, Path, tuple[int, ...]]]:
    """Yield each job of an earlier launch that will still do some of the runs.

    With it come the folder of its launch and the places of these runs.
    """
    queue = slurm_jobs.read_queue()
    if queue is None:
        raise LaunchError("squeue does not answer, so nobody knows what is queued; try again later")
    known = {config.id: place for place, config in enumerate(configs)}
    for path in sorted((results / LAUNCHES).glob(f"*/{SUBMISSION}"), reverse=True):
        try:
            runs = dict(json.loads(path.read_text())["runs"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            say(f"warning: {path} is damaged, so jobs that it names are not found again")
            continue
        if not queue and any(slurm_jobs.read_end(job) is None for job in list(runs)[-1:]):
            raise LaunchError("squeue shows no job, though Slurm knows of some; try again later")
        for job, ids in runs.items():
            found, listed = queue.get(job), [ids] if isinstance(ids, str) else ids
            places = tuple(known[run] for run in listed if run in known)
            if found and places and path.parent.name in f"{found.comment} {found.name}":
                yield found, path.parent, places


class _Launch:
    """Waits for jobs, tells of their runs and submits those again that were lost."""

    def __init__(self, manifest: Manifest, jobs: Jobs, given: JobOptions, watcher: Watcher) -> None:
        self._manifest = manifest
        self._left = dict(jobs)
        self._given = given
        self._watcher = watcher
        self._store = Store(manifest.results)
        self._before = [self._load(place) for place in range(len(manifest.configs))]
        self._tries: Counter[int] = Counter()
        self._tally = Tally()
        self._cancelled = False

    def wait(self) -> Tally:
        """Tell of each run as its job is over; Ctrl-C cancels those that are left."""
        tally = self._tally
        try:
            with stop_on_signal((signal.SIGINT,)) as stop_requested:
                while self._left:
                    if stop_requested() and not tally.interrupted:
                        tally.interrupted = True
                        self._watcher.say("cancelling the jobs; each run is saved after its step")
                        self._cancel()
                    self._look()
                    if self._manifest.fail_fast and tally.exit_code == 1 and not self._cancelled:
                        self._cancel()
                    soon = time.monotonic() + POLL_SECONDS
                    while self._left and time.monotonic() < soon:
                        if stop_requested() and not tally.interrupted:
                            break
                        time.sleep(0.1)
        except KeyboardInterrupt:
            tally.interrupted = True
        return tally

    def _cancel(self) -> None:
        self._cancelled = True
        slurm_jobs.cancel(self._left)

    def _look(self) -> None:
        queue = slurm_jobs.read_queue()
        for job in [job for job in self._left if queue is not None and job not in queue]:
            if (end := slurm_jobs.read_end(job)) is not None:
                self._conclude(job, end)
        said = "Slurm does not answer"
        if queue is not None:
            said = _summary([queue[job] for job in self._left if job in queue])
        total = len(self._manifest.configs)
        left = sum(len(places) for _, places in self._left.values())
        self._watcher.waiting(said, total - left, total)

    def _conclude(self, job: str, end: End) -> None:
        folder, places = self._left.pop(job)
        log = folder / f"{job}.log"
        lost = [place for place in places if self._goes_on(place, end)]
        for place in (place for place in places if place not in lost):
            reason = f"its Slurm job {job} is over ({end}); see {log}"
            if last := _last_line(log):
                reason += f", which ends: {last}"
            told = (self._manifest, place, self._watcher, self._tally, reason)
            conclude(*told, raised=self._never_began(place, reason))
        if lost:
            self._tries.update(lost)
            self._watcher.say(f"job {job} was lost ({end}); {len(lost)} of its runs go on anew")
            self._left |= _submit(self._manifest, lost, self._given, self._watcher)

    def _load(self, place: int) -> RunRecord | None:
        return self._store.look(self._manifest.configs[place])[0]

    def _never_began(self, place: int, reason: str) -> bool:
        """Whether a job ended before it did anything for a run that has a record of earlier.

        The record then tells why, instead of what ended the run before.
        """
        config, before = self._manifest.configs[place], self._before[place]
        if before is None or before.status == COMPLETED or before != self._load(place):
            return False
        with suppress(Claimed), self._store.claim(config):
            self._store.save(structs.replace(before, error=reason))
        return True

    def _goes_on(self, place: int, end: End) -> bool:
        """Whether to submit a run again: it is not done, through no fault of its own."""
        if self._cancelled or not end.lost or self._tries[place] >= self._given.retries:
            return False
        record, wanted = self._load(place), self._manifest.curvature
        if record is None or record.status != COMPLETED:
            return True
        return wanted is not None and not wanted.is_done(record.config, record.hessian)


def _last_line(log: Path) -> str:
    """Return the last line that a job wrote, or nothing."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][-200:] if lines else ""


def _summary(jobs: Sequence[Job]) -> str:
    """Say how many jobs are in which state, why they wait, and when the next one starts."""
    states = Counter(job.state.lower() for job in jobs)
    waiting = [job for job in jobs if job.state == "PENDING"]
    reasons = ", ".join(sorted({job.reason for job in waiting} - {"None", ""}))
    starts = sorted(job.start for job in waiting if job.start[:1].isdigit())
    told = ", ".join(f"{states[state]} {state}" for state in sorted(states)) or "jobs are ending"
    told += f" ({reasons})" if reasons else ""
    return f"Slurm: {told}" + (f", next start {starts[0]}" if starts else "")


launchers.register(
    Launcher(
        name="slurm",
        summary="a Slurm cluster: one array job of the missing runs",
        launch=launch,
        check=check,
        describe_queued=describe_queued,
        runs_per_job=lambda options: JobOptions(options).runs_per_job,
        options={
            "partition": "where to queue",
            "gpus_per_node": "GPUs of each run; 1 as a rule",
            "timeout_min": "time limit; a run that takes longer is requeued and resumed",
            "array_parallelism": "most jobs at once",
            "setup": "a shell line before each run, as `module load cuda`; may be repeated",
            "python": "what starts Python in the job, as `apptainer exec --nv image.sif python`",
            "runs_per_job": "runs that a job does, one after another",
            "runs_per_device": "how many of these side by side",
            "retries": "times that a run is submitted again whose node or memory was lost; 2",
            "signal_delay_s": "seconds before the time limit at which a run saves itself; 90",
            "wait": "no: return once the jobs are submitted",
            "sbatch": "file to write the job script to, instead of submitting it",
            "...": "every other option of sbatch, as account, qos or constraint",
        },
        open_options=True,
        reference="Slurm",
    )
)
