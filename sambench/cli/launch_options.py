"""Options that say who does the runs of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from sambench.cli import completion
from sambench.cli.launching import launch_options
from sambench.cli.options import DeviceOption

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
    str | None,
    typer.Option(
        "--runs-per-device",
        metavar="N|auto",
        help="Runs packed on each device at once; auto: as many as fit on a GPU.",
        show_default="1",
    ),
]
LauncherOption = Annotated[
    str,
    typer.Option(
        "--launcher",
        metavar="NAME",
        help="Who does the runs; `sambench list launchers` has all.",
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
    """Who does the runs, and on what."""

    panel: ClassVar[str] = "Devices and launchers"
    device: DeviceOption = None
    devices: DevicesOption = None
    runs_per_device: RunsOption = None
    launcher: LauncherOption = "local"
    given: WithOption = None
    slurm: SlurmOption = None

    def chosen(self) -> tuple[str, dict[str, str]]:
        """Return the launcher and its options.

        Raises:
            ConfigError: If an option is not KEY=VALUE or contradicts another.
        """
        return launch_options(
            self.launcher, self.given, self.slurm, self.devices, self.runs_per_device
        )
