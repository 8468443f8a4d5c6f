"""Runs on a Slurm cluster: an array job of the missing ones.

How a run stands is read from its files and from Slurm's own account of its job. Ctrl-C cancels the
jobs: each run is saved after its step. Any other end of this process (a closed shell, a lost
connection) leaves them alone: the same command finds those still queued, submits what is missing,
and waits for both.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from sambench.config.run_config import RunConfig
from sambench.errors import LaunchError, some
from sambench.files.atomic import write_json, write_text
from sambench.files.checksums import read_sealed
from sambench.launch import slurm_jobs
from sambench.launch.launcher import OTHERS, Launcher, Tally, Watcher, launchers
from sambench.launch.manifest import LAUNCHES, MANIFEST, Manifest
from sambench.launch.signals import stop_on_signal
from sambench.launch.slurm_jobs import End, Job, JobOptions, job_script
from sambench.launch.unit import conclude, mark_ended
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.status import in_one_line
from sambench.store.tree import Store

SUBMISSION, SCRIPT = "slurm.json", "job.sh"
POLL_SECONDS = 5.0
"""How often `squeue` is asked."""

ARRAY_SIZE = 1000
"""Most tasks of an array job: one below Slurm's default MaxArraySize."""


def launch(manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
    """Submit the runs that no earlier job will do, and wait for all; a mistake is a UserError."""
    given = JobOptions(options)
    manifest = manifest.on_cluster(gpu=given.promises_gpu)
    if given.file is not None:
        write_text(given.file, job_script(given, path := manifest.write(), manifest))
        _note_submission(path, "", manifest, given.runs_per_job)
        watcher.say(f"wrote {given.file}; submit it with `sbatch {given.file}`")
        return Tally()
    programs = ("sbatch", "squeue", "scontrol", "scancel")
    if absent := [name for name in programs if shutil.which(name) is None]:
        said = f"there is no Slurm here (no {absent[0]})"
        raise LaunchError(f"{said}; submit on a login node, or use --launcher local")
    queued = _queued(manifest.results, manifest.configs, watcher.say, manifest.suite)
    jobs = {job.id: (folder, places) for job, folder, places in queued}
    there = {place for _, places in jobs.values() for place in places}
    if jobs:
        watcher.say(f"{len(there)} of the runs are in the queue already: {', '.join(sorted(jobs))}")
    launched = _Launch(manifest, given, watcher)
    launched.left |= jobs
    launched.submit([n for n in range(len(manifest.configs)) if n not in there])
    return launched.wait() if given.wait else Tally()


def check(options: Mapping[str, str]) -> None:
    """Have Slurm look at the options without submitting anything."""
    nothing = Manifest(data=Path(), results=Path())
    script = job_script(JobOptions(options), Path("launch") / MANIFEST, nothing)
    if shutil.which("sbatch"):
        slurm_jobs.sbatch(script, test=True)


def describe_queued(results: Path, configs: Sequence[RunConfig]) -> dict[str, str]:
    """Return what Slurm says of the runs that a job of an earlier launch will do, by id."""
    if shutil.which("squeue") is None or not any((results / LAUNCHES).glob(f"*/{SUBMISSION}")):
        return {}
    found: dict[int, str] = {}
    for job, folder, places in _queued(results, configs, lambda text: None, None):
        log = "" if job.state == "PENDING" else f", log {folder / f'{job.id}.log'}"
        found |= dict.fromkeys(places, f"{job}{log}")
    return {configs[place].id: found[place] for place in sorted(found)}


def _queued(
    results: Path, configs: Sequence[RunConfig], say: Callable[[str], None], suite: str | None
) -> Iterator[tuple[Job, Path, tuple[int, ...]]]:
    """Yield each job that will still do some of the runs, its launch's folder and their places.

    Of a suite whose plan is kept, say which jobs do runs that it has no more.
    """
    from sambench.store.study_plan import planned_ids

    queue = slurm_jobs.read_queue()
    if queue is None:
        raise LaunchError("squeue does not answer, so nobody knows what is queued; try again later")
    known = {config.id: place for place, config in enumerate(configs)}
    planned, former = planned_ids(results, suite) if suite else set[str](), list[str]()
    for path in sorted((results / LAUNCHES).glob(f"*/{SUBMISSION}"), reverse=True):
        try:
            told = json.loads(read_sealed(path))
            runs = dict(told["runs"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            say(f"warning: {path} is damaged, so jobs that it names are not found again")
            continue
        own = path.stat().st_uid == os.getuid()  # `squeue` does not show the jobs of others
        last = [job for job in list(runs)[-1:] if not job.startswith("_")]
        if not queue and own and any(slurm_jobs.read_end(job) is None for job in last):
            raise LaunchError("squeue shows no job, though Slurm knows of some; try again later")
        ours = [job for job in queue.values() if path.parent.name in job.comment]
        there = queue | {job.id[job.id.find("_") :]: job for job in ours}
        for job, ids in runs.items():
            found, listed = there.get(job), [ids] if isinstance(ids, str) else ids
            places = tuple(known[run] for run in listed if run in known)
            if found is None or path.parent.name not in f"{found.comment} {found.name}":
                continue
            if places:
                yield found, path.parent, places
            elif planned and planned.isdisjoint(listed) and told.get("suite") == suite:
                former.append(found.id)
    if former:
        which = f"jobs for runs that {suite} no longer has: {some(former)}"
        say(f"warning: the queue has {which}; `scancel` takes them out")


@dataclass
class _Launch:
    """Submits jobs, waits for them, tells of their runs and submits those again that were lost."""

    manifest: Manifest
    given: JobOptions
    watcher: Watcher
    left: dict[str, tuple[Path, tuple[int, ...]]] = field(default_factory=dict)
    """By job: its launch's folder, places of runs."""

    def __post_init__(self) -> None:
        self._store = Store(self.manifest.results)
        self._before = [self._load(place) for place in range(len(self.manifest.configs))]
        self._tries: Counter[int] = Counter()
        self._tally = Tally()
        self._open: list[int] = []  # runs that are submitted once another job is over
        self._cancelled = False
        self._refused = ""  # why Slurm did not cancel all

    def submit(self, places: Sequence[int]) -> None:
        """Submit some of the runs, nothing of which is left where Slurm refuses them.

        They stay open while other jobs are there, as a controller may be away for a while or the
        number of jobs limited; else it is a LaunchError.
        """
        each = self.given.runs_per_job
        for start in range(0, len(places), ARRAY_SIZE * each):
            part = places[start : start + ARRAY_SIZE * each]
            chosen = replace(self.manifest, configs=[self.manifest.configs[n] for n in part])
            path = chosen.write()
            script = job_script(self.given, path, chosen)
            _note_submission(path, "", chosen, each)  # killed from here on, its comment finds it
            try:
                number = slurm_jobs.sbatch(script)
            except LaunchError as error:
                shutil.rmtree(path.parent, ignore_errors=True)
                if not (self.left and self.given.wait):
                    raise
                self._open += places[start:]
                said = f"left to submit once another job is over: {len(self._open)}"
                self.watcher.say(f"warning: {error}; {said}")
                return
            write_text(path.with_name(SCRIPT), script)
            _note_submission(path, number, chosen, each)
            for task, first in enumerate(range(0, len(part), each)):
                self.left[f"{number}_{task}"] = (path.parent, tuple(part[first : first + each]))
            said = f"{len(part)} run{'' if len(part) == 1 else 's'}"
            self.watcher.say(f"submitted {said} to Slurm as job {number}; logs in {path.parent}")

    def wait(self) -> Tally:
        """Tell of each run as its job is over; Ctrl-C cancels those that are left."""
        tally, due = self._tally, 0.0
        try:
            with stop_on_signal((signal.SIGINT,)) as stop_requested:
                while self.left:
                    if stop_requested() and not tally.interrupted:
                        tally.interrupted, due = True, 0.0
                        self.watcher.say("cancelling the jobs; each run is saved after its step")
                        self._cancel()
                    if time.monotonic() >= due:
                        self._look()
                        due = time.monotonic() + POLL_SECONDS
                    if self.manifest.fail_fast and tally.exit_code == 1 and not self._cancelled:
                        self._cancel()
                    time.sleep(0.1)
        except KeyboardInterrupt:
            tally.interrupted = True
        return tally

    def _cancel(self) -> None:
        self._cancelled = True
        self._refused = slurm_jobs.instruct("scancel", *self.left)
        if self._refused:
            self.watcher.say(f"warning: not all were cancelled ({self._refused}); trying again")

    def _look(self) -> None:
        if self._refused:
            self._cancel()
        queue = slurm_jobs.read_queue()
        before = len(self.left)
        for job in [job for job in self.left if queue is not None and job not in queue]:
            if (end := slurm_jobs.read_end(job)) is not None:
                self._conclude(job, end)
        if len(self.left) < before and not self._cancelled:
            again, self._open = self._open, []
            self.submit(again)
        said = "Slurm does not answer"
        if queue is not None:
            said = _summary([queue[job] for job in self.left if job in queue])
        total = len(self.manifest.configs)
        left = len(self._open) + sum(len(places) for _, places in self.left.values())
        self.watcher.waiting(said, total - left, total)

    def _conclude(self, job: str, end: End) -> None:
        folder, places = self.left.pop(job)
        log, text = folder / f"{job}.log", ""
        with suppress(OSError):
            text = log.read_text(errors="replace")
        lost = [place for place in places if self._goes_on(place, end)]
        for place in (place for place in places if place not in lost):
            reason = f"its Slurm job {job} is over ({end}); "
            reason += f"see {log}" if log.exists() else f"it left no log in {folder}"
            if last := in_one_line(text)[:300]:
                reason += f", which ends: {last}"
            conclude(
                self.manifest,
                place,
                self.watcher,
                self._tally,
                reason,
                raised=self._never_began(place, reason),
                ended_well=end.state == "COMPLETED",
            )
        if lost:
            self._tries.update(lost)
            self.watcher.say(f"job {job} was lost ({end}); {len(lost)} of its runs go on anew")
            self._open += lost

    def _load(self, place: int) -> RunRecord | None:
        return self._store.look(self.manifest.configs[place])[0]

    def _never_began(self, place: int, reason: str) -> bool:
        """Whether a job did nothing for a run; its record of earlier then tells the job's end."""
        before = self._before[place]
        if before is None or before.status == COMPLETED or before != self._load(place):
            return False
        mark_ended(self._store, before.config, reason, before.status)
        return True

    def _goes_on(self, place: int, end: End) -> bool:
        """Whether to submit a run again: it is not done, through no fault of its own."""
        if self._cancelled or not end.lost or self._tries[place] >= self.given.retries:
            return False
        record, wanted = self._load(place), self.manifest.curvature
        if record is None or record.status != COMPLETED:
            return True
        return wanted is not None and not wanted.is_done(record.config, record.hessian)


def _note_submission(path: Path, number: str, manifest: Manifest, each: int) -> None:
    """Write the ids of the runs of each task of an array job, whose number may not be known yet."""
    ids = [config.id for config in manifest.configs]
    tasks = enumerate(range(0, len(ids), each))
    runs = {f"{number}_{task}": ids[first : first + each] for task, first in tasks}
    write_json(path.with_name(SUBMISSION), {"version": 2, "suite": manifest.suite, "runs": runs})


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
            "partition": "partition to queue in",
            "gpus_per_node": "GPUs of each job, usually 1; without it a job may get none",
            "timeout_min": "minutes; a run that takes longer is queued again and resumed",
            "array_parallelism": "maximum number of jobs at once, of each 1,000",
            "setup": "shell line before each job, such as `module load cuda`; may be repeated",
            "python": "command for Python, such as `apptainer exec --nv image.sif python`",
            "runs_per_job": "runs that each job does one after another, 1 by default",
            "runs_per_device": "how many of these run side by side, 1 by default",
            "retries": "times to submit a run again if its node or memory is lost, 2 by default",
            "signal_delay_s": "seconds before the limit at which a run saves itself, 90 by default",
            "wait": "`no` returns once the jobs are submitted",
            "sbatch": "file to write the job script to instead of submitting it",
            OTHERS: "any other option of sbatch, such as account, qos or constraint",
        },
        reference="Slurm",
    )
)
