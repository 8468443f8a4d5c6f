"""A table as a picture, in the manner of printed papers."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image, ImageChops, ImageOps

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


def table_png(table: Table, dpi: int = 200) -> bytes:
    """Draw a table in the manner of printed papers: three rules, no grid, notes below.

    Returns a PNG file of so many dots per inch.
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
    pen = _Pen(figure, widths)
    pen.write(0.1, table.title, weight="bold", size=FONT_SIZE + 1)
    pen.down(1.1)
    pen.rule(1.2)
    for number in range(heading_rows):
        texts = [lines[number] if number < len(lines) else "" for lines in headings]
        pen.row(texts, [True] * len(texts), 0.75)
    pen.down(0.2)
    pen.rule(0.6)
    for (_, cells), texts in zip(table.rows, body, strict=True):
        pen.row(texts, [False, *(cell.bold for cell in cells)])
    pen.rule(1.2)
    for note in notes:
        pen.write(0.1, note, size=FONT_SIZE - 2, color="#444444")
        pen.down(0.72)
    return png_file(_cropped(drawn(figure).convert("L"), round(MARGIN * dpi)), dpi)


def _cropped(paper: Image.Image, margin: int) -> Image.Image:
    """Return the drawing with no more empty paper around it than a margin.

    matplotlib's own way to do so draws twice.
    """
    ink = paper.crop(ImageChops.invert(paper).getbbox())
    return ImageOps.expand(ink, margin, "white")


class _Pen:
    """Writes text and rules on a figure, from the top down, in inches."""

    def __init__(self, figure: Figure, widths: list[float]) -> None:
        self.figure, self.widths = figure, widths
        self.width, self.height = figure.get_size_inches()
        self.y = self.height - 0.7 * ROW

    def write(
        self, x: float, text: str, *, align: str = "left", size: float = FONT_SIZE, **style: Any
    ) -> None:
        self.figure.text(
            x / self.width, self.y / self.height, text.replace("$", r"\$"), ha=align, va="center",
            size=size, **{"color": "black", **style},
        )  # fmt: skip

    def down(self, rows: float) -> None:
        self.y -= rows * ROW

    def rule(self, thickness: float) -> None:
        y = (self.y + 0.5 * ROW) / self.height
        ends = [0.1 / self.width, 1 - 0.1 / self.width]
        line = Line2D(ends, [y, y], transform=self.figure.transFigure, color="black", lw=thickness)
        self.figure.add_artist(line)
        self.down(0.12)

    def row(self, texts: list[str], bold: list[bool], step: float = 1.0) -> None:
        """Write the first column to the left, the others to the right of their column."""
        right = 0.1
        for place, (text, width) in enumerate(zip(texts, self.widths, strict=True)):
            right += width
            weight = "bold" if bold[place] else "normal"
            if place == 0:
                self.write(0.14, text, weight=weight)
            else:
                self.write(right - 0.06, text, align="right", weight=weight)
        self.down(step)
