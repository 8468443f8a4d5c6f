"""A report before it is written: the answer, sections of text and tables, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sambench.analysis.study import Study
from sambench.report.table import Table, slug, told_apart

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

    @cached_property
    def stems(self) -> dict[int, str]:
        """What each table's files, label and anchor are named, by its id; no two share a name."""
        names = told_apart(table.stem or slug(table.title) for table in self.tables)
        return dict(zip(map(id, self.tables), names, strict=True))
