"""A table as a picture, in the manner of printed papers."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

from sambench.report.style import png_file
from sambench.report.table import Table

TEXT, TITLE, NOTE = 9.0, 10.0, 7.0
"""Sizes of type in points."""
ROW, HEADING, BELOW = 0.26, 0.195, 0.187
"""Heights in inches of a row, of a line of the headings, and of a line of the notes."""
GAP, RULE, MARGIN = 0.22, 0.06, 0.1
"""Inches between columns, around a rule, and of empty paper around a table."""
INK, SOFT = 0x00, 0x44
"""Shades of grey."""
Line = Sequence[tuple[str, bool]]
"""The texts of a row, and which of them are bold."""


def table_png(table: Table, dpi: int = 200) -> bytes:
    """Draw a table in the manner of printed papers: three rules, no grid, notes below.

    Returns a PNG file of so many dots per inch.
    """
    wrapped = (textwrap.wrap(heading, 12) for heading in table.headings)
    lines_of_headings = itertools.zip_longest(*wrapped, fillvalue="")
    headings: list[Line] = [[(text, True) for text in line] for line in lines_of_headings]
    body: list[Line] = [
        [(label, False), *((cell.text, cell.bold) for cell in cells)] for label, cells in table.rows
    ]
    widths = [
        max(_width(text, TEXT, bold) for text, bold in column) + GAP
        for column in zip(*headings, *body, strict=True)
    ]
    wide = max(sum(widths), _width(table.title, TITLE, True))
    most = int(wide / _width("0", NOTE))
    notes = [line for note in table.notes for line in textwrap.wrap(note, most)]
    wide = max([wide, *(_width(line, NOTE) for line in notes)])
    pen = _Pen(widths, wide, ROW * (len(headings) + len(body) + len(notes) + 4), dpi)
    pen.write(0, table.title, TITLE, bold=True)
    pen.y += ROW
    pen.rule(1.2)
    for line in headings:
        pen.row(line, HEADING)
    pen.rule(0.6)
    for line in body:
        pen.row(line, ROW)
    pen.rule(1.2)
    for text in notes:
        pen.write(0, text, NOTE, ink=SOFT)
        pen.y += BELOW
    whole = pen.paper.crop((0, 0, pen.paper.width, pen.dots(pen.y - ROW / 2 + MARGIN)))
    return png_file(whole, dpi)


@cache
def _font(size: float, bold: bool) -> ImageFont.FreeTypeFont:
    """Return matplotlib's own type, so many dots high."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts", "ttf", name)), size)


def _width(text: str, size: float, bold: bool = False) -> float:
    """Return how wide a text is in inches."""
    return _font(10 * size, bold).getlength(text) / 720


class _Pen:
    """Writes text and rules on paper, from the top down, in inches."""

    def __init__(self, widths: Sequence[float], wide: float, high: float, dpi: int) -> None:
        self.widths, self.wide, self.dpi = widths, wide, dpi
        size = (self.dots(wide + 2 * MARGIN), self.dots(high + 2 * MARGIN))
        self.paper = Image.new("L", size, "white")
        self.draw = ImageDraw.Draw(self.paper)
        self.y = MARGIN + ROW / 2

    def dots(self, inches: float) -> int:
        return round(inches * self.dpi)

    def write(
        self, x: float, text: str, size: float, *, bold: bool = False, ink: int = INK,
        right: bool = False,
    ) -> None:  # fmt: skip
        place = (self.dots(MARGIN + x), self.dots(self.y))
        font = _font(size * self.dpi / 72, bold)
        self.draw.text(place, text, ink, font, anchor="rm" if right else "lm")

    def rule(self, points: float) -> None:
        """Draw a rule below what was last written."""
        y = self.dots(self.y - ROW / 2 + RULE / 2)
        ends = (self.dots(MARGIN), y, self.dots(MARGIN + self.wide), y)
        self.draw.line(ends, INK, max(1, round(points * self.dpi / 72)))
        self.y += RULE

    def row(self, line: Line, step: float) -> None:
        """Write the first column to the left, the others to the right of their column."""
        right = 0.0
        for place, ((text, bold), width) in enumerate(zip(line, self.widths, strict=True)):
            right += width
            x = right - GAP / 4 if place else GAP / 4
            self.write(x, text, TEXT, bold=bold, right=place > 0)
        self.y += step
