"""What a user asks of Slurm, and the job script that asks it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sambench.errors import ConfigError
from sambench.launch.launcher import RUNS_PER_DEVICE
from sambench.launch.launchers.local import whole_number
from sambench.plugin import VARIABLE
from sambench.store.environment import COMMAND

LEAD_SECONDS = 90
"""How long before the time limit a run is asked to save itself."""

OWN = ("wait", "python", "setup", "array_parallelism", "runs_per_job", "retries", "sbatch")
RENAMED = {"name": "job_name", "timeout_min": "time"}
_REFUSED = ("workers", "threads", "minutes", "devices", "additional_parameters")


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """What a user asks of Slurm.

    Attributes:
        sbatch: Options of sbatch without their dashes; they go before ours.
        setup: Shell lines before the run; the job ends with the first that fails.
        python: The words that start Python in the job, of a container perhaps.
        runs_per_job: Runs that a task of the array does.
        at_once: How many of these side by side.
        parallel: Most tasks at once; None for no limit.
        retries: Times that a run is submitted again whose node, memory or process was lost.
        wait: Whether to wait for the jobs.
        file: Where to write the job script instead of submitting it.
        lead: Seconds before the time limit at which a run is asked to save itself.
    """

    sbatch: Mapping[str, str] = field(default_factory=dict)
    setup: str = ""
    python: str = ""
    runs_per_job: int = 1
    at_once: int = 1
    parallel: int | None = None
    retries: int = 2
    wait: bool = True
    file: Path | None = None
    lead: int = LEAD_SECONDS

    @property
    def promises_gpu(self) -> bool:
        """Whether a job has a GPU by what is asked for."""
        return any(
            (name.startswith("gpus") and value != "0") or (name == "gres" and "gpu" in value)
            for name, value in self.sbatch.items()
        )


def job_options(options: Mapping[str, str]) -> JobOptions:
    """Sort the options of the launcher: its own, and sbatch's, which go to it as they are.

    Raises:
        ConfigError: If one makes no sense, or the time limit leaves no time to save a run.
    """
    for name in _REFUSED:
        if name in options:
            raise ConfigError(
                f"{name} is no option of the slurm launcher; every option of sbatch is, as "
                f"KEY=VALUE, and {', '.join((*OWN, RUNS_PER_DEVICE))}"
            )
    given = {name: text for name, text in options.items() if name not in (*OWN, RUNS_PER_DEVICE)}
    lead = whole_number(given, "signal_delay_s") or LEAD_SECONDS
    given.pop("signal_delay_s", None)
    if "mem_gb" in given:
        given["mem"] = f"{given.pop('mem_gb')}G"
    sbatch = {RENAMED.get(name, name).replace("_", "-"): text for name, text in given.items()}
    if (limit := _seconds(sbatch.get("time", ""))) is not None and limit <= lead:
        raise ConfigError(
            f"a time limit of {limit} s leaves no time before a run is asked to save itself, "
            f"{lead} s before its end; give a longer limit, or a smaller signal_delay_s"
        )
    retries = whole_number(options, "retries", least=0)
    return JobOptions(
        sbatch=sbatch,
        setup=options.get("setup", ""),
        python=options.get("python", shlex.quote(sys.executable)),
        runs_per_job=whole_number(options, "runs_per_job") or 1,
        at_once=whole_number(options, RUNS_PER_DEVICE) or 1,
        parallel=whole_number(options, "array_parallelism"),
        retries=2 if retries is None else retries,
        wait=options.get("wait", "yes").lower() not in ("no", "false", "0"),
        file=Path(options["sbatch"]) if "sbatch" in options else None,
        lead=lead,
    )


def _seconds(limit: str) -> int | None:
    """Return the seconds of a time limit as Slurm writes it; None for none, or what it refuses."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", limit)
    if found is None:
        return None
    days, *parts = (None if part is None else int(part) for part in found.groups())
    first, second, third = (part or 0 for part in parts)
    if days is not None:
        return 86400 * days + 3600 * first + 60 * second + third
    if parts[2] is not None:
        return 3600 * first + 60 * second + third
    return 60 * first + second


def job_script(given: JobOptions, manifest: Path, runs: int, name: str) -> str:
    """Return the script of an array job that does the runs of a manifest.

    Slurm sends USR2 to the script's process before the time limit and at a preemption; until
    Python is up, it is ignored.

    Args:
        given: What the user asks for.
        manifest: The file of the runs; the logs lie beside it.
        runs: How many it has.
        name: Of the job.
    """
    folder, each = manifest.parent, given.runs_per_job
    most = f"%{given.parallel}" if given.parallel else ""
    options = {
        "job-name": name,
        "output": f"{folder}/%A_%a.log",
        "open-mode": "append",
        "requeue": "",
        "signal": f"B:USR2@{given.lead}",
        "array": f"0-{-(-runs // each) - 1}{most}",
        **given.sbatch,
        "comment": f"{folder.name} {given.sbatch.get('comment', '')}".strip(),
    }
    head = [
        f"#SBATCH --{key}" + (f"={shlex.quote(value)}" if value else "")
        for key, value in options.items()
    ]
    kept = {key: os.environ[key] for key in (VARIABLE, COMMAND) if key in os.environ}
    task = "$SLURM_ARRAY_TASK_ID"
    places = task if each == 1 else f"$(({task} * {each}))-$(({task} * {each} + {each - 1}))"
    side = f" {given.at_once}" if given.at_once > 1 else ""
    return "\n".join(
        [
            *("#!/bin/bash", *head, "set -e", "trap '' USR2"),
            "export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1} OMP_WAIT_POLICY=PASSIVE",
            *(f"export {key}={shlex.quote(value)}" for key, value in kept.items()),
            *given.setup.splitlines(),
            f"exec {given.python} -m sambench.launch.job {shlex.quote(str(manifest))} "
            f"{places}{side}\n",
        ]
    )
