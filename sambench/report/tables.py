"""The paper's tables from stored records."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from sambench.analysis.comparison import (
    BETTER,
    WORSE,
    Comparison,
    columns_of,
    compare,
    with_holm,
)
from sambench.analysis.frame import Columns
from sambench.analysis.groups import Group, Line, groups
from sambench.analysis.metrics import Metric, find_metrics
from sambench.analysis.statistics import Summary
from sambench.record import RunRecord
from sambench.report.notes import table_notes
from sambench.report.table import (
    COLLAPSED,
    DIFFERENT,
    MISSING,
    UNCONVERGED,
    Cell,
    Table,
    format_summary,
)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A measured quantity.

    Attributes:
        title: Heading.
        metric: What comparisons call it.
        value: Takes a completed record; None where it was not measured.
        best: Picks the mean to print in bold; None where no value is better than another.
        decimals: Digits after the point; None for three significant ones.
        converged: Whether the value can be trusted.
    """

    title: str
    metric: str
    value: Callable[[RunRecord], float | None]
    best: Callable[[Iterable[float]], float] | None = None
    decimals: int | None = None
    converged: Callable[[RunRecord], bool] = lambda record: True


def _hessian(*path: str) -> Callable[[RunRecord], float | None]:
    def value(record: RunRecord) -> float | None:
        found: object = record.hessian
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return float(found) if isinstance(found, int | float) else None

    return value


def _hessian_converged(key: str) -> Callable[[RunRecord], bool]:
    def converged(record: RunRecord) -> bool:
        section = record.hessian or {}
        found = section.get(key)
        return bool(found.get("converged", True)) if isinstance(found, dict) else True

    return converged


def _accuracy(record: RunRecord) -> float | None:
    return 100 * float(record.final["test"]["accuracy"]) if record.final else None


def _seconds(record: RunRecord) -> float | None:
    return float(record.cost["train_seconds"]) if record.cost else None


def _passes(record: RunRecord) -> float | None:
    return float(record.cost["gradient_evaluations"]) if record.cost else None


def columns(in_minutes: bool) -> tuple[Column, ...]:
    """Return the paper's columns, and gradient evaluations, the cost that no machine changes."""
    unit, scale = ("min", 60.0) if in_minutes else ("s", 1.0)

    def time(record: RunRecord) -> float | None:
        seconds = _seconds(record)
        return None if seconds is None else seconds / scale

    top, trace, batches = (_hessian_converged(key) for key in ("top", "trace", "batch_spectrum"))
    return (
        Column(title="Test accuracy (%)", metric="accuracy", value=_accuracy, best=max, decimals=1),
        Column(
            title=f"Training time ({unit})",
            metric="train_seconds",
            value=time,
            best=min,
            decimals=1,
        ),
        Column(
            title="Gradient evaluations",
            metric="gradient_evaluations",
            value=_passes,
            best=min,
            decimals=0,
        ),
        Column(
            title="Top eigenvalue",
            metric="top",
            value=_hessian("top", "value"),
            best=min,
            converged=top,
        ),
        Column(
            title="Median", metric="median", value=_hessian("median"), best=min, converged=batches
        ),
        Column(title="Mean", metric="mean", value=_hessian("mean"), best=min, converged=batches),
        Column(title="SD", metric="sd", value=_hessian("std"), best=min, converged=batches),
        Column(
            title="Trace",
            metric="trace",
            value=_hessian("trace", "value"),
            best=min,
            converged=trace,
        ),
    )


def build_tables(records: Iterable[RunRecord], baseline: str | None = None) -> tuple[Table, ...]:
    """Return a table for each dataset, model and protocol among the records.

    Args:
        records: Any runs.
        baseline: The optimizer that comes first, and that the others are compared with where a
            table has it.
    """
    sorted_runs = groups(records, baseline)
    lines = [line for group in sorted_runs for line in group.lines]
    ordered = [record for line in lines for record in line.records]
    runs = Columns.of_records(ordered, columns_of(_metrics()))
    ends = list(itertools.accumulate(len(line.records) for line in lines))
    starts = [0, *ends[:-1]]
    sides = map(runs.part, starts, ends)
    return tuple(
        _table(
            group,
            against_baseline(group, list(itertools.islice(sides, len(group.lines))), baseline),
        )
        for group in sorted_runs
    )


def against_baseline(
    group: Group, sides: Sequence[Columns], baseline: str | None
) -> tuple[Comparison, ...]:
    """Compare a group's lines with the baseline's by the table's columns, with Holm's p.

    Nothing is compared where the group has no run of the baseline.

    Args:
        group: The lines.
        sides: The columns of each line's runs.
        baseline: Name of the optimizer that the first line must be of.
    """
    if group.lines[0].optimizer["name"] != baseline:
        return ()
    names = [line.label for line in group.lines]
    return with_holm(
        found
        for side, name in zip(sides[1:], names[1:], strict=True)
        for found in compare(sides[0], side, _metrics(), names=(names[0], name))
    )


def _metrics() -> tuple[Metric, ...]:
    return find_metrics(column.metric for column in columns(in_minutes=False))


def _table(group: Group, comparisons: Sequence[Comparison]) -> Table:
    done = [record for line in group.lines for record in line.completed]
    chosen = columns(in_minutes=any((_seconds(record) or 0) > 120 for record in done))
    different = {
        (found.candidate, found.metric.name)
        for found in comparisons
        if found.verdict in (BETTER, WORSE)
    }
    rows = [
        (
            line.label,
            tuple(_cell(line, c, (line.label, c.metric) in different) for c in chosen),
        )
        for line in group.lines
    ]
    return Table(
        title=f"{group.setting.model} on {group.setting.dataset}",
        headings=("Optimizer", *(column.title for column in chosen)),
        rows=_with_bold(rows, chosen),
        notes=tuple(table_notes(group, rows, comparisons)),
    )


def _cell(line: Line, column: Column, different: bool) -> Cell:
    values = [(r, value) for r in line.completed if (value := column.value(r)) is not None]
    summary = Summary.of([value for _, value in values])
    if summary is None:
        return Cell(text=MISSING)
    flags = "" if all(column.converged(r) for r, _ in values) else UNCONVERGED
    flags += COLLAPSED if any(r.final and r.final["test"]["collapsed"] for r, _ in values) else ""
    mark = DIFFERENT if different else ""
    return Cell(
        text=format_summary(summary, column.decimals) + flags + mark,
        summary=summary,
        flagged=bool(flags),
    )


def _with_bold(
    rows: list[tuple[str, tuple[Cell, ...]]], chosen: tuple[Column, ...]
) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    """Print the best mean of each column in bold, unless a flagged cell has it or all are equal."""
    bold: set[tuple[int, int]] = set()
    for place, column in enumerate(chosen):
        means = {
            index: cells[place].summary.mean  # type: ignore[union-attr]
            for index, (_, cells) in enumerate(rows)
            if cells[place].summary and not cells[place].flagged
        }
        if column.best is not None and len(set(means.values())) > 1:
            best = column.best(means.values())
            bold |= {(index, place) for index, mean in means.items() if mean == best}
    return tuple(
        (
            label,
            tuple(replace(cell, bold=(index, place) in bold) for place, cell in enumerate(cells)),
        )
        for index, (label, cells) in enumerate(rows)
    )
