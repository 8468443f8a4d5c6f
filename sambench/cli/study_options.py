"""Options of `sambench hessian` for what lies around a minimum, and how it is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sambench.config import RunConfig
    from sambench.console import Screen
    from sambench.minimum.measurement import Measurement
    from sambench.record import RunRecord

AROUND = "Around the minimum"

DensityOption = Annotated[
    bool,
    typer.Option("--density", help="Also the density of all eigenvalues.", rich_help_panel=AROUND),
]
SharpnessOption = Annotated[
    bool,
    typer.Option(
        "--sharpness",
        help="Also how the loss rises: one step, worst case, average case.",
        rich_help_panel=AROUND,
    ),
]
LandscapeOption = Annotated[
    bool,
    typer.Option(
        "--landscape",
        help="Also the loss on a line, on a plane and on that of the top two eigenvectors.",
        rich_help_panel=AROUND,
    ),
]
LandscapeWithOption = Annotated[
    str | None,
    typer.Option(
        "--landscape-with",
        metavar="RUN",
        help="Also the loss on the way to another run of the same model.",
        rich_help_panel=AROUND,
    ),
]
LandscapePointsOption = Annotated[
    int | None,
    typer.Option(
        "--landscape-points",
        min=3,
        help="Values on each axis of a plane, an odd number. (default 21)",
        rich_help_panel=AROUND,
    ),
]


def with_studies(wanted: Measurement, *, points: int | None, **studies: bool) -> Measurement:
    """Return a measurement with more studies: those that are asked for.

    Raises:
        ConfigError: If the number of points is even.
    """
    asked: Any = {name: True for name, is_asked in studies.items() if is_asked}
    if points is not None:
        asked["points"] = points
    return replace(wanted, studies=replace(wanted.studies, **asked))


def other_run(results: Path, name: str | None) -> RunConfig | None:
    """Return the other end of an interpolation, if one is asked for.

    Raises:
        StoreError: If there is no such run, or several.
    """
    from sambench.store import Store

    return None if name is None else Store(results).find_one(name).config


def show_studies(screen: Screen, record: RunRecord, results: Path) -> None:
    """Show what was studied of a run, and draw it into the run's folder."""
    from sambench.report.curvature_plots import write_figures
    from sambench.store import Store

    screen.studies(record)
    for figure in write_figures(record, Store(results).folder(record.config)):
        screen.show(f"wrote {figure}")
