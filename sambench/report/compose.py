"""Which tables a report has, in which order."""

from __future__ import annotations

from collections.abc import Sequence

from sambench.analysis.panels import Panel
from sambench.report.differences import difference_tables
from sambench.report.document import Section
from sambench.report.tables import baseline_tables, further_tables, main_table

ACCURACY = ("accuracy", "auroc", "robust_accuracy")
COST_AND_FLATNESS = ("train_seconds", "top", "trace")


def result_sections(panels: Sequence[Panel]) -> tuple[Section, ...]:
    """Return the paper's tables, the differences behind their marks, and what else was measured."""
    sections = (
        Section(
            title="Results",
            tables=(*baseline_tables(panels), *map(main_table, panels)),
            drawn=True,
            shown=True,
        ),
        Section(
            title="Differences in accuracy",
            tables=tuple(t for panel in panels for t in difference_tables(panel, ACCURACY)),
            shown=True,
        ),
        Section(
            title="Differences in cost and flatness",
            tables=tuple(
                t for panel in panels for t in difference_tables(panel, COST_AND_FLATNESS)
            ),
        ),
        Section(
            title="Further measurements",
            tables=tuple(table for panel in panels for table in further_tables(panel)),
        ),
    )
    return tuple(section for section in sections if not section.empty)
