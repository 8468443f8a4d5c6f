"""Options of `sambench hessian`; none given means the suite's value, or the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer

from sambench.cli import completion
from sambench.cli.launch_options import (
    LauncherOption,
    SlurmOption,
    ThreadsOption,
    WithOption,
    WorkersOption,
)
from sambench.cli.options import PLACE
from sambench.config.curvature_settings import HessianSettings
from sambench.config.study_settings import OWN
from sambench.errors import ConfigError

DEFAULTS = HessianSettings().to_dict()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is measured, and how exactly."""

    panel: ClassVar[str] = "What is measured"
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            help="Training images to use.",
            min=1,
            metavar="IMAGES",
            show_default=f"{DEFAULTS['samples']}",
        ),
    ] = None
    tol: Annotated[
        float | None,
        typer.Option(
            "--tol",
            help="Relative error of the eigenvalues.",
            metavar="FRACTION",
            show_default=f"{DEFAULTS['tol']}",
        ),
    ] = None
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            help="Stop after this many minutes a run.",
            metavar="MINUTES",
            show_default="no limit",
        ),
    ] = None
    per_layer: Annotated[bool, typer.Option("--per-layer", help="Also of each layer alone.")] = (
        False
    )
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any of trace_tol, max_matvecs, seed, k, batch_stat, batches, perturbations, "
            "sigma, batch_norm, dtype, adaptive, include_l2; or density.steps etc. Repeatable.",
            autocompletion=completion.curvature_settings,
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the settings that the user gave, as a suite file's `hessian` has them.

        Raises:
            ConfigError: If a setting is no KEY=VALUE, or is given twice.
        """
        from sambench.config.arguments import parse_settings

        own = {"samples": self.samples, "tol": self.tol, "minutes": self.minutes}
        found: dict[str, Any] = {key: value for key, value in own.items() if value is not None}
        found |= {"per_layer": True} if self.per_layer else {}
        for key, value in parse_settings(self.settings).items():
            study, dot, name = key.partition(".")
            if key in found:
                option = f"--{key.replace('_', '-')}"
                raise ConfigError(f"{option} and --set {key} are both given; keep one")
            if dot and study in OWN:
                found[study] = {**found.get(study, {}), name: value}
            else:
                found[key] = value
        return found


@dataclass(frozen=True, kw_only=True)
class Doing:
    """Where it is measured, whether again, and how much of it is shown."""

    panel: ClassVar[str] = PLACE
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            "--devices",
            metavar="DEVICE,...",
            help="cpu, cuda:0, mps; several have a process each.",
            show_default="a GPU if there is one",
            autocompletion=completion.devices_in_list,
        ),
    ] = None
    workers: WorkersOption = None
    threads: ThreadsOption = None
    launcher: LauncherOption = "local"
    given: WithOption = None
    slurm: SlurmOption = None
    again: Annotated[
        bool, typer.Option("--again", help="Measure again runs that already have a measurement.")
    ] = False
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Show intervals, residuals, lowest eigenvalue, layers, costs."
        ),
    ] = False
