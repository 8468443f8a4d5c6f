"""The paper's tables from stored records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sambench.analysis.comparison import BETTER, WORSE
from sambench.analysis.groups import Group, Line
from sambench.analysis.metrics import find_metric
from sambench.analysis.panels import Panel, build_panels
from sambench.report.cells import Column, cell, column, time_column, with_bold
from sambench.report.notes import table_notes
from sambench.report.table import Table
from sambench.store.record import RunRecord

CURVATURE = ("top", "median", "mean", "sd", "trace")
METRICS = ("auroc", "balanced_accuracy", "sensitivity", "specificity", "f1", "generalization_gap")
ERRORS = ("loss", "ece", "brier")
ROBUST = ("robust_accuracy", "speckle_accuracy", "noise_accuracy", "gain_accuracy")
ROBUST_TOO = ("blur_accuracy", "gamma_accuracy")
DENSITY = ("zero_mass", "negative_mass")
RISES = ("sam_step", "worst_case", "worst_case_adaptive", "average_case", "average_case_adaptive")
LANDSCAPES = ("line_loss", "plane_loss", "eigenvector_loss")
MINUTES_FROM = 120.0
"""Seconds of training from which on a table is in minutes."""


def build_tables(records: Iterable[RunRecord], baseline: str | None = None) -> tuple[Table, ...]:
    """Return a table for each dataset, model and protocol among the records.

    Args:
        records: Any runs.
        baseline: The optimizer that comes first, and that the others are compared with where a
            table has it.
    """
    return tuple(main_table(panel) for panel in build_panels(records, baseline))


def main_table(panel: Panel) -> Table:
    """Return the paper's columns, and gradient evaluations, the cost that no machine changes."""
    columns = (
        column("accuracy"),
        time_column(minutes=_long(panel.group.lines)),
        column("gradient_evaluations", 0),
        *map(column, CURVATURE),
    )
    return _table(panel, panel.title, columns)


def further_tables(panel: Panel) -> tuple[Table, ...]:
    """Return what else the runs measured: test metrics, shifts, studies of the minimum."""
    found = (
        (f"{panel.title}: test metrics", (*METRICS, *ERRORS)),
        (f"{panel.title}: disturbed test images", (*ROBUST, *ROBUST_TOO)),
        (f"{panel.title}: around the minimum", (*DENSITY, *RISES, *LANDSCAPES)),
    )
    done = [record for line in panel.group.lines for record in line.completed]
    tables = []
    for title, names in found:
        chosen = [column(name) for name in names]
        there = [c for c in chosen if any(c.metric.of(record) is not None for record in done)]
        if there:
            tables.append(_table(panel, title, there))
    return tuple(tables)


def baseline_tables(panels: Sequence[Panel]) -> tuple[Table, ...]:
    """Return the baseline on several models, for each setting that has more than one: table 1."""
    alike: dict[str, list[Panel]] = {}
    for panel in panels:
        if panel.baseline is not None:
            setting, own = panel.group.setting, ("model", "optimizer", "seed", "fold")
            shared = [(name, getattr(setting, name)) for name in setting.__struct_fields__]
            alike.setdefault(repr([s for s in shared if s[0] not in own]), []).append(panel)
    return tuple(_baseline_table(found) for found in alike.values() if len(found) > 1)


def _baseline_table(panels: Sequence[Panel]) -> Table:
    lines = [replace(panel.group.lines[0], label=panel.group.setting.model) for panel in panels]
    setting = panels[0].group.setting
    group = Group(setting=setting, lines=tuple(lines))
    name = panels[0].group.lines[0].label
    panel = Panel(title=f"{name} on {setting.dataset}", group=group, comparisons=())
    columns = (
        column("accuracy"),
        time_column(minutes=_long(lines)),
        column("gradient_evaluations", 0),
        *map(column, CURVATURE),
    )
    return replace(_table(panel, panel.title, columns), headings=_headings("Model", columns))


def _table(panel: Panel, title: str, columns: Sequence[Column]) -> Table:
    shown = {chosen.metric.name for chosen in columns}
    comparisons = [found for found in panel.comparisons if found.metric.name in shown]
    different = {
        (found.candidate, found.metric.name)
        for found in comparisons
        if found.verdict in (BETTER, WORSE)
    }
    rows = [
        (
            line.label,
            tuple(
                cell(line, c, different=(line.label, c.metric.name) in different) for c in columns
            ),
        )
        for line in panel.group.lines
    ]
    return Table(
        title=title,
        headings=_headings("Optimizer", columns),
        rows=with_bold(rows, columns),
        notes=tuple(table_notes(panel.group, columns, rows, comparisons)),
    )


def _headings(first: str, columns: Sequence[Column]) -> tuple[str, ...]:
    return (first, *(chosen.title for chosen in columns))


def _long(lines: Sequence[Line]) -> bool:
    seconds = find_metric("train_seconds")
    return any((seconds.of(r) or 0) > MINUTES_FROM for line in lines for r in line.completed)
