"""`sambench hessian`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sambench.cli import hessian_options as options
from sambench.cli import study_options
from sambench.cli.launching import folds_in, image_size
from sambench.cli.options import DATA, RESULTS, DataOption, PluginOption, ResultsOption
from sambench.errors import ConfigError

if TYPE_CHECKING:
    from sambench.console import Screen
    from sambench.minimum.measuring import Task
    from sambench.minimum.settings import HessianSettings
    from sambench.record import RunRecord
    from sambench.store import Store


def hessian(
    runs: Annotated[
        list[str],
        typer.Argument(help="Runs by name, id or shell pattern, or suites by name or file."),
    ],
    samples: options.SamplesOption = None,
    tol: options.ToleranceOption = None,
    trace_tol: options.TraceToleranceOption = None,
    max_matvecs: options.MatvecsOption = None,
    minutes: options.MinutesOption = None,
    seed: options.SeedOption = None,
    k: options.CountOption = None,
    batch_stat: options.BatchStatOption = None,
    batches: options.BatchesOption = None,
    perturbations: options.PerturbationsOption = None,
    sigma: options.SigmaOption = None,
    adaptive: options.AdaptiveOption = False,
    per_layer: options.PerLayerOption = False,
    include_l2: options.PenaltyOption = False,
    batch_norm: options.BatchNormOption = None,
    hvp: options.ProductOption = None,
    trace_method: options.TraceMethodOption = None,
    dtype: options.TypeOption = None,
    density: study_options.DensityOption = False,
    sharpness: study_options.SharpnessOption = False,
    landscape: study_options.LandscapeOption = False,
    landscape_with: study_options.LandscapeWithOption = None,
    landscape_points: study_options.LandscapePointsOption = 21,
    again: Annotated[
        bool, typer.Option("--again", help="Measure runs that have a measurement too.")
    ] = False,
    device: options.DevicesOption = None,
    data: DataOption = DATA,
    results: ResultsOption = RESULTS,
    plugin: PluginOption = None,
) -> None:
    """Measure how sharp a run's minimum is: eigenvalues and trace of the Hessian, with errors.

    Runs that have been measured are shown. Ctrl-C keeps what is finished; the same command goes on
    from there.

    Examples: sambench hessian 'phantom-small-cnn-*'; sambench hessian suites/demo.yaml
    """
    numbers: dict[str, Any] = {
        "samples": samples,
        "tol": tol,
        "trace_tol": trace_tol,
        "max_matvecs": max_matvecs,
    }
    numbers |= {"minutes": minutes, "seed": seed, "k": k, "batches": batches, "sigma": sigma}
    choices: dict[str, Any] = {
        "batch_stat": batch_stat,
        "batch_norm": batch_norm,
        "hvp": hvp,
        "dtype": dtype,
    }
    choices |= {"perturbations": perturbations, "trace_method": trace_method}
    flags = {"adaptive": adaptive, "per_layer": per_layer, "include_l2": include_l2}
    given: dict[str, Any] = {
        **{key: value for key, value in (numbers | choices).items() if value is not None},
        **{key: True for key, value in flags.items() if value},
    }
    from sambench.console import Screen

    screen = Screen()
    groups = _groups(screen, runs, given, data, results)
    from sambench.minimum.measuring import Task
    from sambench.run import Paths

    paths = Paths(data=data, results=results)
    around = {"density": density, "sharpness": sharpness, "landscape": landscape}
    other = study_options.other_run(results, landscape_with)
    code = 0
    for records, settings in groups:
        studies = study_options.studies(settings, points=landscape_points, **around)
        task = Task(
            records=records,
            settings=settings,
            paths=paths,
            again=again,
            studies=studies,
            other=other,
        )
        code = max(code, _measure(screen, task, given, device))
    raise typer.Exit(code)


def _groups(
    screen: Screen, runs: Sequence[str], given: dict[str, Any], data: Path, results: Path
) -> list[tuple[list[RunRecord], HessianSettings]]:
    """Return the runs with their settings: those of a suite file have the file's."""
    from sambench.minimum.settings import HessianSettings
    from sambench.store import Store

    alone = HessianSettings.from_dict(given)  # refused, if at all, before anything is looked up
    store = Store(results)
    files = [name for name in runs if name.endswith((".yaml", ".yml"))]
    patterns = [name for name in runs if name not in files]
    groups = []
    for file in files:
        records, settings = _suite_runs(screen, Path(file), store, data)
        base = {} if settings is None else settings.to_dict()
        groups.append((records, HessianSettings.from_dict({**base, **given})))
    if patterns:
        groups.append((store.find(patterns), alone))
    return groups


def _suite_runs(
    screen: Screen, file: Path, store: Store, data: Path
) -> tuple[list[RunRecord], HessianSettings | None]:
    """Return the completed runs of a suite file, and how it measures curvature.

    Raises:
        ConfigError: If none is completed.
    """
    from sambench.record import COMPLETED
    from sambench.suite.file import load_suite

    suite = load_suite(file)
    configs = suite.expand(
        lambda name: image_size(data, name), lambda name, side: folds_in(data, name, side)
    )
    records = [record for config in configs if (record := store.load(config)) is not None]
    completed = [record for record in records if record.status == COMPLETED]
    completed.sort(key=lambda record: record.name)
    if not completed:
        raise ConfigError(
            f"none of the {len(configs)} runs of {file} is completed in {store.root}; "
            f"`sambench compare {file}` does them"
        )
    if len(completed) < len(configs):
        screen.warn(f"{len(completed)} of {len(configs)} runs of {file} are completed")
    return completed, suite.hessian


def _measure(screen: Screen, task: Task, given: dict[str, Any], device: str | None) -> int:
    """Measure what is missing, show all, and return the exit code."""
    from sambench.console.progress import RunDisplay
    from sambench.minimum.measuring import Listener, measure_all
    from sambench.record import COMPLETED

    devices = [None] if device is None else [name.strip() for name in device.split(",")]
    missing = []
    for record in task.records:
        if record.status != COMPLETED and len(task.records) > 1:
            screen.warn(f"{record.name}: {record.status}, so there is nothing to measure")
        elif not task.is_done(record):
            missing.append(record)
        else:
            _warn_of_difference(screen, record, given)
            _show(screen, record, task.paths.results)
    if not missing:
        return 0
    with RunDisplay(screen, len(missing)) as display:
        listener = Listener(
            started=lambda record: display.measuring(record.config),
            progress=display.curvature,
            finished=lambda record: _show(screen, record, task.paths.results),
            failed=lambda record, error: display.failed(record.config, error),
            elsewhere=lambda record: display.elsewhere(record.config),
        )
        if len(missing) == 1:
            listener = replace(listener, failed=lambda record, error: None)
        measured = measure_all(replace(task, records=missing), devices, listener)
    if len(missing) == 1 and measured.errors:
        raise measured.errors[0]
    return int(bool(measured.errors))


def _show(screen: Screen, record: RunRecord, results: Path) -> None:
    screen.curvature(record)
    study_options.show_studies(screen, record, results)


def _warn_of_difference(screen: Screen, record: RunRecord, given: dict[str, Any]) -> None:
    """Say where a run has been measured in another way than is asked for now."""
    before = (record.hessian or {}).get("settings", {})
    other = [f"{key}={before[key]}" for key in given if key in before and before[key] != given[key]]
    if other:
        screen.warn(
            f"{record.name} has been measured with {', '.join(other)}; --again measures it anew"
        )
