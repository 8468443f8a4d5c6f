"""`sambench hessian`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sambench.cli import hessian_options as options
from sambench.cli import study_options
from sambench.cli.launching import folds_in, image_size
from sambench.cli.options import DATA, RESULTS, DataOption, PluginOption, ResultsOption
from sambench.cli.study import INTERRUPTED
from sambench.errors import ConfigError

if TYPE_CHECKING:
    from sambench.console import Screen
    from sambench.console.progress import RunDisplay
    from sambench.launch.watcher import Watcher
    from sambench.minimum.measurement import Measurement
    from sambench.record import RunRecord
    from sambench.store import Store


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where is measured: devices by name, and the folders of data and results."""

    device: str | None
    data: Path
    results: Path


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
    landscape_points: study_options.LandscapePointsOption = None,
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
    around = {"density": density, "sharpness": sharpness, "landscape": landscape}
    other = study_options.other_run(results, landscape_with)
    place = Place(device=device, data=data, results=results)
    code = 0
    for records, wanted in groups:
        full = study_options.with_studies(wanted, points=landscape_points, **around)
        asked = replace(full, other=other, again=again)
        code = max(code, _measure(screen, records, asked, given, place))
        if code == INTERRUPTED:
            break
    raise typer.Exit(code)


def _groups(
    screen: Screen, runs: Sequence[str], given: dict[str, Any], data: Path, results: Path
) -> list[tuple[list[RunRecord], Measurement]]:
    """Return the runs with their settings: those of a suite file have the file's."""
    from sambench.minimum.measurement import Measurement
    from sambench.store import Store

    alone = Measurement.parse(given)  # refused, if at all, before anything is looked up
    store = Store(results)
    files = [name for name in runs if name.endswith((".yaml", ".yml"))]
    patterns = [name for name in runs if name not in files]
    groups = []
    for file in files:
        records, wanted = _suite_runs(screen, Path(file), store, data)
        base = {} if wanted is None else wanted.settings()
        groups.append((records, Measurement.parse({**base, **given})))
    if patterns:
        groups.append((store.find(patterns), alone))
    return groups


def _suite_runs(
    screen: Screen, file: Path, store: Store, data: Path
) -> tuple[list[RunRecord], Measurement | None]:
    """Return the completed runs of a suite file, and what it measures of their minima.

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


def _measure(
    screen: Screen,
    records: Sequence[RunRecord],
    wanted: Measurement,
    given: dict[str, Any],
    place: Place,
) -> int:
    """Measure what is missing, show all, and return the exit code."""
    from sambench.console.progress import RunDisplay
    from sambench.launch.local import launch
    from sambench.launch.manifest import Manifest

    missing = []
    for record in _completed(screen, records, place.results):
        if wanted.is_done(record.config, record.hessian):
            _warn_of_difference(screen, record, given)
            _show(screen, record, place.results)
        else:
            missing.append(record.config)
    if not missing:
        return 0
    several = place.device is not None and "," in place.device
    manifest = Manifest(
        configs=missing,
        data=place.data,
        results=place.results,
        curvature=wanted,
        device=None if several else place.device,
    )
    options = {"devices": str(place.device)} if several else {}
    with RunDisplay(screen, len(missing)) as display:
        watcher = _watching(
            display,
            lambda record: _show(screen, record, place.results),
            one=len(missing) == 1,
        )
        tally = launch(manifest, options, watcher)
    if len(missing) == 1 and tally.errors:
        raise tally.errors[0]
    if tally.interrupted:
        screen.warn("interrupted; the same command goes on from here")
    return tally.exit_code


def _completed(screen: Screen, records: Sequence[RunRecord], results: Path) -> list[RunRecord]:
    """Return the runs that have a minimum.

    Raises:
        CurvatureError: If a single run has none.
    """
    from sambench.record import COMPLETED

    if len(records) == 1 and records[0].status != COMPLETED:
        from sambench.minimum.hessian import weights_of
        from sambench.store import Store

        weights_of(records[0], Store(results))
    for record in records:
        if record.status != COMPLETED:
            screen.warn(f"{record.name}: {record.status}, so there is nothing to measure")
    return [record for record in records if record.status == COMPLETED]


def _watching(display: RunDisplay, show: Callable[[RunRecord], None], *, one: bool) -> Watcher:
    """Return a watcher that shows what is measured; an error of a single run comes at the end."""
    from sambench.launch.watcher import Watcher

    return Watcher(
        measuring=display.measuring,
        curvature=display.curvature,
        finished=show,
        failed=(lambda config, error: None) if one else display.failed,
        elsewhere=display.elsewhere,
        say=display.say,
        lane=lambda: _watching(display.lane(), show, one=one),
    )


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
