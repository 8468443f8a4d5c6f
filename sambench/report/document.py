"""A report before it is written: the answer, sections of text and tables, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sambench.analysis.study import Study
from sambench.report.table import Table

if TYPE_CHECKING:
    from sambench.report.style import Picture


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report under a heading: paragraphs, a list, tables."""

    title: str
    paragraphs: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    shown: bool = False  # whether the terminal shows its tables


@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole report, in the order of reading."""

    title: str
    study: Study  # every statement that it is made of
    answer: tuple[str, ...] = ()  # paragraphs, the first to be quoted
    results: tuple[Section, ...] = ()  # tables, before the figures
    pictures: Sequence[Picture] = ()
    rest: tuple[Section, ...] = ()  # after the figures: how to read, methods, what went wrong
    sources: Mapping[str, str] = field(default_factory=dict)
    """By the cells that are asked for, what explains them."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table, in order."""
        return tuple(t for section in (*self.results, *self.rest) for t in section.tables)
