"""`sambench hessian`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from sambench.cli import completion
from sambench.cli import hessian_options as options
from sambench.cli.answers import runs_answer
from sambench.cli.grouping import grouped
from sambench.cli.launching import folds_in, image_size
from sambench.cli.options import PLACE, Output, Place
from sambench.cli.study_options import Around, show_studies
from sambench.errors import ConfigError

if TYPE_CHECKING:
    from sambench.console import Screen
    from sambench.minimum.measuring import Task
    from sambench.minimum.settings import HessianSettings
    from sambench.record import RunRecord
    from sambench.store import Store


@dataclass(frozen=True, kw_only=True)
class Doing:
    """Where it is measured, and whether again."""

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
    again: Annotated[
        bool, typer.Option("--again", help="Measure runs that have a measurement too.")
    ] = False


@grouped
def hessian(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Runs by name, id or shell pattern, or suites by name or file.",
            autocompletion=completion.runs_and_suites,
        ),
    ],
    accuracy: options.Accuracy,
    quantity: options.Quantity,
    arithmetic: options.Arithmetic,
    around: Around,
    doing: Doing,
    place: Place,
    output: Output,
) -> None:
    """Measure how sharp a run's minimum is: eigenvalues and trace of the Hessian, with errors.

    Runs that have been measured are shown. Ctrl-C keeps what is finished; the same command goes on
    from there.

    Examples:
      sambench hessian 'phantom-small-cnn-*' --samples 128
      sambench hessian suites/demo.yaml
    """
    given = options.given_settings(accuracy, quantity, arithmetic)
    screen, results = output.screen(), place.results
    groups = _groups(screen, runs, given, place.data, results)
    from sambench.minimum.measuring import Task
    from sambench.run import Paths
    from sambench.store import Store

    paths, other = Paths(data=place.data, results=results), around.other_run(results)
    code = 0
    for records, settings in groups:
        task = Task(
            records=records,
            settings=settings,
            paths=paths,
            again=doing.again,
            studies=around.studies(settings),
            other=other,
        )
        code = max(code, _measure(screen, task, given, doing.device))
    output.answer(runs_answer(Store(results), (r for records, _ in groups for r in records)))
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
    show_studies(screen, record, results)


def _warn_of_difference(screen: Screen, record: RunRecord, given: dict[str, Any]) -> None:
    """Say where a run has been measured in another way than is asked for now."""
    before = (record.hessian or {}).get("settings", {})
    other = [f"{key}={before[key]}" for key in given if key in before and before[key] != given[key]]
    if other:
        screen.warn(
            f"{record.name} has been measured with {', '.join(other)}; --again measures it anew"
        )
