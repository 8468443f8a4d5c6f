"""The tables of a report: each optimizer's numbers, and what it differs by from the baseline."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sambench.analysis.comparison import EQUIVALENT as SAME
from sambench.analysis.comparison import Comparison
from sambench.analysis.groups import Group, Line
from sambench.analysis.metrics import SHIFTS, Metric, find_metric, measured
from sambench.analysis.study import Panel, Study, build_study
from sambench.analysis.units import Cell as Summary
from sambench.analysis.units import cell_of
from sambench.config.run_config import RunConfig
from sambench.report.document import Section
from sambench.report.notes import legend, protocol
from sambench.report.table import (
    COLLAPSED,
    DIFFERENT,
    EQUIVALENT,
    MISSING,
    NO_MINIMUM,
    UNCONVERGED,
    Cell,
    Row,
    Table,
    factor,
    mean_and_spread,
    p_value,
    signed,
)
from sambench.store.record import RunRecord

MAIN = (
    *("accuracy", "train_seconds", "gradient_evaluations"),
    *("top", "median", "mean", "sd", "trace"),
)
FURTHER: Mapping[str, tuple[str, ...]] = {
    "test metrics": (
        *("auroc", "balanced_accuracy", "sensitivity", "specificity", "sensitivity_at_90"),
        *("specificity_at_90", "f1", "generalization_gap", "loss", "ece", "brier"),
        "calibration_slope",
    ),
    "disturbed test images": ("robust_accuracy", *(f"{name}_accuracy" for name in SHIFTS)),
    "around the minimum": (
        *("zero_mass", "negative_mass", "sam_step", "worst_case", "worst_case_adaptive"),
        *("average_case", "average_case_adaptive", "line_loss", "plane_loss", "eigenvector_loss"),
    ),
}
DIFFERENCES = ("accuracy", "auroc", "robust_accuracy", "train_seconds", "top", "trace")
UNRANKED = ("calibration_slope", "generalization_gap")
"""Metrics of which neither the highest nor the lowest is the best."""
MINUTES_FROM = 120.0
"""Seconds of training from which on a table is in minutes."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A metric as a table prints it.

    Attributes:
        title: Heading.
        metric: What is printed.
        decimals: Digits after the point; None for three significant ones.
        ranked: Whether the best mean is bold.
        scale: Printed value over the metric's.
    """

    title: str
    metric: Metric
    decimals: int | None = None
    ranked: bool = True
    scale: float = 1.0


def column(name: str, *, minutes: bool = False) -> Column:
    """Return the column of a metric; percentages have one decimal, times may be in minutes."""
    metric = find_metric(name)
    if name == "train_seconds" and minutes:
        return Column(title="Training time (min)", metric=metric, decimals=1, scale=1 / 60)
    decimals = 1 if metric.scale == 100 or name == "train_seconds" else None
    decimals = 0 if name == "gradient_evaluations" else decimals
    return Column(title=metric.title, metric=metric, decimals=decimals, ranked=name not in UNRANKED)


def printed(found: Summary, chosen: Column, mark: str = "", source: str = "") -> Cell:
    """Return a cell: mean, spread and number of units, with its marks.

    Args:
        found: The runs.
        chosen: What is printed.
        mark: Of the comparison with the baseline.
        source: Name for `--explain`.
    """
    marks = (
        UNCONVERGED * bool(found.unconverged)
        + COLLAPSED * bool(found.collapsed)
        + NO_MINIMUM * bool(found.no_minimum)
    )
    if found.mean is None:
        return Cell(text=MISSING + marks, source=source if marks else "")
    scale, ratio = chosen.scale, chosen.metric.ratio
    mean = scale * found.mean
    spread = found.spread if ratio or found.spread is None else scale * found.spread
    if ratio and spread is not None and spread - 1 < 1e-9:
        spread = None  # a fixed number has no spread to be shown
    low, high = (None if end is None else scale * end for end in (found.low, found.high))
    text = f"{mean_and_spread(mean, spread, chosen.decimals, ratio)} ({found.n})"
    return Cell(
        text=text + marks + mark,
        numbers={"mean": mean, "sd": spread, "n": found.n, "low": low, "high": high},
        source=source,
    )


def with_bold(
    rows: Sequence[Row], columns: Sequence[Column], found: Sequence[Sequence[Summary]]
) -> tuple[Row, ...]:
    """Print the best mean of each column in bold.

    A cell with a collapsed run, a measurement that did not converge or a curvature of no minimum
    is never the best, and nothing is where all are equal.
    """
    bold: set[tuple[int, int]] = set()
    for place, chosen in enumerate(columns):
        means = {
            index: cells[place].mean
            for index, cells in enumerate(found)
            if cells[place].mean is not None and cells[place].sure
        }
        if chosen.ranked and len(set(means.values())) > 1:
            best = (max if chosen.metric.higher_is_better else min)(
                value for value in means.values() if value is not None
            )
            bold |= {(index, place) for index, mean in means.items() if mean == best}
    return tuple(
        (
            label,
            tuple(
                replace(c, bold=True) if (index, place) in bold else c
                for place, c in enumerate(cells)
            ),
        )
        for index, (label, cells) in enumerate(rows)
    )


def build_tables(
    records: Iterable[RunRecord], baseline: str | None = None, planned: Sequence[RunConfig] = ()
) -> tuple[Table, ...]:
    """Return a table for each dataset, model and protocol among the records.

    Args:
        records: Any runs.
        baseline: The optimizer that comes first, and that the others are compared with where a
            table has it.
        planned: Runs in the order of a suite, which the rows follow.
    """
    metrics = [find_metric(name) for name in MAIN]
    study = build_study(records, baseline, planned=planned, metrics=metrics)
    return tuple(main_table(panel) for panel in study.panels)


def main_table(panel: Panel) -> Table:
    """Return the paper's columns, and gradient evaluations, the cost that no machine changes."""
    return _table(panel, panel.title, _columns(MAIN, panel.group.lines))


def further_tables(panel: Panel, known: Container[str]) -> tuple[Table, ...]:
    """Return what else the runs measured: test metrics, shifts, studies of the minimum.

    Args:
        panel: The runs.
        known: Names of the metrics that any run of the report has.
    """
    tables = []
    for what, names in FURTHER.items():
        there = [name for name in names if name in known]
        if there:
            columns = _columns(there, panel.group.lines)
            tables.append(_table(panel, f"{panel.title}: {what}", columns))
    return tuple(tables)


def baseline_tables(study: Study) -> tuple[Table, ...]:
    """Return the baseline on several models, for each setting that has more than one."""
    alike: dict[str, list[Panel]] = {}
    for panel in study.panels:
        if panel.group.baseline and panel.group.lines[0].completed:
            setting, own = panel.group.setting, ("model", "optimizer", "seed", "fold", "split_seed")
            shared = [f"{name}={getattr(setting, name)}" for name in setting.__struct_fields__
                      if name not in own]  # fmt: skip
            alike.setdefault(repr(shared), []).append(panel)
    tables = []
    for found in alike.values():
        if len(found) > 1:
            lines = [panel.group.lines[0] for panel in found]
            columns = _columns(MAIN, lines)
            cells = [[cell_of(panel.group, line, c.metric) for c in columns]
                     for panel, line in zip(found, lines, strict=True)]  # fmt: skip
            rows = [
                (
                    panel.title.partition(" on ")[0],
                    tuple(
                        printed(cell, c, source=_source(panel, line, c.metric))
                        for cell, c in zip(of_line, columns, strict=True)
                    ),
                )
                for panel, line, of_line in zip(found, lines, cells, strict=True)
            ]
            place = found[0].title.partition(" on ")[2]
            tables.append(
                Table(
                    title=f"{lines[0].title} on {place}, by model",
                    headings=("Model", *(c.title for c in columns)),
                    rows=with_bold(rows, columns, cells),
                    notes=tuple(legend(rows)),
                )
            )
    return tuple(tables)


def _columns(names: Sequence[str], lines: Sequence[Line]) -> list[Column]:
    seconds = find_metric("train_seconds")
    times = [value for line in lines for r in line.completed if (value := seconds.of(r))]
    minutes = max(times, default=0) > MINUTES_FROM
    return [column(name, minutes=minutes) for name in names]


def _source(panel: Panel, line: Line, metric: Metric) -> str:
    return f"{panel.title}/{line.label}/{metric.name}"


def _table(panel: Panel, title: str, columns: Sequence[Column]) -> Table:
    lines = panel.group.lines
    marks = {
        (one.candidate, one.metric.name): DIFFERENT if one.shown else EQUIVALENT
        for chosen in columns
        for one in panel.by(chosen.metric.name)
        if one.shown or one.verdict == SAME
    }
    cells = [[cell_of(panel.group, line, c.metric) for c in columns] for line in lines]
    rows = [
        (
            line.title,
            tuple(
                printed(
                    cell, c, marks.get((line.label, c.metric.name), ""),
                    _source(panel, line, c.metric),
                )
                for cell, c in zip(of_line, columns, strict=True)
            ),
        )
        for line, of_line in zip(lines, cells, strict=True)
    ]  # fmt: skip
    baseline = lines[0].title if panel.group.baseline else None
    return Table(
        title=title,
        headings=("Optimizer", *(c.title for c in columns)),
        rows=with_bold(rows, columns, cells),
        notes=(protocol(panel.group), *legend(rows, baseline), *_unlike(panel.group)),
        setting=panel.title,
        keys=tuple(line.label for line in lines),
    )


def _unlike(group: Group) -> Iterable[str]:
    """Say which learning rates are not the usual one: nobody sees them in the labels."""
    rates: dict[float, list[str]] = {}
    for line in group.lines:
        if "lr" in line.optimizer:
            rates.setdefault(float(str(line.optimizer["lr"])), []).append(line.title)
    _, *others = sorted(rates, key=lambda rate: (-len(rates[rate]), rate)) or [0.0]
    for rate in others:
        yield f"Another learning rate than the others: {', '.join(rates[rate])}, {rate:g}."


HEADINGS = ("Optimizer", "95 % interval", "n", "p", "Cohen's dz", "Runs won", "Verdict")


def difference_tables(study: Study) -> tuple[Table, ...]:
    """Return a table of differences to the baseline by each metric: over settings, then in each."""
    tables = []
    for name in DIFFERENCES:
        if study.pooled.get(name):
            found = study.pooled[name]
            tables.append(difference_table(f"Over {found[0].setting}", found, study))
    for panel in study.panels:
        for name in DIFFERENCES:
            if any(one.n for one in panel.by(name)):
                table = difference_table(panel.title, panel.by(name), study)
                tables.append(replace(table, setting=panel.title))
    return tuple(tables)


def difference_table(title: str, found: Sequence[Comparison], study: Study) -> Table:
    """Return what each optimizer differs by, the best first."""
    metric, baseline = found[0].metric, study.title_of(found[0].baseline)
    ordered = sorted(found, key=_order)
    unit = f" ({metric.unit})" if metric.unit and not metric.ratio else ""
    what = "ratio to" if metric.ratio else "difference to"
    head = ("Ratio" if metric.ratio else f"Difference{unit}", *HEADINGS[1:])
    lost = [
        f"{study.title_of(one.candidate)} lost {one.lost[1]} of {one.lost[1] + one.n} "
        f"{one.design.unit}s"
        for one in ordered
        if one.lost[1]
    ]
    return Table(
        title=f"{title}: {metric.heading}, {what} {baseline}",
        headings=(HEADINGS[0], *head),
        rows=tuple((study.title_of(one.candidate), difference_cells(one)) for one in ordered),
        notes=((f"{'; '.join(lost)}.",) if lost else ()),
        keys=tuple(one.candidate for one in ordered),
    )


def _order(one: Comparison) -> float:
    if one.estimate is None:
        return math.inf
    return -one.estimate if one.metric.higher_is_better else one.estimate


def amount(one: Comparison) -> str:
    """Write an estimate: +1.2, or 0.31x."""
    if one.estimate is None:
        return MISSING
    return f"{factor(one.estimate)}x" if one.metric.ratio else signed(one.estimate, _decimals(one))


def interval(one: Comparison) -> str:
    """Write a simultaneous interval: +0.1 to +2.3, or 0.20 to 0.48."""
    if one.low is None or one.high is None:
        return MISSING
    if one.metric.ratio:
        return f"{factor(one.low)} to {factor(one.high)}"
    return f"{signed(one.low, _decimals(one))} to {signed(one.high, _decimals(one))}"


def _decimals(one: Comparison) -> int | None:
    return 1 if one.metric.scale == 100 else None


def difference_cells(one: Comparison) -> tuple[Cell, ...]:
    """Return estimate, interval, units, p, effect, share of runs won and verdict."""
    numbers = {"estimate": one.estimate, "low": one.low, "high": one.high}
    source = f"{one.setting}/{one.candidate}/{one.metric.name}" if one.settings == 1 else ""
    won = one.wins / one.pairs if one.pairs else None
    return (
        Cell(text=amount(one), numbers=numbers, bold=one.verdict == "better", source=source),
        Cell(text=interval(one)),
        Cell(text=str(one.n), numbers={"count": one.n}),
        Cell(text="no test" if one.fixed else p_value(one.p), numbers={"p": one.p}),
        Cell(text=MISSING if one.effect is None else f"{one.effect:+.2f}",
             numbers={"dz": one.effect}),
        Cell(text=f"{one.wins:g} of {one.pairs}", numbers={"share": won}),
        Cell(text=one.verdict if one.n else MISSING),
    )  # fmt: skip


def result_sections(study: Study) -> tuple[Section, ...]:
    """Return the paper's tables, the differences behind their marks, and what else was measured."""
    differences = difference_tables(study)
    accuracy = ("Test accuracy", "AUROC", "Accuracy under shifts")
    first = tuple(t for t in differences if f": {accuracy[0]}," in t.title)
    also = tuple(t for t in differences if any(f": {name}," in t.title for name in accuracy[1:]))
    rest = tuple(t for t in differences if t not in (*first, *also))
    known = {metric.name for metric in measured(r for g in study.groups for r in g.completed)}
    sections = (
        Section(
            title="Results",
            tables=(*baseline_tables(study), *map(main_table, study.panels)),
            shown=True,
        ),
        Section(title="Differences in accuracy", tables=(*first, *also), shown=True),
        Section(title="Differences in cost and flatness", tables=rest),
        Section(
            title="Further measurements",
            tables=tuple(t for panel in study.panels for t in further_tables(panel, known)),
        ),
    )
    return tuple(section for section in sections if not section.empty)
