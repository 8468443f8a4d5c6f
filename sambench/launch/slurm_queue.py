"""What Slurm says of jobs: those queued, and how those ended that are not."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sambench.errors import LaunchError

LOST = ("NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "TIMEOUT", "DEADLINE")
"""States of jobs that ended through no fault of their run."""

_LIVE = ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "REQUEUED", "STOPPED")
_FORMAT = "%i|%T|%r|%N|%S|%k|%j"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job that is not over.

    Attributes:
        id: As `26_3` in an array.
        state: As Slurm writes it, PENDING or RUNNING as a rule.
        reason: Why it waits.
        node: Where it runs.
        start: When it began, or will by Slurm's estimate.
        comment: Ours, unless the user gave one: the folder of the launch.
        name: Of the job.
    """

    id: str
    state: str
    reason: str
    node: str
    start: str
    comment: str
    name: str

    def __str__(self) -> str:
        if self.state == "PENDING":
            start = "" if self.start in ("N/A", "") else f", start {self.start}"
            return f"queued as {self.id} ({self.reason}{start})"
        return f"{self.state.lower()} as {self.id} on {self.node}"


@dataclass(frozen=True, kw_only=True)
class End:
    """How a job ended, as far as Slurm knows.

    Attributes:
        state: COMPLETED, FAILED, OUT_OF_MEMORY ...; empty where Slurm has forgotten it.
        exit_code: `code:signal`.
    """

    state: str = ""
    exit_code: str = ""

    @property
    def lost(self) -> bool:
        """Whether its node, its memory or its process was taken from it."""
        return self.state in LOST or self.exit_code in ("0:9", "137:0")

    def __str__(self) -> str:
        return f"{self.state}, exit code {self.exit_code}" if self.state else "Slurm has forgotten"


def sbatch(script: str, *, test: bool = False) -> str:
    """Submit a script, or only have it tested; return the number of the job.

    Raises:
        LaunchError: If Slurm refuses it.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        command = ["sbatch", "--test-only" if test else "--parsable", file.name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        except (OSError, subprocess.SubprocessError) as error:
            raise LaunchError(f"sbatch does not answer: {error}") from None
    if done.returncode:
        lines = dict.fromkeys(done.stderr.strip().splitlines())
        said = "; ".join(re.sub(r"^sbatch: (error: )?", "", line) for line in lines)
        raise LaunchError(f"Slurm refused the jobs: {said or 'without a word'}")
    return done.stdout.strip().partition(";")[0]


def read_queue() -> dict[str, Job] | None:
    """Return the user's jobs that are not over, by id, or None where Slurm does not answer."""
    text = _answer(["squeue", "--noheader", "--array", "--me", f"--format={_FORMAT}"])
    if text is None:
        return None
    names = ("id", "state", "reason", "node", "start", "comment", "name")
    rows = (line.strip().split("|", 6) for line in text.splitlines() if line.strip())
    jobs = [Job(**dict(zip(names, row, strict=True))) for row in rows if len(row) == len(names)]
    return {job.id: job for job in jobs}


def read_end(job: str) -> End | None:
    """Return how a job that `squeue` does not show ended; None where it may not be over.

    Slurm forgets a job after some minutes, unless it keeps accounts (`sacct`).
    """
    done = _run(["scontrol", "show", "job", "--oneliner", job])
    if done is None:
        return None
    if done.returncode == 0:
        found = dict(re.findall(r"\b(JobState|ExitCode)=(\S+)", done.stdout))
        if found.get("JobState", "") in _LIVE:
            return None
        return End(state=found.get("JobState", ""), exit_code=found.get("ExitCode", ""))
    if "Invalid job id" not in done.stderr:
        return None
    text = _answer(["sacct", "-nPX", "-j", job, "--format=State,ExitCode"])
    state, _, code = (text or "").partition("\n")[0].partition("|")
    return End(state=state.partition(" ")[0], exit_code=code)


def cancel(jobs: Iterable[str]) -> None:
    """Have Slurm end jobs: those that run get a TERM first, and save their runs."""
    _run(["scancel", *jobs])


def last_line(log: Path) -> str:
    """Return the last line that a job wrote, or nothing."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][-200:] if lines else ""


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return None


def _answer(command: Sequence[str]) -> str | None:
    done = _run(command)
    return None if done is None or done.returncode else done.stdout
