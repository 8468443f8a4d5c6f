"""From the runs of a line to a printed cell, and from the cells of a column to its best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sambench.analysis.groups import Line
from sambench.analysis.metrics import Metric, collapsed, find_metric
from sambench.analysis.statistics import Summary
from sambench.report.table import (
    COLLAPSED,
    DIFFERENT,
    MISSING,
    UNCONVERGED,
    Cell,
    Row,
    format_summary,
)

MINUTE = 60.0


@dataclass(frozen=True, kw_only=True)
class Column:
    """A metric as a table prints it.

    Attributes:
        title: Heading.
        metric: What is printed.
        decimals: Digits after the point; None for three significant ones.
        ranked: Whether the best mean is bold.
    """

    title: str
    metric: Metric
    decimals: int | None = None
    ranked: bool = True


def column(name: str, decimals: int | None = None, title: str | None = None) -> Column:
    """Return the column of a metric; percentages have one decimal.

    Raises:
        UnknownNameError: If there is no such metric.
    """
    metric = find_metric(name)
    if decimals is None and metric.scale == 100.0:
        decimals = 1
    return Column(title=title or metric.title, metric=metric, decimals=decimals)


def time_column(*, minutes: bool) -> Column:
    """Return the column of training time, in seconds or minutes."""
    seconds = find_metric("train_seconds")
    if not minutes:
        return Column(title="Training time (s)", metric=seconds, decimals=1)
    metric = replace(seconds, scale=seconds.scale / MINUTE, unit="min")
    return Column(title="Training time (min)", metric=metric, decimals=1)


def cell(line: Line, chosen: Column, *, different: bool = False) -> Cell:
    """Return mean, SD and n of a line's completed runs, with its marks.

    Curvature of collapsed runs is left out: their loss surface is flat whatever the optimizer does.
    The mark of collapse stays, so that nobody takes the remaining runs for all.

    Args:
        line: The runs.
        chosen: What is printed.
        different: Whether the runs show a difference to the baseline.
    """
    metric = chosen.metric
    there = [(r, value) for r in line.completed if (value := metric.of(r)) is not None]
    used = [(r, value) for r, value in there if metric.counts(r)]
    flags = "" if all(metric.trusted(r) for r, _ in used) else UNCONVERGED
    flags += COLLAPSED if any(collapsed(r) for r, _ in there) else ""
    summary = Summary.of([value for _, value in used])
    if summary is None:
        return Cell(text=MISSING + flags, flagged=bool(flags))
    mark = DIFFERENT if different else ""
    return Cell(
        text=format_summary(summary, chosen.decimals) + flags + mark,
        summary=summary,
        flagged=bool(flags),
    )


def with_bold(rows: Sequence[Row], columns: Sequence[Column]) -> tuple[Row, ...]:
    """Print the best mean of each column in bold, unless a flagged cell has it or all are equal."""
    bold: set[tuple[int, int]] = set()
    for place, chosen in enumerate(columns):
        means = {
            index: cells[place].summary.mean  # type: ignore[union-attr]
            for index, (_, cells) in enumerate(rows)
            if cells[place].summary and not cells[place].flagged
        }
        if chosen.ranked and len(set(means.values())) > 1:
            best = (max if chosen.metric.higher_is_better else min)(means.values())
            bold |= {(index, place) for index, mean in means.items() if mean == best}
    return tuple(
        (
            label,
            tuple(replace(cell, bold=(index, place) in bold) for place, cell in enumerate(cells)),
        )
        for index, (label, cells) in enumerate(rows)
    )
