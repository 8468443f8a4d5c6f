"""The tables of a report: each optimizer's numbers, and what it differs by from the baseline."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from statistics import fmean

import numpy as np

from sambench.analysis.comparison import EQUIVALENT, UNDECIDED
from sambench.analysis.grouping import other_settings
from sambench.analysis.groups import REPEATS, Group, Line, Unit, by_key
from sambench.analysis.metrics import COLUMNS, MINUTES, Metric, find_metric
from sambench.analysis.predictions import Predictions
from sambench.analysis.study import Study, build_study
from sambench.analysis.units import Summary, device_of, summarize
from sambench.config.run_config import RunConfig
from sambench.config.suite import ReportSettings
from sambench.report.differences import ACCURACIES, COSTS, difference_tables
from sambench.report.notes import (
    few_batches,
    legend,
    notes,
    of_equivalence,
    other_rates,
    positive_class,
    protocol,
)
from sambench.report.table import MISSING, Cell, Mark, Row, Section, Table, mean_and_spread
from sambench.store.record import RunRecord
from sambench.store.search_record import Roles

MAIN = COLUMNS["main"]
MINUTES_FROM = 120.0
"""Seconds of training from which on a table is in minutes."""


def printed(found: Summary, metric: Metric, mark: str = "", *, bold: bool = False) -> Cell:
    """Return a cell: mean, spread and number of units, with its marks and the comparison's."""
    marks = (
        Mark.UNCONVERGED * bool(found.unconverged)
        + Mark.COLLAPSED * bool(found.collapsed)
        + Mark.NO_MINIMUM * bool(found.no_minimum)
    )
    if found.mean is None:
        return Cell(text=MISSING + marks, source=found.source if marks else "")
    scale, ratio = metric.table_scale, metric.ratio
    mean = scale * found.mean
    spread = found.spread if ratio or found.spread is None else scale * found.spread
    if ratio and spread is not None and spread - 1 < 1e-9:
        spread = None  # a fixed number has no spread to be shown
    low, high = (None if end is None else scale * end for end in (found.low, found.high))
    text = f"{mean_and_spread(mean, spread, metric.decimals, ratio)} ({found.n})"
    return Cell(
        text=text + marks + mark,
        numbers={"mean": mean, "sd": spread, "n": found.n, "low": low, "high": high},
        bold=bold,
        source=found.source,
    )


def _rows(places: Sequence[tuple[str, Group, Line]], columns: Sequence[Metric]) -> tuple[Row, ...]:
    """Return the rows, with marks of comparisons, and each column's best mean in bold.

    A place is the label of a row, and the runs that it is of. The best is one of `sure_means`;
    nothing is where all are equal.
    """
    found = [[summarize(group, line, c) for c in columns] for _, group, line in places]
    best = [
        best_of(sure_means(cells), c) if c.ranked and _of_one_kind(c, cells) else []
        for c, cells in zip(columns, zip(*found, strict=True), strict=True)
    ]
    rows = []
    for number, ((label, group, line), cells) in enumerate(zip(places, found, strict=True)):
        made = (
            printed(cell, c, _mark(group, line, c), bold=number in bold)
            for cell, c, bold in zip(cells, columns, best, strict=True)
        )
        rows.append((label, tuple(made)))
    return tuple(rows)


def _mark(group: Group, line: Line, metric: Metric) -> str:
    """Return the mark of a line's comparison with the baseline, if that shows anything."""
    said = next((c.verdict for c in group.by(metric.name) if c.candidate == line.label), UNDECIDED)
    return "" if said == UNDECIDED else Mark.EQUIVALENT if said == EQUIVALENT else Mark.DIFFERENT


def _of_one_kind(metric: Metric, cells: Iterable[Summary]) -> bool:
    """Whether the best of a column says something: times of several devices tell of these."""
    if metric.name != MINUTES.name:
        return True
    return len({device_of(record) for cell in cells for record in cell.records}) < 2


def sure_means(cells: Iterable[Summary | None]) -> dict[int, float]:
    """Return the means that may be called the best of some, by the number of their cell."""
    return {n: c.mean for n, c in enumerate(cells) if c and c.sure and c.mean is not None}


def best_of(means: Mapping[int, float], metric: Metric) -> list[int]:
    """Return the numbers of the best means; none where all are equal, rounding aside."""
    best = (max if metric.higher_is_better else min)(means.values(), default=0.0)
    found = [number for number, mean in means.items() if math.isclose(mean, best)]
    return found if len(found) < len(means) else []


def build_tables(
    records: Iterable[RunRecord],
    asked: ReportSettings,
    planned: Sequence[RunConfig] = (),
    roles: Roles | None = None,
) -> tuple[Table, ...]:
    """Return a table for each dataset, model and protocol among the records.

    The rows follow the planned runs, after the baseline, which the others are compared with.
    """
    metrics = [find_metric(name) for name in MAIN]
    study = build_study(records, asked, planned=planned, metrics=metrics, roles=roles)
    return tuple(main_table(group) for group in study.groups)


def main_table(group: Group) -> Table:
    """Return the paper's columns, and gradient evaluations, the cost that no machine changes."""
    return _table(group, group.title, _columns(MAIN, group.lines))


def further_tables(group: Group, known: Container[str]) -> tuple[Table, ...]:
    """Return what else was measured, as far as its metrics are known to any run of the report."""
    return tuple(
        _table(group, f"{group.title}: {what}", _columns(there, group.lines))
        for what, names in COLUMNS.items()
        if names is not MAIN and (there := [name for name in names if name in known])
    )


def baseline_tables(study: Study) -> tuple[Table, ...]:
    """Return the baseline on several models, for each setting that has more than one."""
    shared = other_settings("model", "optimizer", *REPEATS)
    there = (group for group in study.groups if group.first and group.part == 1)
    alike = by_key(  # of one test part it is that which they share
        there, lambda g: (shared(g.setting), None if g.folds else g.setting.split_seed)
    )
    tables = []
    for groups in alike.values():
        if len(groups) > 1:
            lines = [group.lines[0] for group in groups]
            columns = _columns(MAIN, lines)
            models, places = zip(*(group.title.split(" on ", 1) for group in groups), strict=True)
            rows = _rows([*zip(models, groups, lines, strict=True)], columns)
            tables.append(
                Table(
                    title=f"{lines[0].title} on {places[0]}, by model",
                    headings=("Model", *(c.title for c in columns)),
                    rows=rows,
                    notes=legend(rows),
                )
            )
    return tuple(tables)


def _columns(names: Sequence[str], lines: Sequence[Line]) -> list[Metric]:
    minutes = any(run.value > MINUTES_FROM for line in lines for run in line.read(MINUTES))
    return [MINUTES if minutes and name == MINUTES.name else find_metric(name) for name in names]


def _table(group: Group, title: str, columns: Sequence[Metric]) -> Table:
    lines = group.lines
    rows = _rows([(line.title, group, line) for line in lines], columns)
    baseline = lines[0].title if group.baseline else None
    return Table(
        title=title,
        headings=("Optimizer", *(c.title for c in columns)),
        rows=rows,
        notes=(
            protocol(group),
            *legend(rows, baseline),
            *(note for c in columns for note in of_equivalence(group.by(c.name), [group])),
            *few_batches(group, columns),
            *positive_class(group, columns),
            *other_rates(group),
        ),
        setting=group.title,
        keys=tuple(line.label for line in lines),
    )


def result_sections(study: Study) -> tuple[Section, ...]:
    """Return the paper's tables, the differences behind their marks, and what else was measured."""
    rest = [[name for name in names if name != study.primary] for names in ACCURACIES]
    accuracy = [t for names in ([study.primary], *rest) for t in difference_tables(study, names)]
    known = {metric.name for metric in study.measured}
    sections = (
        Section(
            title="Results",
            tables=(*baseline_tables(study), *map(main_table, study.groups)),
            shown=True,
        ),
        Section(title="Differences in accuracy", tables=tuple(accuracy), shown=True),
        Section(title="Differences in cost and flatness", tables=difference_tables(study, COSTS)),
        Section(
            title="Further measurements",
            tables=tuple(t for group in study.groups for t in further_tables(group, known)),
        ),
    )
    return tuple(section for section in sections if section.tables)


def centre_table(
    group: Group, predictions: Mapping[str, Predictions], centres: Mapping[str, str]
) -> Table | None:
    """Return a column for each centre of the test images; None where they are of fewer than two.

    Predictions are by the id of their run, centres by the id of their image.
    """
    rows, images = [], dict[str, set[str]]()
    for line in group.lines:
        found: dict[str, dict[Unit, list[float]]] = {}
        for record in line.completed:
            told = predictions.get(record.id)
            if told is None or any(str(image) not in centres for image in told.ids):
                continue
            where = np.array([centres[str(image)] for image in told.ids])
            for centre in np.unique(where):
                mine = where == centre
                images.setdefault(str(centre), set()).update(told.ids[mine].tolist())
                shares = found.setdefault(str(centre), {}).setdefault(group.unit(record), [])
                shares.append(100 * float(told.correct[mine].mean()))
        if found:
            rows.append((line, found))
    names = sorted(images)
    if len(names) < 2:
        return None
    return Table(
        title=f"{group.title}: test accuracy by centre",
        headings=("Optimizer", *(f"{name} (%)" for name in names)),
        rows=tuple(
            (line.title, tuple(_of_centre([*found.get(name, {}).values()]) for name in names))
            for line, found in rows
        ),
        notes=notes("centres", images=[(name, len(images[name])) for name in names]),
        setting=group.title,
        keys=tuple(line.label for line, _ in rows),
    )


def _of_centre(of_units: Sequence[Sequence[float]]) -> Cell:
    if not of_units:
        return Cell(text=MISSING)
    shares = [fmean(runs) for runs in of_units]
    mean, sd = float(np.mean(shares)), float(np.std(shares, ddof=1)) if len(shares) > 1 else None
    text = f"{mean_and_spread(mean, sd, 1, ratio=False)} ({len(shares)})"
    return Cell(text=text, numbers={"mean": mean, "sd": sd, "n": len(shares)})
