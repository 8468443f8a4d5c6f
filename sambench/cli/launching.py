"""What `train` and `compare` share: do the runs, show their table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.cli.making import make_data
from sambench.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from sambench.cli.progress import RunDisplay
    from sambench.cli.screen import Screen
    from sambench.config.measurement import Measurement
    from sambench.config.run_config import RunConfig
    from sambench.config.suite import Suite
    from sambench.launch.watcher import Watcher
    from sambench.store.status import Standing, Survey
    from sambench.store.tree import Store


def launch(
    screen: Screen,
    configs: Sequence[RunConfig],
    data: Path,
    results: Path,
    device: str | None,
    suite: str | None,
    hessian: Measurement | None,
    *,
    retry: Collection[str] = (),
    fail_fast: bool = False,
    launcher: tuple[str, Mapping[str, str]] = ("local", {}),
    log: Sequence[str] = (),
) -> int:
    """Do what is missing of the runs and return the exit code.

    Args:
        screen: Where to show how it goes.
        configs: The runs.
        data: Folder of the prepared datasets.
        results: Folder of the results.
        device: Name of the device, or None to choose.
        suite: Name of the suite, if any.
        hessian: What to measure of each minimum, or None to leave it out.
        retry: States of finished runs that are done again (`sambench.store.status.REPEATABLE`).
        fail_fast: End with the first run that fails or diverges.
        launcher: Who does the runs, and its options.
        log: Sinks that follow each run (`sambench.run.sinks`).
    """
    from sambench.store.status import STALE, pending
    from sambench.store.tree import Store

    store = Store(results)
    standings = survey(store, data, hessian, retry).of(configs)
    left = pending(standings)
    failures = _say_what_is_left_alone(screen, standings)
    if not left:
        return int(failures > 0)
    from sambench.cli.progress import RunDisplay
    from sambench.launch.launcher import launchers
    from sambench.launch.manifest import Manifest

    chosen, options = launchers.get(launcher[0]), launcher[1]
    todo = [standing.config for standing in left]
    check_models(todo)
    check_data(screen, todo, data)
    _retire(store, [standing.config for standing in left if standing.state == STALE])
    manifest = Manifest(
        configs=todo,
        data=data,
        results=results,
        suite=suite,
        curvature=hessian,
        device=device,
        fail_fast=fail_fast,
        log=log,
    )
    with RunDisplay(screen, len(todo)) as display:
        tally = chosen.start(manifest, options, _watching(display, one=len(configs) == 1))
    if len(configs) == 1 and tally.errors:
        raise tally.errors[0]
    if tally.interrupted:
        screen.warn("interrupted; the same command goes on from here")
    return tally.exit_code or int(failures > 0)


def _watching(display: RunDisplay, *, one: bool) -> Watcher:
    """Return a watcher that shows everything; an error of a single run is shown at the end."""
    from sambench.launch.watcher import Watcher

    return Watcher(
        event=display.event,
        measuring=display.measuring,
        curvature=display.curvature,
        finished=display.finished,
        failed=(lambda config, error: None) if one else display.failed,
        elsewhere=display.elsewhere,
        say=display.say,
        waiting=display.waiting,
        lane=lambda: _watching(display.lane(), one=one),
    )


def survey(
    store: Store, data: Path, hessian: Measurement | None, retry: Collection[str] = ()
) -> Survey:
    """Return who tells the standing of runs on these data."""
    from sambench.data.prepared import prepared_fingerprint
    from sambench.store.status import Survey

    return Survey(
        store=store,
        curvature=hessian,
        retry=retry,
        fingerprint=lambda name, side: prepared_fingerprint(data, name, side),
    )


def _say_what_is_left_alone(screen: Screen, standings: Sequence[Standing]) -> int:
    """Tell which runs are not done (again); return how many of them have failed or diverged."""
    from sambench.store.status import DIVERGED, DONE, FAILED, STALE, counts

    left_alone = [standing for standing in standings if standing.action == "skip"]
    numbers = counts(left_alone)
    if done := numbers.get(DONE):
        screen.say(f"{done} of {len(standings)} runs are done already")
    for state in (FAILED, DIVERGED, STALE):
        if number := numbers.get(state):
            reasons = sorted({s.note for s in left_alone if s.state == state and s.note})
            why = f" ({'; '.join(reasons)})" if reasons else ""
            screen.warn(f"{number} {state}{why}; `--retry {state}` does them again")
    return numbers.get(FAILED, 0) + numbers.get(DIVERGED, 0)


def _retire(store: Store, configs: Sequence[RunConfig]) -> None:
    """Move stale runs out of the way; those that another process is at are left to it."""
    from contextlib import suppress

    from sambench.files.claim import Claimed

    for config in configs:
        with suppress(Claimed):
            store.retire(config)


def check_data(screen: Screen, configs: Sequence[RunConfig], data: Path) -> None:
    """Make data that are simulated; refuse runs whose data are not prepared, before any runs.

    Raises:
        DataError: Names the first.
    """
    from sambench.data.prepared import open_prepared

    for name, side in sorted({(config.dataset, config.image_size) for config in configs}):
        make_data(screen, data, name, side)
        open_prepared(data, name, side)


def check_models(configs: Sequence[RunConfig]) -> None:
    """Refuse runs whose model does not exist or does not take the images, before any runs.

    Raises:
        UserError: Names the first.
    """
    from sambench.models.model import find_model

    for name, side in sorted({(config.model, config.image_size) for config in configs}):
        find_model(name).check(side)


def show_table(
    screen: Screen, results: Path, configs: Sequence[RunConfig], baseline: str | None
) -> None:
    """Show the comparison of the runs that have a record, once one is completed."""
    from sambench.report.tables import build_tables
    from sambench.store.record import COMPLETED
    from sambench.store.tree import Store

    store = Store(results)
    records = [record for config in configs if (record := store.load(config)) is not None]
    if not any(record.status == COMPLETED for record in records):
        return
    for table in build_tables(records, baseline, configs):
        screen.table(table)


def expanded(suite: Suite, data: Path) -> tuple[RunConfig, ...]:
    """Return the runs of a suite, with the sizes and folds of the prepared datasets.

    Raises:
        UserError: If it does not expand.
    """
    return suite.expand(
        lambda name: image_size(data, name), lambda name, side: folds_in(data, name, side)
    )


def image_size(data: Path, dataset: str) -> int:
    """Return the prepared size if there is one only, else the dataset's own.

    Raises:
        UnknownNameError: If there is no such dataset.
        ConfigError: If it has no size of its own and is prepared at several.
    """
    from sambench.data.prepared import prepared_datasets, prepared_sizes
    from sambench.data.source import sources

    sizes, known = prepared_sizes(data, dataset), [source.name for source in sources.list()]
    if len(sizes) == 1:
        return sizes[0]
    if dataset in known:
        return sources.get(dataset).image_size
    if sizes:
        listed = ", ".join(map(str, sizes))
        raise ConfigError(f"dataset {dataset!r} is prepared at {listed} pixels; choose by --size")
    remedy = "`sambench list datasets` shows all"
    raise UnknownNameError("dataset", dataset, {*known, *prepared_datasets(data)}, remedy)


def folds_in(data: Path, dataset: str, image_size: int) -> tuple[int, ...]:
    """Return the folds that a prepared dataset brings itself.

    Raises:
        DataError: If it is not prepared or has no folds.
    """
    from sambench.data.prepared import open_prepared

    folds = open_prepared(data, dataset, image_size).column("fold")
    return tuple(sorted({int(fold) for fold in folds if fold is not None}))
