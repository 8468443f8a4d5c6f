"""The papers' tables beside ours, their claims, and printed numbers among our further runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from sambench.analysis import published
from sambench.analysis.claims import NOT_TESTED, STANDINGS, Evidence, Finding
from sambench.analysis.groups import Group
from sambench.analysis.metrics import Metric
from sambench.analysis.names import Names
from sambench.analysis.published import COLUMNS, PrintedRow, PrintedTable, Replication, ours
from sambench.analysis.units import Summary, summarize
from sambench.config.suite import TableReference
from sambench.report.differences import amount, interval
from sambench.report.table import (
    MISSING,
    Cell,
    Row,
    Table,
    counted,
    factor,
    p_value,
    signed,
    significant,
)
from sambench.report.tables import best_of, printed, sure_means

NOTES = (
    "Rows marked “printed” hold the paper's numbers as printed, of one run each; the others are "
    "ours, mean ± SD (n), geometric for time and curvature (×÷). – no run of ours.",
    "Bold, in both: accuracies above Adam's; elsewhere the best, closest to zero for the trace, "
    "Adam left out of time in tables of one model.",
)


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


def _table(table: PrintedTable, groups: Sequence[Group], names: Names) -> Table:
    columns = list(COLUMNS.values())
    by_model = len({row.model for row in table.rows}) > 1
    found = [ours(row, groups) for row in table.rows]
    cells = [
        [summarize(*lines[0], c) for c in columns] if len(lines) == 1 else None for lines in found
    ]
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
    notes = [*NOTES]
    if several:
        notes.append(f"Several settings of ours fit, and none is chosen: {'; '.join(several)}.")
    paper = f"{table.paper} (arXiv {table.arxiv})"
    return Table(
        title=f"Table {table.number} of {paper}: {table.caption.rstrip('.')}",
        headings=("Model" if by_model else "Optimizer", *(c.title for c in columns)),
        rows=tuple(rows),
        notes=tuple(notes),
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
        return [number for number, mean in means.items() if mean > least]
    if metric.name == "train_seconds" and baseline is not None:
        means.pop(baseline, None)
    return best_of(means, metric)


CLAIMS = ("Claim", "Our runs", "Held", "Refuted", "Not reproduced", "Undecided", "Not tested")


def claims_table(findings: Sequence[Finding]) -> Table:
    """Return a row for each claim; below, every inequality that our runs speak to, with numbers."""
    rows = tuple((found.claim.sentence, tuple(_claim(found))) for found in findings)
    every = (one for found in findings for one in found.evidence)
    notes = [
        "A claim is judged on runs of the paper's own data, models and protocol alone. It is held "
        "if each of its inequalities is shown by itself, refuted if the opposite or equivalence of "
        "one is shown after the correction over the claim, "
        "not reproduced if neither is so and our interval excludes a printed difference, and else "
        "undecided. An inequality may be held or refuted while our interval excludes its printed "
        "size, which then is not reproduced; each line below says so.",
        *(_sentence(one) for one in every if one.standing != NOT_TESTED),
    ]
    sources = ", ".join(dict.fromkeys(found.claim.paper for found in findings))
    return Table(
        title=f"Claims of {sources}", headings=CLAIMS, rows=rows, notes=tuple(notes), stem="claims"
    )


def _claim(found: Finding) -> Iterable[Cell]:
    standings = [one.standing for one in found.evidence]
    yield Cell(text=found.standing, source=f"claim/{found.claim.name}")
    for kind in STANDINGS:
        number = standings.count(kind)
        yield Cell(text=str(number), numbers={"inequalities": number})


def _sentence(evidence: Evidence) -> str:
    """Return what our runs say of one inequality, with the printed number."""
    expectation, found = evidence.expectation, evidence.comparison
    metric = expectation.metric.heading.lower()
    (model, optimizer), (other, against) = expectation.candidate, expectation.baseline
    said = f"{optimizer} {expectation.expected} than {against} on {model}" if model == other else (
        f"{optimizer} on {model} {expectation.expected} than on {other}"
    )  # fmt: skip
    if expectation.correlation:
        said = f"flatter is more accurate on {model}"
        link = evidence.correlation
        if link is None or link.tau is None:
            return f"{evidence.standing}: {said}: no rank correlation."
        ends = link.interval
        tail = f", 95 % interval {ends[0]:+.2f} to {ends[1]:+.2f}" if ends else ""
        return (
            f"{evidence.standing}: {said}: Kendall's tau of {metric} and accuracy {link.tau:+.2f}"
            f"{tail}, {counted(link.runs, 'run')}."
        )
    if found is None:
        return f"{evidence.standing}: {said}: {evidence.why}."
    number = expectation.printed
    told = MISSING if number is None else (
        f"{factor(number)}x" if expectation.metric.ratio else signed(number, 1)
    )  # fmt: skip
    size = ", a size that is not reproduced" if evidence.other_size else ""
    times = f" (by a factor of {expectation.factor:g})" if expectation.factor > 1 else ""
    return (
        f"{evidence.standing}: {said}{times}, {metric}: {amount(found)} ({interval(found)}), "
        f"p = {p_value(evidence.alone)} by itself, {p_value(found.p)} corrected, "
        f"{counted(found.n, found.design.unit)}; printed {told}{size}."
    )


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
    notes = (
        "Ours is mean ± SD (n), geometric for time and curvature. The interval holds 95 % of "
        "further runs of ours (Student's t prediction): a printed number outside of it would be an "
        "unusual run of ours.",
        "Times are of other machines, and the papers do not define their curvature in full.",
    )
    return Table(title=f"Beside {cited}", headings=PRINTED, rows=tuple(rows), notes=notes,
                 stem="beside-the-papers")  # fmt: skip
