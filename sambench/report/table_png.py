"""A table as a picture, in the manner of printed papers."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sambench.report.style import drawn, png_file
from sambench.report.table import Table

FONT_SIZE = 9.0
ROW = 0.26
"""Height of a row in inches."""
CHARACTER = 0.075
"""Width of a character in inches at this font size."""
TITLE_CHARACTER = 0.095
"""Likewise in the title, which is larger and bold."""
MARGIN = 0.1
"""Inches of empty paper around a table."""
WHITE = 255


def table_png(table: Table, dpi: int = 200) -> bytes:
    """Draw a table in the manner of printed papers: three rules, no grid, notes below.

    Args:
        table: What to draw.
        dpi: Dots per inch.

    Returns:
        A PNG file.
    """
    headings = [textwrap.wrap(heading, 12) or [""] for heading in table.headings]
    body = [[label, *(cell.text for cell in cells)] for label, cells in table.rows]
    widths = [
        max(len(text) for text in [*lines, *(row[place] for row in body)]) * CHARACTER + 0.22
        for place, lines in enumerate(headings)
    ]
    total = max(sum(widths), TITLE_CHARACTER * len(table.title))
    notes = [line for note in table.notes for line in textwrap.wrap(note, int(total / 0.058))]
    heading_rows = max(map(len, headings))
    height = ROW * (1.9 + heading_rows * 0.75 + len(body) + 0.72 * len(notes))
    figure = Figure(figsize=(total + 0.2, height), dpi=dpi)
    FigureCanvasAgg(figure)
    pen = _Pen(figure, total + 0.2, height)
    pen.write(0.1, table.title, weight="bold", size=FONT_SIZE + 1)
    pen.down(1.1)
    pen.rule(1.2)
    _headings(pen, headings, widths, heading_rows)
    pen.rule(0.6)
    for (_, cells), texts in zip(table.rows, body, strict=True):
        bold = [False, *(cell.bold for cell in cells)]
        _row(pen, texts, widths, bold)
    pen.rule(1.2)
    for note in notes:
        pen.write(0.1, note, size=FONT_SIZE - 2, color="#444444")
        pen.down(0.72)
    return png_file(_cropped(drawn(figure), round(MARGIN * dpi)), dpi)


def _cropped(paper: NDArray[np.uint8], margin: int) -> NDArray[np.uint8]:
    """Return the drawing with no more empty paper around it than a margin.

    matplotlib's own way to do so draws twice.
    """
    ink: NDArray[np.bool_] = np.any(paper < WHITE, axis=2)
    rows, columns = (np.flatnonzero(np.any(ink, axis=axis)) for axis in (1, 0))
    return np.pad(
        paper[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1],
        ((margin, margin), (margin, margin), (0, 0)),
        constant_values=WHITE,
    )


class _Pen:
    """Writes text and rules on a figure, from the top down, in inches."""

    def __init__(self, figure: Figure, width: float, height: float) -> None:
        self.figure, self.width, self.height = figure, width, height
        self.y = height - 0.7 * ROW

    def write(
        self,
        x: float,
        text: str,
        *,
        align: str = "left",
        weight: str = "normal",
        size: float = FONT_SIZE,
        color: str = "black",
    ) -> None:
        self.figure.text(
            x / self.width,
            self.y / self.height,
            text.replace("$", r"\$"),
            ha=align,
            va="center",
            weight=weight,
            size=size,
            color=color,
        )

    def down(self, rows: float) -> None:
        self.y -= rows * ROW

    def rule(self, thickness: float) -> None:
        from matplotlib.lines import Line2D

        y = (self.y + 0.5 * ROW) / self.height
        ends = [0.1 / self.width, 1 - 0.1 / self.width]
        line = Line2D(ends, [y, y], transform=self.figure.transFigure, color="black", lw=thickness)
        self.figure.add_artist(line)
        self.down(0.12)


def _headings(pen: _Pen, headings: list[list[str]], widths: list[float], rows: int) -> None:
    for line in range(rows):
        texts = [lines[line] if line < len(lines) else "" for lines in headings]
        _row(pen, texts, widths, [True] * len(texts), step=0.75)
    pen.down(0.2)


def _row(
    pen: _Pen, texts: list[str], widths: list[float], bold: list[bool], step: float = 1.0
) -> None:
    """Write one row: the first column to the left, the others to the right of their column."""
    right = 0.1
    for place, (text, width) in enumerate(zip(texts, widths, strict=True)):
        right += width
        weight = "bold" if bold[place] else "normal"
        if place == 0:
            pen.write(0.14, text, weight=weight)
        else:
            pen.write(right - 0.06, text, align="right", weight=weight)
    pen.down(step)
