"""What `train` and `compare` share: do the runs, show their table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sambench.config import RunConfig
    from sambench.console import Screen
    from sambench.hessian_settings import HessianSettings


def launch(
    screen: Screen,
    configs: Sequence[RunConfig],
    data: Path,
    results: Path,
    device: str | None,
    suite: str | None,
    hessian: HessianSettings | None,
) -> int:
    """Do what is missing of the runs and return the exit code."""
    from sambench.store import Store

    store = Store(results)
    pending = store.missing(configs, curvature=hessian is not None)
    if len(pending) < len(configs):
        screen.say(f"{len(configs) - len(pending)} of {len(configs)} runs are done already")
    if not pending:
        return 0
    from sambench.console import RunDisplay
    from sambench.environment import choose_device
    from sambench.launch.local import Watcher, run_all
    from sambench.run import Paths

    where, reason = choose_device(device)
    check_data(pending, data)
    check_models(pending)
    screen.say(f"device {where} ({reason})")
    with RunDisplay(screen, len(pending)) as display:
        tally = run_all(
            pending,
            Paths(data=data, results=results),
            device=where,
            suite=suite,
            hessian=hessian,
            watcher=Watcher(
                event=display.event,
                curvature=display.curvature,
                finished=display.finished,
                failed=display.failed if len(configs) > 1 else lambda config, error: None,
                elsewhere=display.elsewhere,
            ),
        )
    if len(configs) == 1 and tally.errors:
        raise tally.errors[0]
    if tally.interrupted:
        screen.warn("interrupted; the same command goes on from here")
    return tally.exit_code


def check_data(configs: Sequence[RunConfig], data: Path) -> None:
    """Refuse runs whose data are not prepared, before any runs.

    Raises:
        DataError: Names the first.
    """
    from sambench.data.prepared import open_prepared

    for name, side in sorted({(config.dataset, config.image_size) for config in configs}):
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
    from sambench.record import COMPLETED
    from sambench.report.tables import build_tables
    from sambench.store import Store

    store = Store(results)
    records = [record for config in configs if (record := store.load(config)) is not None]
    if not any(record.status == COMPLETED for record in records):
        return
    for table in build_tables(records, baseline):
        screen.table(table)


def image_size(data: Path, dataset: str) -> int:
    """Return the prepared size if there is one only, else the dataset's own."""
    from sambench.data.prepared import prepared_sizes
    from sambench.data.source import sources

    default = sources.get(dataset).image_size
    sizes = prepared_sizes(data, dataset)
    return sizes[0] if len(sizes) == 1 else default
