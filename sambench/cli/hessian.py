"""`sambench hessian`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from sambench.cli import completion
from sambench.cli.answers import runs_answer
from sambench.cli.curvature_table import RUN_HEADINGS, run_row
from sambench.cli.grouping import grouped
from sambench.cli.hessian_options import Around, Doing, Measured
from sambench.cli.launch_options import choose_launcher
from sambench.cli.launching import expanded
from sambench.cli.options import Output, Place
from sambench.errors import ConfigError

if TYPE_CHECKING:
    from sambench.cli.progress import RunDisplay
    from sambench.cli.screen import Screen
    from sambench.config.measurement import Measurement
    from sambench.launch.watcher import Watcher
    from sambench.store.record import RunRecord
    from sambench.store.tree import Store


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
    measured: Measured,
    around: Around,
    doing: Doing,
    place: Place,
    output: Output,
) -> None:
    """Measure how sharp a run's minimum is: eigenvalues and trace of the Hessian, with errors.

    Runs that have been measured are shown; several end with one table. Ctrl-C keeps what is
    finished; the same command continues from there.

    Examples:
      sambench hessian 'phantom-small-cnn-*' --samples 128 --set batch_norm=recalibrate
      sambench hessian suites/demo.yaml
    """
    given = measured.given()
    screen, results = output.screen(), place.results
    groups, damaged = _groups(screen, runs, given, place.data, results)
    from sambench.cli.study import INTERRUPTED
    from sambench.store.tree import Store

    store = Store(results)
    other, code = around.other_run(results), int(bool(damaged))
    for records, wanted in groups:
        asked = replace(around.with_studies(wanted), other=other, again=doing.again)
        code = max(code, _measure(screen, records, asked, given, place, doing))
        if code == INTERRUPTED:
            break
    found = [store.load(record.config) or record for records, _ in groups for record in records]
    if len(found) > 1:
        screen.listing(RUN_HEADINGS, map(run_row, found), "curvature")
    output.answer(runs_answer(store, found))
    raise typer.Exit(code)


def _groups(
    screen: Screen, runs: Sequence[str], given: dict[str, Any], data: Path, results: Path
) -> tuple[list[tuple[list[RunRecord], Measurement]], list[str]]:
    """Return the runs with their settings, those of a suite file with the file's.

    A message for each damaged run is shown, and returned too.
    """
    from sambench.config.measurement import Measurement
    from sambench.store.tree import Store

    alone = Measurement.parse(given)  # refused, if at all, before anything is looked up
    store = Store(results)
    files = [name for name in runs if name.endswith((".yaml", ".yml"))]
    patterns = [name for name in runs if name not in files]
    groups, damaged = [], store.damaged(patterns)
    for file in files:
        records, wanted, broken = _suite_runs(screen, Path(file), store, data)
        damaged += broken
        base = {} if wanted is None else wanted.settings()
        groups.append((records, Measurement.parse({**base, **given})))
    if patterns:
        groups.append((store.find(patterns), alone))
    for message in damaged:
        screen.warn(message)
    return groups, damaged


def _suite_runs(
    screen: Screen, file: Path, store: Store, data: Path
) -> tuple[list[RunRecord], Measurement | None, list[str]]:
    """Return the completed runs of a suite file, what it measures of their minima, and damage.

    Raises:
        ConfigError: If none is completed.
    """
    from sambench.config.suite_file import load_suite
    from sambench.store.record import COMPLETED

    suite = load_suite(file)
    configs = expanded(suite, data, store)
    records, damaged = store.records(config.name for config in configs)
    completed = [record for record in records if record.status == COMPLETED]
    completed.sort(key=lambda record: record.name)
    if not completed:
        raise ConfigError(
            f"none of the {len(configs)} runs of {file} is completed in {store.root}; "
            f"`sambench compare {file}` does them"
        )
    if len(completed) < len(configs):
        screen.warn(f"{len(completed)} of {len(configs)} runs of {file} are completed")
    return completed, suite.hessian, damaged


def _measure(
    screen: Screen,
    records: Sequence[RunRecord],
    wanted: Measurement,
    given: dict[str, Any],
    place: Place,
    doing: Doing,
) -> int:
    """Measure what is missing, show all, and return the exit code."""
    from sambench.cli.progress import RunDisplay
    from sambench.launch.launcher import launchers
    from sambench.launch.manifest import Manifest

    missing = []
    show = partial(_show, screen, results=place.results, verbose=doing.verbose)
    for record in _completed(screen, records, place.results):
        _check_place(record, place.results)
        if wanted.is_done(record.config, record.hessian):
            _warn_of_difference(screen, record, given)
            show(record)
        else:
            missing.append(record.config)
    if not missing:
        return 0
    several = doing.device is not None and "," in doing.device
    manifest = Manifest(
        configs=missing,
        data=place.data,
        results=place.results,
        curvature=wanted,
        device=None if several else doing.device,
    )
    numbers = {"workers": doing.workers, "threads": doing.threads}
    numbers |= {"devices": doing.device} if several else {}
    more = {name: f"{value}" for name, value in numbers.items() if value is not None}
    name, options = choose_launcher(doing.launcher, doing.given or (), doing.slurm, more)
    with RunDisplay(screen, len(missing)) as display:
        watcher = _watching(display, show, one=len(missing) == 1)
        tally = launchers.get(name).start(manifest, options, watcher)
    if len(missing) == 1 and tally.errors:
        raise tally.errors[0]
    if tally.interrupted:
        screen.warn("interrupted; the same command goes on from here")
    return tally.exit_code or int(tally.elsewhere > 0)


def _completed(screen: Screen, records: Sequence[RunRecord], results: Path) -> list[RunRecord]:
    """Return the runs that have a minimum.

    Raises:
        CurvatureError: If a single run has none.
    """
    from sambench.store.record import COMPLETED

    if len(records) == 1 and records[0].status != COMPLETED:
        from sambench.run.curvature import weights_of
        from sambench.store.tree import Store

        weights_of(records[0], Store(results))
    for record in records:
        if record.status != COMPLETED:
            screen.warn(f"{record.name}: {record.status}, so there is nothing to measure")
    return [record for record in records if record.status == COMPLETED]


def _check_place(record: RunRecord, results: Path) -> None:
    """Refuse a run whose folder was renamed: its files would be looked for, and made, elsewhere.

    Raises:
        StoreError: Says how to put it right.
    """
    from sambench.errors import StoreError
    from sambench.store.tree import RECORD, Store

    folder = Store(results).folder(record.config)
    if not (folder / RECORD).exists():
        raise StoreError(
            f"run {record.name} lies in a folder of another name than its own; rename that folder "
            f"to {folder} (`grep -l {record.id} {folder.parent}/*/{RECORD}` finds it)"
        )


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
        waiting=display.waiting,
        lane=lambda: _watching(display.lane(), show, one=one),
    )


def _show(screen: Screen, record: RunRecord, *, results: Path, verbose: bool) -> None:
    """Show what was measured and studied of a run, and draw it into the run's folder."""
    from sambench.report.curvature_plots import write_figures
    from sambench.store.tree import Store

    screen.curvature(record, verbose=verbose)
    screen.studies(record)
    for figure in write_figures(record, Store(results).folder(record.config)):
        screen.show(f"wrote {figure}")


def _warn_of_difference(screen: Screen, record: RunRecord, given: dict[str, Any]) -> None:
    """Say where a run has been measured in another way than is asked for now."""
    before = (record.hessian or {}).get("settings", {})
    other = [f"{key}={before[key]}" for key in given if key in before and before[key] != given[key]]
    if other:
        screen.warn(
            f"{record.name} has been measured with {', '.join(other)}; --again measures it anew"
        )
