"""Options of `sambench hessian` for what lies around a minimum, and how it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from msgspec.structs import replace

from sambench.cli import completion

if TYPE_CHECKING:
    from sambench.cli.screen import Screen
    from sambench.config.measurement import Measurement
    from sambench.config.run_config import RunConfig
    from sambench.store.record import RunRecord


@dataclass(frozen=True, kw_only=True)
class Around:
    """What is studied besides the Hessian's eigenvalues and trace."""

    panel: ClassVar[str] = "Around the minimum"
    density: Annotated[
        bool, typer.Option("--density", help="Also the density of all eigenvalues.")
    ] = False
    sharpness: Annotated[
        bool,
        typer.Option(
            "--sharpness", help="Also how the loss rises: one step, worst case, average case."
        ),
    ] = False
    landscape: Annotated[
        bool,
        typer.Option(
            "--landscape",
            help="Also the loss on a line, on a plane and on that of the top two eigenvectors.",
        ),
    ] = False
    landscape_with: Annotated[
        str | None,
        typer.Option(
            "--landscape-with",
            metavar="RUN",
            help="Also the loss on the way to another run of the same model.",
            autocompletion=completion.runs,
        ),
    ] = None

    def with_studies(self, wanted: Measurement) -> Measurement:
        """Return a measurement with more studies: those that are asked for."""
        names = ("density", "sharpness", "landscape")
        asked: Any = {name: True for name in names if getattr(self, name)}
        return replace(wanted, studies=replace(wanted.studies, **asked))

    def other_run(self, results: Path) -> RunConfig | None:
        """Return the other end of an interpolation, if one is asked for.

        Raises:
            StoreError: If there is no such run, or several.
        """
        from sambench.store.tree import Store

        name = self.landscape_with
        return None if name is None else Store(results).find_one(name).config


def show_studies(screen: Screen, record: RunRecord, results: Path) -> None:
    """Show what was studied of a run, and draw it into the run's folder."""
    from sambench.report.curvature_plots import write_figures
    from sambench.store.tree import Store

    screen.studies(record)
    for figure in write_figures(record, Store(results).folder(record.config)):
        screen.show(f"wrote {figure}")
