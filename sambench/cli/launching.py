"""What `train` and `compare` share: do the runs, show their table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.cli.making import make_data
from sambench.errors import DataError, RunInterrupted, UnknownNameError

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
        launcher: Where runs execute, and its options.
        log: Sinks that follow each run (`sambench.run.sinks`).
    """
    from sambench.store.status import pending
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
    check_weights(todo, data)
    if launcher[0] == "local":
        _check_devices(device, options)
    check_data(screen, todo, data)
    _retire(store, left)
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
    if failed := sum(not isinstance(error, RunInterrupted) for error in tally.errors):
        screen.warn(f"{failed} failed; `--retry failed` does them again")
    if tally.interrupted or len(tally.errors) > failed:
        screen.warn("interrupted; run the same command again to continue from here")
    elsewhere = _say_what_others_do(screen, store, todo) if tally.elsewhere else 0
    return tally.exit_code or int(failures + elsewhere > 0)


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
    """Tell which runs are not done (again), and of each that is no result why; return how many."""
    from sambench.store.record import DIVERGED, FAILED
    from sambench.store.status import DAMAGED, DONE, STALE, counts

    left_alone = [standing for standing in standings if standing.action == "skip"]
    numbers = counts(left_alone)
    if done := numbers.get(DONE):
        screen.say(f"{done} of {len(standings)} runs are done already")
    bad = (FAILED, DIVERGED, DAMAGED)
    for standing in left_alone:
        if standing.state in bad:
            screen.warn(f"{standing.config.name} {standing.state}: {standing.note or 'no reason'}")
    for state in (*bad, STALE):
        if number := numbers.get(state):
            reasons = sorted({s.note for s in left_alone if s.state == state == STALE})
            why = f" ({'; '.join(reasons)})" if reasons else ""
            screen.warn(f"{number} {state}{why}; `--retry {state}` does them again")
    return sum(numbers.get(state, 0) for state in bad)


def _say_what_others_do(screen: Screen, store: Store, configs: Sequence[RunConfig]) -> int:
    """Say which runs other processes still do, so that they are missing here; return how many."""
    from sambench.store.record import RUNNING
    from sambench.store.status import Survey

    missing = [s.config.name for s in Survey(store=store).of(configs) if s.state == RUNNING]
    if missing:
        screen.warn(
            f"being done by another process, and missing here: {', '.join(missing)}; the same "
            "command shows them when they are done"
        )
    return len(missing)


def _retire(store: Store, standings: Sequence[Standing]) -> None:
    """Move stale and damaged runs out of the way; those that another process is at are left."""
    from contextlib import suppress

    from sambench.errors import ClaimError
    from sambench.files.claim import Claimed
    from sambench.store.status import DAMAGED, STALE

    for standing in standings:
        if standing.state in (STALE, DAMAGED):
            with suppress(Claimed, ClaimError):
                store.retire(standing.config, f"{standing.state}, {standing.note}")


def _check_devices(device: str | None, options: Mapping[str, str]) -> None:
    """Refuse a device that is not there, before anything is prepared or run.

    Raises:
        DeviceError: Names the first.
    """
    from sambench.launch.launchers.local import named_devices
    from sambench.store.environment import choose_device

    named: list[str | None] = [*named_devices(options, device)]
    for name in named or [device]:
        choose_device(name)


def check_data(screen: Screen, configs: Sequence[RunConfig], data: Path) -> None:
    """Make data that are simulated; refuse runs whose data are not sound, before any runs.

    Warns where a split tears patients or copies apart.

    Raises:
        ConfigError: If a split or a fold does not exist.
        DataError: Names the first that is not prepared, or lacks what a split needs.
    """
    from sambench.data.prepared import check_pixels, open_prepared
    from sambench.data.splits import Population, leak_warning

    for name, side in sorted({(config.dataset, config.image_size) for config in configs}):
        make_data(screen, data, name, side)
        prepared = open_prepared(data, name, side)
        check_pixels(prepared)
        mine = [config for config in configs if (config.dataset, config.image_size) == (name, side)]
        for split, seed in sorted({(config.split, config.split_seed) for config in mine}):
            folds = {config.fold for config in mine if config.split == split}
            known = sorted(folds, key=lambda fold: (fold is None, fold))
            for warning in leak_warning(Population.of(prepared), split, known, seed=seed):
                screen.warn(f"{name}: {warning}")


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
    """Show the comparison of the runs that have a sound record, once one is completed.

    A note under the first table says how many others the comparison has.
    """
    from dataclasses import replace

    from sambench.report.tables import build_tables
    from sambench.store.record import COMPLETED, RUNNING
    from sambench.store.status import DAMAGED, MISSING, Survey, counts
    from sambench.store.tree import Store

    store = Store(results)
    records, _ = store.records(config.name for config in configs)
    if not any(record.status == COMPLETED for record in records):
        return
    states = counts(Survey(store=store).of(configs))
    absent = {state: states[state] for state in (MISSING, RUNNING, DAMAGED) if state in states}
    said = ", ".join(f"{number} {_ABSENT[state]}" for state, number in absent.items())
    note = f"{sum(absent.values())} of {len(configs)} runs are not in the tables: {said}."
    first, *rest = build_tables(records, baseline, configs)
    for table in (replace(first, notes=(*first.notes, *[note] * bool(absent))), *rest):
        screen.table(table)


_ABSENT = {
    "missing": "not done",
    "running": "being done by another process",
    "damaged": "damaged",
}
"""Why a run is not in a table, by its state."""


def expanded(suite: Suite, data: Path, store: Store | None = None) -> tuple[RunConfig, ...]:
    """Return the runs of a suite, with the folds that the datasets bring themselves.

    Args:
        suite: The suite.
        data: Folder of the prepared datasets.
        store: Whose records tell the folds of a dataset that is not prepared any more.

    Raises:
        UserError: If it does not expand.
    """

    def folds(name: str, side: int) -> Sequence[int]:
        try:
            return folds_in(data, name, side)
        except DataError:
            configs = [record.config for record in store.records()[0]] if store else []
            there = {c.fold for c in configs if (c.dataset, c.image_size) == (name, side)}
            if found := sorted(fold for fold in there if fold is not None):
                return found
            raise

    return suite.expand(folds_in=folds)


def check_datasets(configs: Sequence[RunConfig], data: Path) -> None:
    """Refuse a dataset that nobody knows.

    Raises:
        UnknownNameError: Names the first that is neither listed nor prepared.
    """
    from sambench.data.prepared import prepared_datasets
    from sambench.data.source import sources

    known = {*(source.name for source in sources.list()), *prepared_datasets(data)}
    for name in sorted({config.dataset for config in configs} - known):
        raise UnknownNameError("dataset", name, known, "`sambench list datasets` shows all")


def check_weights(configs: Sequence[RunConfig], data: Path) -> None:
    """Refuse runs that start from weights whose file is not kept here.

    Raises:
        ModelError: Names the first.
    """
    from sambench.models.weights import find_weights

    for sha256 in sorted({config.weights for config in configs if config.weights}):
        find_weights(sha256, data)


def warn_of_sizes(screen: Screen, configs: Sequence[RunConfig], data: Path) -> None:
    """Say of which datasets only other sizes are prepared than the runs need."""
    from sambench.data.prepared import only_at, prepared_sizes

    for name, side in sorted({(config.dataset, config.image_size) for config in configs}):
        sizes = prepared_sizes(data, name)
        if sizes and side not in sizes:
            screen.warn(f"{name} is needed at {side} pixels but prepared {only_at(sizes)}")


def folds_in(data: Path, dataset: str, image_size: int) -> tuple[int, ...]:
    """Return the folds that a prepared dataset brings itself.

    Raises:
        DataError: If it is not prepared or has no folds.
    """
    from sambench.data.prepared import open_prepared

    folds = open_prepared(data, dataset, image_size).column("fold")
    return tuple(sorted({int(fold) for fold in folds if fold is not None}))
