"""The papers' tables beside ours, their claims, and printed numbers among our further runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import zip_longest

from sambench.analysis import published
from sambench.analysis.claims import NOT_TESTED, STANDINGS, Finding
from sambench.analysis.grouping import Names
from sambench.analysis.groups import Group
from sambench.analysis.metrics import Metric
from sambench.analysis.published import COLUMNS, PrintedRow, PrintedTable, Replication, ours
from sambench.analysis.units import Summary, summarize
from sambench.config.suite import TableReference
from sambench.report.table import MISSING, Cell, Row, Table, significant
from sambench.report.tables import best_of, printed, sure_means
from sambench.report.wording import paragraphs

notes = partial(paragraphs, "papers.md")
"""Returns the notes of a kind of table, of some facts."""


def paper_tables(
    groups: Sequence[Group], wanted: Sequence[TableReference], names: Names
) -> tuple[Table, ...]:
    """Return the papers' tables with our numbers beside the printed ones.

    Those wanted are a suite's, each with the runs that it is of; none stands for all tables of
    which a row is ours.
    """
    there = {(table.paper, table.number): table for table in published.printed_tables()}
    found = [(groups, t) for t in there.values() if any(ours(row, groups) for row in t.rows)]
    if wanted:
        found = [
            ([g for g in groups if any(asked.where.matches(r.config) for r in g.records)], table)
            for asked in wanted
            if (table := there.get((asked.paper, asked.table)))
        ]
    return tuple(_table(table, chosen, names) for chosen, table in found)


def unknown_tables(wanted: Iterable[TableReference]) -> tuple[str, ...]:
    """Name the tables that a suite asks for and no paper at hand has."""
    there = [(table.paper, table.number) for table in published.printed_tables()]
    missing = [(one.paper, one.table) for one in wanted if (one.paper, one.table) not in there]
    return notes("unknown", missing=missing, there=there)


def _table(table: PrintedTable, groups: Sequence[Group], names: Names) -> Table:
    columns = list(COLUMNS.values())
    by_model = len({row.model for row in table.rows}) > 1
    found = [ours(row, groups) for row in table.rows]
    cells = [[summarize(*own[0], c) for c in columns] if len(own) == 1 else None for own in found]
    baseline = next((i for i, row in enumerate(table.rows) if row.optimizer == "adam"), None)
    bold = [
        _bold((own[place] if own else None for own in cells), c, None if by_model else baseline)
        for place, c in enumerate(columns)
    ]
    rows: list[Row] = []
    for number, (row, of_row) in enumerate(zip(table.rows, cells, strict=True)):
        kind, name = ("models", row.model) if by_model else ("optimizers", row.optimizer)
        label = names.printed(kind, name)
        own = [Cell(text=MISSING)] * len(columns) if of_row is None else [
            printed(cell, c, bold=number in best)
            for cell, c, best in zip(of_row, columns, bold, strict=True)
        ]  # fmt: skip
        rows += [(label, tuple(own)), (f"{label}, printed", tuple(_as_printed(row)))]
    several = [
        f"{names.optimizer(row.optimizer)} on {names.printed('models', row.model)}"
        for row, lines in zip(table.rows, found, strict=True)
        if len(lines) > 1
    ]
    paper = f"{table.paper} (arXiv {table.arxiv})"
    return Table(
        title=f"Table {table.number} of {paper}: {table.caption.rstrip('.')}",
        headings=("Model" if by_model else "Optimizer", *(c.title for c in columns)),
        rows=tuple(rows),
        notes=notes("table", rows=rows, several=several),
        stem=f"{table.paper}-table-{table.number}",
    )


def _as_printed(row: PrintedRow) -> Iterable[Cell]:
    for key in COLUMNS:
        value = row.values.get(key)
        if value is None:
            yield Cell(text=MISSING)
        else:
            decimals = {"test_accuracy": 1, "train_minutes": 0}.get(key, 2)
            yield Cell(text=f"{value:.{decimals}f}", numbers={"printed": value},
                       bold=key in row.bold)  # fmt: skip


def _bold(cells: Iterable[Summary | None], metric: Metric, baseline: int | None) -> list[int]:
    """Return the numbers of our cells of a column that are bold by the papers' rule."""
    means = sure_means(cells)
    if metric.name == "accuracy" and baseline is not None:
        least = means.get(baseline, math.inf)
        return [n for n, mean in means.items() if mean > least and not math.isclose(mean, least)]
    if metric.name == "train_seconds" and baseline is not None:
        means.pop(baseline, None)
    return best_of(means, metric)


CLAIMS = ("Claim", "Our runs", "Held", "Refuted", "Not reproduced", "Undecided", "Not tested")


def claims_table(findings: Sequence[Finding]) -> Table:
    """Return a row for each claim; below, every inequality that our runs speak to, with numbers."""
    rows = tuple((found.sentence, tuple(_claim(found))) for found in findings)
    judged = [one for f in findings for one in f.evidence if one.standing != NOT_TESTED]
    sources = ", ".join(dict.fromkeys(found.paper for found in findings))
    return Table(
        title=f"Claims of {sources}",
        headings=CLAIMS,
        rows=rows,
        notes=notes("claims", judged=judged),
        stem="claims",
    )


def _claim(found: Finding) -> Iterable[Cell]:
    standings = [one.standing for one in found.evidence]
    yield Cell(text=found.standing, source=f"claim/{found.name}")
    for kind in STANDINGS:
        number = standings.count(kind)
        yield Cell(text=str(number), numbers={"inequalities": number})


PRINTED = ("Cell", "Metric", "Printed", "Ours", "95 % of further runs", "The printed number is")


def replication_table(found: Sequence[Replication], names: Names) -> Table:
    """Return our runs beside printed numbers, a row for each."""
    rows = []
    for one in found:
        c = one.metric
        label = f"{names.optimizer(one.line.label)} on {one.group.title.partition(' on ')[0]}"
        value = c.table_scale * one.printed
        ends = [c.table_scale * end for end in one.interval or ()]
        text = " to ".join(map(significant, ends)) or MISSING
        rows.append((label, (
            Cell(text=c.title),
            Cell(text=f"{value:.10g}", numbers={"printed": value}),
            printed(one.cell, c),
            Cell(text=text, numbers=dict(zip_longest(("low", "high"), ends))),
            Cell(text=one.verdict),
        )))  # fmt: skip
    cited = " and ".join(dict.fromkeys(one.row.paper for one in found))
    return Table(
        title=f"Beside {cited}",
        headings=PRINTED,
        rows=tuple(rows),
        notes=notes("replication", rows=rows),
        stem="beside-the-papers",
    )
