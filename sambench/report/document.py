"""A report before it is written: the answer, sections of text and tables, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sambench.report.picture import Picture
from sambench.report.table import Table


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report under a heading.

    Attributes:
        title: The heading.
        paragraphs: Text above the tables.
        items: A list below the paragraphs.
        tables: In order.
        drawn: Whether its tables are drawn as pictures too.
        shown: Whether the terminal shows its tables.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    drawn: bool = False
    shown: bool = False

    @property
    def empty(self) -> bool:
        """Whether there is nothing below the heading."""
        return not (self.paragraphs or self.items or self.tables)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A whole report, in the order of reading.

    Attributes:
        title: Heading of the page.
        answer: Paragraphs, the first to be quoted.
        results: Sections of tables.
        pictures: The figures, after them.
        rest: Sections after the figures: methods, what went wrong.
    """

    title: str
    answer: tuple[str, ...] = ()
    results: tuple[Section, ...] = ()
    pictures: Sequence[Picture] = ()
    rest: tuple[Section, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table, in order."""
        return tuple(t for section in (*self.results, *self.rest) for t in section.tables)
