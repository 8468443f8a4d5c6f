"""Options that say who does the runs of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from sambench.cli import completion
from sambench.cli.options import DeviceOption
from sambench.errors import ConfigError

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
    str | None,
    typer.Option("--with", metavar="KEY=VALUE,...", help="Options of the launcher."),
]
SlurmOption = Annotated[
    str | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE,...",
        help="Launch on Slurm, as partition=gpu,timeout_min=600 (minutes).",
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

    def chosen(self) -> tuple[str, dict[str, str]]:
        """Return the launcher and its options.

        Raises:
            ConfigError: If an option is not KEY=VALUE or contradicts another.
        """
        from sambench.launch.launcher import read_options

        launcher, options = self.launcher, read_options(self.given or "", "--with")
        if self.slurm is not None:
            if launcher not in ("local", "slurm"):
                raise ConfigError(f"--slurm contradicts --launcher {launcher}; give one of them")
            launcher = "slurm"
            options |= read_options(self.slurm, "--slurm")
        given = {name: getattr(self, name) for name in LOCAL}
        return launcher, options | {k: f"{v}" for k, v in given.items() if v is not None}


LOCAL = ("devices", "runs_per_device", "workers", "threads", "minutes")
"""The fields that stand for options of the launcher of the same name."""
