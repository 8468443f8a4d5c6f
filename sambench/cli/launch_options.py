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
    str | None,
    typer.Option(
        "--runs-per-device",
        metavar="N|auto",
        help="Runs packed on each device at once; auto: as many as fit on a GPU.",
        show_default="1",
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
    minutes: MinutesOption = None
    launcher: LauncherOption = "local"
    given: WithOption = None
    slurm: SlurmOption = None

    def chosen(self) -> tuple[str, dict[str, str]]:
        """Return the launcher and its options.

        Raises:
            ConfigError: If an option is not KEY=VALUE or contradicts another.
        """
        from sambench.launch.launcher import RUNS_PER_DEVICE, read_options
        from sambench.launch.launchers.local import MINUTES

        launcher, options = self.launcher, read_options(self.given or "", "--with")
        if self.slurm is not None:
            if launcher not in ("local", "slurm"):
                raise ConfigError(f"--slurm contradicts --launcher {launcher}; give one of them")
            launcher = "slurm"
            options |= read_options(self.slurm, "--slurm")
        if self.devices is not None:
            options["devices"] = self.devices
        if self.runs_per_device is not None:
            options[RUNS_PER_DEVICE] = self.runs_per_device
        if self.minutes is not None:
            options[MINUTES] = f"{self.minutes!r}"
        return launcher, options
