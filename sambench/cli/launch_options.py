"""Options that say who does the runs of a comparison."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from sambench.cli import completion
from sambench.cli.options import DeviceOption
from sambench.errors import ConfigError, UserError

DevicesOption = Annotated[
    str | None,
    typer.Option(
        "--devices",
        metavar="DEVICE,...",
        help="Several devices at once, as cuda:0,cuda:1; a worker each.",
        autocompletion=completion.devices_in_list,
    ),
]
RunsOption = Annotated[
    int | None,
    typer.Option(
        "--runs-per-device",
        min=1,
        metavar="RUNS",
        help="Runs at once on each device.",
        show_default="1 on a GPU",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="RUNS",
        help="Runs at once on this machine.",
        show_default="on CPUs one a core, as far as the memory allows",
    ),
]
ThreadsOption = Annotated[
    str | None,
    typer.Option(
        "--threads",
        metavar="N|all",
        help="Threads of each run on a CPU; another number gives other rounding.",
        show_default="OMP_NUM_THREADS, or 1",
    ),
]
MinutesOption = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        metavar="MINUTES",
        help="Stop after this many minutes and save progress; run the same command again to "
        "continue.",
        show_default="no limit",
    ),
]
LauncherOption = Annotated[
    str,
    typer.Option(
        "--launcher",
        metavar="NAME",
        help="Where runs execute: local, slurm or ray; see `sambench list launchers`.",
        autocompletion=completion.launchers,
    ),
]
WithOption = Annotated[
    list[str] | None,
    typer.Option("--with", metavar="KEY=VALUE,...", help="Options of the launcher. Repeatable."),
]
SlurmOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE,...",
        help="Launch on Slurm, as partition=gpu,timeout_min=600 (minutes); any option of sbatch. "
        "Repeatable.",
    ),
]
ScriptOption = Annotated[
    Path | None,
    typer.Option(
        "--sbatch", metavar="FILE", help="Write the Slurm job script; submit and run nothing."
    ),
]
PerJobOption = Annotated[
    int | None,
    typer.Option(
        "--runs-per-job", min=1, metavar="RUNS", help="Runs of a Slurm job.", show_default="1"
    ),
]
RetriesOption = Annotated[
    int | None,
    typer.Option(
        "--retries",
        min=0,
        metavar="N",
        help="Times that a cluster does a run again whose node or process was lost.",
        show_default="2",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Launching:
    """Where runs execute, and on which devices."""

    panel: ClassVar[str] = "Devices and launchers"
    device: DeviceOption = None
    devices: DevicesOption = None
    runs_per_device: RunsOption = None
    workers: WorkersOption = None
    threads: ThreadsOption = None
    minutes: MinutesOption = None
    launcher: LauncherOption = "local"
    given: WithOption = None
    slurm: SlurmOption = None
    sbatch: ScriptOption = None
    runs_per_job: PerJobOption = None
    retries: RetriesOption = None

    def chosen(self) -> tuple[str, dict[str, str]]:
        """Return the launcher and its options.

        Raises:
            ConfigError: If an option is not KEY=VALUE or contradicts another.
        """
        given = {name: getattr(self, name) for name in STAND_FOR_THEMSELVES}
        more = {name: f"{value}" for name, value in given.items() if value is not None}
        return choose_launcher(self.launcher, self.given or (), self.slurm, more)


STAND_FOR_THEMSELVES = (
    *("devices", "runs_per_device", "workers", "threads", "minutes"),
    *("sbatch", "runs_per_job", "retries"),
)
"""The fields that are options of the launcher of the same name."""


def choose_launcher(
    name: str, given: Sequence[str], slurm: Sequence[str] | None, more: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """Return the launcher and its options.

    Slurm's are those of the site's file `~/.config/sambench/slurm.yaml` first.

    Args:
        name: Of the launcher.
        given: Of `--with`.
        slurm: Of `--slurm`; None where it is not given.
        more: Options that are options of the command line too.

    Raises:
        ConfigError: If an option is not KEY=VALUE or contradicts another.
    """
    from sambench.launch.launcher import read_options

    if slurm is not None or "sbatch" in more:
        if name not in ("local", "slurm"):
            raise ConfigError(f"--slurm contradicts --launcher {name}; give one of them")
        name = "slurm"
    options = _site_options() if name == "slurm" else {}
    for texts, where in ((given, "--with"), (slurm or (), "--slurm")):
        found = read_options(texts, where)
        if "setup" in found and "setup" in options:
            found["setup"] = f"{options['setup']}\n{found['setup']}"
        options |= found
    return name, {**options, **more}


def _site_options() -> dict[str, str]:
    """Return the options for Slurm of this user's site, where there is a file of them.

    Raises:
        ConfigError: If it is no mapping of names to values.
    """
    from sambench.files.yaml_text import read_yaml

    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    file = Path(folder) / "sambench" / "slurm.yaml"
    if not file.exists():
        return {}
    try:
        found = read_yaml(file.read_text(encoding="utf-8")) or {}
        if not isinstance(found, dict):
            raise ConfigError("it has no KEY: VALUE lines")
    except (OSError, ValueError, UserError) as error:
        raise ConfigError(f"{file} cannot be read: {' '.join(str(error).split())}") from None
    lines = {key: value if isinstance(value, list) else [value] for key, value in found.items()}
    return {f"{k}".replace("-", "_"): "\n".join(map(str, v)) for k, v in lines.items()}
