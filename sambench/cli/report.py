"""`sambench report`."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sambench.cli.options import DATA, RESULTS, DataOption, PluginOption, ResultsOption
from sambench.errors import UserError

if TYPE_CHECKING:
    from sambench.record import RunRecord
    from sambench.report.table import Table


def report(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(help="A suite (file or name), or runs by name, id or pattern; all else."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="The optimizer that comes first; the suite's, or adam."),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="The papers' numbers and claims beside ours.")
    ] = False,
    data: DataOption = DATA,
    results: ResultsOption = RESULTS,
    plugin: PluginOption = None,
) -> None:
    """Make tables from stored records alone: terminal, Markdown, HTML, PNG, LaTeX, CSV, xlsx.

    Example: sambench report suites/demo.yaml
    """
    from sambench.cli.contrast import of_suite
    from sambench.console import Screen
    from sambench.optim.method import optimizers
    from sambench.report.page import write_report
    from sambench.report.tables import build_tables
    from sambench.store import Store
    from sambench.suite.file import load_suite
    from sambench.suite.search import is_trial

    store, screen = Store(results), Screen()
    stored, damaged = store.records()
    gc.freeze()  # they stay to the end: no need to look for garbage among them again and again
    records = [record for record in stored if not is_trial(record)]
    screen.warn_of(damaged, "records that cannot be read")
    name: str | None = None
    if patterns:
        alone = patterns[0] if len(patterns) == 1 else ""
        named = [record for record in records if alone and record.suite == alone]
        if alone.endswith((".yaml", ".yml")):
            suite = load_suite(Path(alone))
            name, baseline = suite.name, baseline or suite.baseline
            records = list(of_suite(Path(alone), stored, data, results))
        else:
            name = alone if named else None
            records = named or store.find(patterns, stored)
    if not records:
        raise UserError(
            f"no runs in {store.runs}; `sambench train` or `sambench compare` makes some"
        )
    baseline = optimizers.get(baseline or "adam").name
    tables = [*build_tables(records, baseline), *(_published(records) if published else ())]
    for table in tables:
        screen.table(table)
    folder = results / "reports" / (name or "")
    for path in write_report(tables, folder, f"sambench report {name or ''}".rstrip()):
        screen.show(f"wrote {path}")


def _published(records: Sequence[RunRecord]) -> list[Table]:
    """Return the papers' numbers beside ours, where there are any of a cell, and their claims."""
    from sambench.analysis.findings import examine
    from sambench.analysis.frame import frame
    from sambench.analysis.metrics import METRICS
    from sambench.analysis.published import published_frame
    from sambench.analysis.replication import replications
    from sambench.report.claims import claims_table
    from sambench.report.contrasts import replication_table

    runs = frame(records)
    found = replications(runs, published_frame(), METRICS)
    return [*([replication_table(found)] if found else []), claims_table(examine(runs))]
