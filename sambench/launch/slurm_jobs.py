"""What a user asks of Slurm, the job script that asks it, and what Slurm says of jobs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from sambench.errors import ConfigError, LaunchError
from sambench.files.definition import Count, Whole
from sambench.launch.launcher import read_number
from sambench.launch.manifest import Manifest
from sambench.store.environment import child_environment

LOST = ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "TIMEOUT", "DEADLINE")
"""States of jobs that ended through no fault of their run."""

_LIVE = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "REQUEUED", "STOPPED")

_WITHHELD = ("SLURM_CPUS_PER_TASK", "SLURM_MEM_PER_", "SQUEUE_", "SCANCEL_")
"""How variables begin that are of the job we are in, or hide a part of the queue from us."""

OWN = (
    *("wait", "python", "setup", "array_parallelism", "runs_per_job", "retries", "sbatch"),
    "runs_per_device",
)
"""Options of the launcher that are none of sbatch."""

_RENAMED = {"name": "job_name", "timeout_min": "time"}
_REFUSED = ("workers", "threads", "minutes", "devices", "array", "clusters")


class JobOptions:
    """What a user asks of Slurm: the launcher's own options, and sbatch's, which go to it as given.

    One that makes no sense, or a time limit that leaves no time to save a run, is a ConfigError.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        for name in _REFUSED:
            if name in options:
                said = f"{name} is no option of the slurm launcher; every other one of sbatch is"
                own = f"as KEY=VALUE, and {', '.join(OWN)}"
                raise ConfigError(f"{said}, {own}; SLURM_CLUSTERS names another cluster")
        given = {name: text for name, text in options.items() if name not in OWN}
        self.lead = read_number(given, "signal_delay_s", Whole, 90)  # seconds, to save a run in
        given.pop("signal_delay_s", None)
        if "mem_gb" in given:
            given["mem"] = f"{given.pop('mem_gb')}G"
        self.sbatch = {_RENAMED.get(k, k).replace("_", "-"): text for k, text in given.items()}
        limit = _seconds(self.sbatch.get("time", ""))
        if limit and limit <= self.lead:  # 0 is none
            said = f"a time limit of {limit} s leaves no time before a run is asked to save itself"
            remedy = "give a longer limit, or a smaller signal_delay_s"
            raise ConfigError(f"{said}, {self.lead} s before its end; {remedy}")
        self.setup = options.get("setup", "")  # shell lines before the run
        self.python = options.get("python", shlex.quote(sys.executable))
        self.runs_per_job = read_number(options, "runs_per_job", Whole, 1)
        self.at_once = read_number(options, "runs_per_device", Whole, 1)  # of the runs of a job
        self.parallel = read_number(options, "array_parallelism", Whole)  # tasks of the array
        self.retries = read_number(options, "retries", Count, 2)
        self.wait = options.get("wait", "yes").lower() not in ("no", "false", "0")
        self.file = Path(options["sbatch"]) if "sbatch" in options else None
        self.promises_gpu = any(
            (name.startswith("gpus") and value != "0") or (name == "gres" and "gpu" in value)
            for name, value in self.sbatch.items()
        )


def _seconds(limit: str) -> int | None:
    """Return the seconds of a time limit as Slurm writes it; None for none, or what it refuses."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", limit)
    if found is None:
        return None
    days, *parts = (int(part or 0) for part in found.groups())
    units = (3600, 60, 1) if found[1] or found[4] else (60, 1, 0)
    return 86400 * days + sum(part * unit for part, unit in zip(parts, units, strict=True))


def job_script(given: JobOptions, path: Path, manifest: Manifest) -> str:
    """Return the script of an array job that does the runs of a manifest, with its logs beside it.

    Slurm sends USR2 to the script's process before the time limit and at a preemption; until
    Python is up, it is ignored.
    """
    folder, each, runs = path.parent, given.runs_per_job, max(1, len(manifest.configs))
    alone = manifest.configs[0].name if runs == len(manifest.configs) == 1 else None
    most = f"%{given.parallel}" if given.parallel else ""
    options = {
        "job-name": job_name(manifest.suite, alone),
        "output": f"{folder}".replace("%", "%%") + "/%A_%a.log",
        "open-mode": "append",
        "requeue": "",
        "signal": f"B:USR2@{given.lead}",
        "array": f"0-{-(-runs // each) - 1}{most}",
        **given.sbatch,
        "comment": f"{folder.name} {given.sbatch.get('comment', '')}".strip(),
    }
    head = [f"#SBATCH --{k}" + (f"={shlex.quote(v)}" if v else "") for k, v in options.items()]
    task = "$SLURM_ARRAY_TASK_ID"
    places = task if each == 1 else f"$(({task} * {each}))-$(({task} * {each} + {each - 1}))"
    side = f" {given.at_once}" if given.at_once > 1 else ""
    return "\n".join(
        [
            *("#!/bin/bash", *head, "set -e", "trap '' USR2"),
            "export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1} OMP_WAIT_POLICY=PASSIVE",
            *(f"export {key}={shlex.quote(text)}" for key, text in child_environment().items()),
            *given.setup.splitlines(),
            f"exec {given.python} -m sambench.launch.job {shlex.quote(str(path))} {places}{side}\n",
        ]
    )


def own_job() -> str | None:
    """Return the Slurm job that this process is, if it is one; of an array as 26_3.

    The number alone is that of the whole array where the task is its last.
    """
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def job_name(suite: str | None, run: str | None = None) -> str:
    """Return the name of a job that does runs of a suite, or one run."""
    return ":".join(filter(None, (suite or "sambench", run)))


def name_own(suite: str | None, run: str) -> None:
    """Have `squeue` show which run this job does, unless the user has named the array."""
    job, name = own_job(), os.environ.get("SLURM_JOB_NAME", "")
    if job and name.partition(":")[0] == job_name(suite):
        command = ["scontrol", "update", f"JobId={job}", f"JobName={job_name(suite, run)}"]
        with suppress(OSError):
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Job(NamedTuple):
    """A job that is not over, in the fields of `_FORMAT`, as `squeue` writes them."""

    id: str  # in an array as 26_3
    state: str
    reason: str
    node: str
    start: str
    comment: str  # the launch's folder, unless the user gave one
    name: str

    def __str__(self) -> str:
        if self.state == "PENDING":
            start = "" if self.start in ("N/A", "") else f", start {self.start}"
            return f"queued as {self.id} ({self.reason}{start})"
        return f"{self.state.lower()} as {self.id} on {self.node}"


_FORMAT = "%i|%T|%r|%N|%S|%k|%j"


class End(NamedTuple):
    """How a job ended: its state, empty where Slurm has forgotten it, and `code:signal`."""

    state: str = ""
    exit_code: str = ""

    @property
    def lost(self) -> bool:
        """Whether its node, its memory or its process was taken from it."""
        killed = self.exit_code in ("0:9", "137:0") and self.state != "CANCELLED"
        return killed or self.state in LOST

    def __str__(self) -> str:
        unknown = "cancelled before it began, or forgotten by Slurm"
        return f"{self.state}, exit code {self.exit_code}" if self.state else unknown


def sbatch(script: str, *, test: bool = False) -> str:
    """Submit a script, or only have it tested; return the job's number, or a LaunchError."""
    # as options too: variables such as SBATCH_PARTITION go before those of a script
    given = shlex.split(" ".join(re.findall("^#SBATCH (.+)$", script, re.MULTILINE)))
    done = _run(["sbatch", "--test-only" if test else "--parsable", *given], script)
    numbers = re.findall(r"^(\d+)(?:;.*)?$", done.stdout, re.MULTILINE)  # below a site's greeting
    if done.returncode or not (numbers or test):
        lines = dict.fromkeys((done.stderr or done.stdout).strip().splitlines())
        said = "; ".join(re.sub(r"^sbatch: (error: )?", "", line) for line in lines)
        many = re.search("submit.*limit|array spec", said, re.IGNORECASE)
        fewer = "; `--runs-per-job 10` makes fewer jobs of the same runs" if many else ""
        raise LaunchError(f"Slurm refused the jobs: {said or 'without a word'}{fewer}")
    return "" if test else numbers[-1]


def read_queue() -> dict[str, Job] | None:
    """Return the user's jobs that are not over, by id, or None where Slurm does not answer."""
    done = _run(["squeue", "--noheader", "--array", "--all", "--me", f"--format={_FORMAT}"])
    if done.returncode:
        return None
    rows = (line.strip().split("|", 6) for line in done.stdout.splitlines())
    return {row[0]: Job(*row) for row in rows if len(row) == len(Job._fields)}


def read_end(job: str) -> End | None:
    """Return how a job that `squeue` does not show ended; None where it may not be over.

    Slurm forgets a job after some minutes, unless it keeps accounts (`sacct`). A task that was
    cancelled before it began is "not found" in its array.
    """
    done = _run(["scontrol", "show", "job", "--oneliner", job])
    if done.returncode == 0:
        found = dict(re.findall(r"\b(JobState|ExitCode)=(\S+)", done.stdout))
        end = End(found.get("JobState", ""), found.get("ExitCode", ""))
        return None if end.state in _LIVE else end
    if not re.search("Invalid job id|not found", done.stdout + done.stderr):
        return None
    kept = _run(["sacct", "-nPX", "-j", job, "--format=State,ExitCode"])
    state, _, code = kept.stdout.partition("\n")[0].partition("|")
    state = state.partition(" ")[0]  # of "CANCELLED by 1000"
    return End() if kept.returncode or state in _LIVE else End(state, code)  # accounts lag behind


def instruct(*command: str) -> str:
    """Have Slurm do something with jobs; return why it does not, nothing where it does."""
    done = _run(command)
    return " ".join(done.stderr.split()) or "without a word" if done.returncode else ""


def _run(command: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's programs; one that is not there or silent has failed and says so."""
    told: dict[str, Any] = {"input": given, "capture_output": True, "text": True}
    told |= {"errors": "replace", "timeout": 120 if given else 60}
    told["env"] = {k: text for k, text in os.environ.items() if not k.startswith(_WITHHELD)}
    try:
        return subprocess.run(command, check=False, **told)
    except (OSError, subprocess.SubprocessError) as error:
        said = f"{command[0]} does not answer: {error}"
        return subprocess.CompletedProcess(command, 127, "", said)
