"""What a report is before it is written: tables, sections, the whole; how numbers are written."""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from sambench.analysis.comparison import Comparison
from sambench.analysis.inference import ALPHA

if TYPE_CHECKING:
    from sambench.analysis.study import Study
    from sambench.report.style import Picture

MISSING = "–"

SMALLEST, LARGEST = 0.001, 1000.0
"""Ratios between which the ends of an interval are written out."""
LONGEST_SLUG = 160
MOST_POINTS = 100.0
"""By which a share can differ."""


class Mark(StrEnum):
    """What stands behind the numbers of a cell."""

    DIFFERENT, EQUIVALENT = "*", "≈"
    COLLAPSED, UNCONVERGED, NO_MINIMUM = "‡", "†", "§"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One printed cell and the numbers behind it."""

    text: str  # all that is printed, marks included
    numbers: Mapping[str, float | None] = field(default_factory=dict)
    """What CSV and xlsx hold of it: mean, sd, n, low, high, p; none for a cell of words."""
    bold: bool = False
    source: str = ""  # name by which `--explain` knows it; empty where it is no number of runs

    @property
    def number(self) -> float | None:
        """What the cell sorts by: the first of its numbers."""
        return next(iter(self.numbers.values()), None)


Row = tuple[str, tuple[Cell, ...]]
"""A label and a cell for each further heading."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A comparison ready to be shown in any form."""

    title: str
    headings: tuple[str, ...]  # of each column; the first is that of the labels
    rows: tuple[Row, ...]
    notes: tuple[str, ...]  # what a reader must know, one sentence each
    stem: str = ""  # name of its files; empty for one made of the title
    setting: str = ""  # title of the setting that it is of; empty for several
    keys: tuple[str, ...] = ()  # the optimizer of each row; empty where rows are of none

    @functools.cached_property
    def units(self) -> int | None:
        """The number of units where all cells have one and the same."""
        found = {c.numbers["n"] for _, cells in self.rows for c in cells if "n" in c.numbers}
        return int(found.pop() or 0) if len(found) == 1 else None


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

    @functools.cached_property
    def stems(self) -> dict[int, str]:
        """What each table's files, label and anchor are named, by its id; no two share a name."""
        names = told_apart(table.stem or slug(table.title) for table in self.tables)
        return dict(zip(map(id, self.tables), names, strict=True))


def significant(value: float) -> str:
    """Write a number with three significant digits, and all of those before the point."""
    return f"{value:{_form(value)}}"


def signed(value: float, decimals: int | None = None) -> str:
    """Write a difference with its sign, to so many decimals, or finer where they would hide it."""
    if decimals is not None:
        hidden = value != 0 and abs(value) < 0.5 * 10**-decimals
        return f"{value:+.1g}" if hidden else f"{value:+.{decimals}f}"
    return f"{value:+{_form(value)}}"


def factor(value: float) -> str:
    """Write a ratio, as 0.31 or 2.0 or 61, and 3e-05 or 8e+05 where it says next to nothing."""
    if value and not 0.00095 <= value < 1e5:
        return f"{value:.0e}"
    if value >= 10 or value == 0:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1.095 else f"{value:.{2 if value >= 0.0095 else 4}f}"


def p_value(value: float | None, *, named: bool = False) -> str:
    """Write a p value, alone or as "p = 0.031"."""
    if value is None:
        return MISSING
    if value < 0.001:
        return "p < 0.001" if named else "< 0.001"
    digits = 3 if value < 0.1 else 2
    while value != ALPHA and float(f"{value:.{digits}f}") == ALPHA:  # which side shows a difference
        digits += 1
    return f"{'p = ' if named else ''}{value:.{digits}f}"


def amount(one: Comparison) -> str:
    """Write an estimate: +1.2, or 0.31x."""
    if one.estimate is None:
        return MISSING
    metric = one.metric
    return f"{factor(one.estimate)}x" if metric.ratio else signed(one.estimate, metric.decimals)


def interval(one: Comparison) -> str:
    """Write a simultaneous interval: +0.1 to +2.3, or 0.20 to 0.48."""
    if one.low is None or one.high is None:
        return MISSING
    if one.metric.ratio:
        least = "under 0.001" if one.low < SMALLEST <= one.high else factor(one.low)
        greatest = "over 1000" if one.low <= LARGEST < one.high else factor(one.high)
        return f"{least} to {greatest}"
    most = MOST_POINTS if one.metric.unit == "points" else math.inf
    low, high = max(one.low, -most), min(one.high, most)
    return f"{signed(low, one.metric.decimals)} to {signed(high, one.metric.decimals)}"


def short(one: Comparison) -> str:
    """Write the difference or ratio, its interval, p, and the number of units."""
    parts = [
        "" if interval(one) == MISSING else f"95 % interval {interval(one)}",
        "" if one.p is None else p_value(one.p, named=True) + " with lost runs" * one.with_lost,
        counted(one.n, one.design.unit),
    ]
    size = one.estimate or 0.0
    amount = f"{factor(size)} times" if one.metric.ratio else f"{signed(size, 1)} points"
    return f"{amount} ({', '.join(filter(None, parts))})"


def mean_and_spread(mean: float, spread: float | None, decimals: int | None, ratio: bool) -> str:
    """Write `mean ± SD`, or of a geometric mean `mean ×÷ factor`."""
    hidden = ratio and decimals is not None and 0 < mean < 10.0 ** min(0, 1 - decimals)
    form = _form(mean) if decimals is None or hidden else f".{decimals}f"
    text = f"{mean:{form}}"
    if spread is None:
        return text
    return f"{text} ×÷ {spread:.2f}" if ratio else f"{text} ± {spread:{form}}"


def counted(number: int, what: str) -> str:
    """Return e.g. "1 seed" or "10 seeds"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def listed(items: Sequence[str], most: int = 99) -> str:
    """Return "a, b and c"; of more than so many the number of the others."""
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def isolated(name: str) -> str:
    """Return a name in marks that keep what follows in place where it is read from the right."""
    from_right = any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in name)
    return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}" if from_right else name


def slug(text: str) -> str:
    """Return a text as it stands in names of files and links, whose length is limited."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:LONGEST_SLUG].strip("-")


def told_apart(names: Iterable[str]) -> list[str]:
    """Return the names, each further one that is alike with its number behind."""
    every = list(names)
    return [f"{x}--{k}" if (k := every[:n].count(x) + 1) > 1 else x for n, x in enumerate(every)]


def points(margin: float) -> str:
    """Return e.g. "1 point" or "0.5 points"."""
    return f"{margin:g} point{'s' * (margin != 1)}"


def _form(value: float) -> str:
    """Return the format of three significant digits: no exponent from 0.001 on."""
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    return f".{max(0, 2 - magnitude)}f" if magnitude >= -3 else ".2e"
