"""Which tables a report has, in which order."""

from __future__ import annotations

from collections.abc import Sequence

from sambench.analysis.panels import Panel
from sambench.report.differences import difference_tables
from sambench.report.document import Section
from sambench.report.tables import baseline_tables, further_tables, main_table


def result_sections(panels: Sequence[Panel]) -> tuple[Section, ...]:
    """Return the paper's tables, the differences behind their marks, and what else was measured."""
    sections = (
        Section(
            title="Results",
            tables=(*baseline_tables(panels), *map(main_table, panels)),
            drawn=True,
        ),
        Section(
            title="Differences",
            tables=tuple(table for panel in panels for table in difference_tables(panel)),
        ),
        Section(
            title="Further measurements",
            tables=tuple(table for panel in panels for table in further_tables(panel)),
        ),
    )
    return tuple(section for section in sections if not section.empty)
