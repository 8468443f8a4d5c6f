"""`sambench hessian`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sambench.cli.options import (
    DATA,
    RESULTS,
    DataOption,
    DeviceOption,
    PluginOption,
    ResultsOption,
)

if TYPE_CHECKING:
    pass


def hessian(
    runs: Annotated[list[str], typer.Argument(help="Runs by name, id or shell pattern.")],
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="Training images to use, in a fixed order.")
    ] = 512,
    tol: Annotated[float, typer.Option("--tol", help="Relative error of the eigenvalues.")] = 1e-2,
    trace_tol: Annotated[
        float, typer.Option("--trace-tol", help="Relative half width of the trace's interval.")
    ] = 0.05,
    max_matvecs: Annotated[
        int,
        typer.Option(
            "--max-matvecs", min=8, help="Most Hessian-vector products for each quantity."
        ),
    ] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of start vectors and probes.")] = 0,
    again: Annotated[
        bool, typer.Option("--again", help="Measure runs that have a measurement too.")
    ] = False,
    device: DeviceOption = None,
    data: DataOption = DATA,
    results: ResultsOption = RESULTS,
    plugin: PluginOption = None,
) -> None:
    """Measure how sharp a run's minimum is: eigenvalues and trace of the Hessian, with errors.

    Example: sambench hessian 'phantom-small-cnn-*'
    """
    from sambench.config import HessianSettings
    from sambench.console import RunDisplay, Screen
    from sambench.record import COMPLETED
    from sambench.store import Store

    settings = HessianSettings.from_dict(
        {
            "samples": samples,
            "tol": tol,
            "trace_tol": trace_tol,
            "max_matvecs": max_matvecs,
            "seed": seed,
        }
    )
    screen = Screen()
    chosen = Store(results).find(runs)
    from sambench.environment import choose_device
    from sambench.run import Paths
    from sambench.run_curvature import measure_hessian

    paths = Paths(data=data, results=results)
    where, _ = choose_device(device)
    with RunDisplay(screen, len(chosen)) as display:
        for record in chosen:
            if record.status != COMPLETED and len(chosen) > 1:
                screen.warn(f"{record.name}: {record.status}, so there is nothing to measure")
                continue
            measured = record
            if record.hessian is None or again:
                display.measuring(record.config)
                measured = measure_hessian(
                    record, settings, paths, device=where, on_progress=display.curvature
                )
            screen.curvature(measured)
