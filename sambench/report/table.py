"""One table object, whatever it is printed as."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sambench.analysis.statistics import Summary

COLLAPSED, UNCONVERGED, DIFFERENT = "‡", "†", "*"
MISSING = "–"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One printed cell and the summary behind it.

    Attributes:
        text: All that is printed, marks included.
        summary: Of the runs behind it; None where there are none.
        value: The number that it is, where it is one but no mean of runs.
        bold: Whether its mean is the best of its column.
        flagged: Whether a run behind it collapsed or did not converge, so that it cannot be best.
    """

    text: str
    summary: Summary | None = None
    value: float | None = None
    bold: bool = False
    flagged: bool = False

    @property
    def number(self) -> float | None:
        """What the cell sorts by: its mean, or its value."""
        return self.value if self.summary is None else self.summary.mean


Row = tuple[str, tuple[Cell, ...]]
"""A label and a cell for each further heading."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A comparison ready to be shown in any form.

    Attributes:
        title: One line.
        headings: Of each column; the first is that of the labels.
        rows: A label and a cell for each further heading.
        notes: What a reader must know, one sentence each.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def format_summary(summary: Summary, decimals: int | None) -> str:
    """Write `mean ± SD (n)`; without decimals given, the mean has three significant digits."""
    form = _form(summary.mean, 3) if decimals is None else f".{decimals}f"
    mean = f"{summary.mean:{form}}"
    spread = "" if summary.sd is None else f" ± {summary.sd:{form}}"
    return f"{mean}{spread} ({summary.n})"


def significant(value: float) -> str:
    """Write a number with three significant digits, and all of those before the point."""
    return f"{value:{_form(value, 3)}}"


def signed(value: float) -> str:
    """Write a difference with its sign and three significant digits."""
    return f"{value:+{_form(value, 3)}}"


def _form(value: float, digits: int) -> str:
    """Return the format of so many significant digits: no exponent from 0.001 on."""
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    return f".{max(0, digits - 1 - magnitude)}f" if magnitude >= -3 else f".{digits - 1}e"
