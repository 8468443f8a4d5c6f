"""`sambench report`."""

from __future__ import annotations

from typing import Annotated

import typer

from sambench.cli.options import RESULTS, PluginOption, ResultsOption
from sambench.errors import UserError


def report(
    patterns: Annotated[
        list[str] | None, typer.Argument(help="Runs by name, id or pattern; all by default.")
    ] = None,
    baseline: Annotated[
        str, typer.Option("--baseline", help="The optimizer that comes first.")
    ] = "adam",
    results: ResultsOption = RESULTS,
    plugin: PluginOption = None,
) -> None:
    """Make the tables of all stored runs, from their records alone: terminal, Markdown, PNG."""
    from sambench.console import Screen
    from sambench.optim.method import optimizers
    from sambench.report.page import write_report
    from sambench.report.tables import build_tables
    from sambench.search import is_trial
    from sambench.store import Store

    optimizers.get(baseline)
    store, screen = Store(results), Screen()
    records, damaged = store.records()
    shown = [record for record in records if not is_trial(record)]
    records = store.find(patterns) if patterns else shown
    for message in damaged:
        screen.warn(message)
    if not records:
        raise UserError(
            f"no runs in {store.runs}; `sambench train` or `sambench compare` makes some"
        )
    tables = build_tables(records, baseline)
    for table in tables:
        screen.table(table)
    for path in write_report(tables, results / "reports"):
        screen.show(f"wrote {path}")
