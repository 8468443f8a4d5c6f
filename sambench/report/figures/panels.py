"""A panel for each optimizer, all with the same axes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sambench.report.style import COLUMN, SMALL, TEXT, bare, place, sheet

COLUMNS = 3
LEFT, RIGHT, BELOW, BETWEEN = 0.46, 0.08, 0.4, 0.14
LINE_OF_TITLE = 0.115
WIDEST = 2.4
"""A panel is no higher than one of this width would be."""


def panels(
    titles: Sequence[str],
    *,
    x: str = "",
    y: str = "",
    shape: float = 1.0,
    left: float = LEFT,
    right: float = RIGHT,
    columns: int = COLUMNS,
    ticks: bool = True,
) -> tuple[Figure, list[Axes]]:
    """Return a grid of axes, the outer ones alone with numbers.

    Args:
        titles: Of the panels.
        x: Label of all x axes.
        y: Label of all y axes.
        shape: Height of a panel over its width.
        left: Room for the numbers of the y axes in inches.
        right: Room beside the panels in inches.
        columns: Most panels in a row.
        ticks: Whether the inner panels have tick marks.
    """
    columns = min(columns, len(titles))
    width = (COLUMN - left - right - BETWEEN * (columns - 1)) / columns
    characters = max(8, int(width / 0.057))
    wrapped = [textwrap.wrap(title, characters) or [""] for title in titles]
    above = 0.06 + LINE_OF_TITLE * max(map(len, wrapped))
    high = min(width, WIDEST) * shape
    count = -(-len(titles) // columns)
    figure = sheet(count * (above + high + 0.02) + BELOW)
    grid = []
    for number, lines in enumerate(wrapped):
        down, across = divmod(number, columns)
        top = down * (above + high + 0.02) + above
        ax = place(figure, left + across * (width + BETWEEN), top, width, high)
        ax.set_title("\n".join(lines), size=SMALL, pad=2, linespacing=1.0)
        bare([ax])
        lowest = number + columns >= len(titles)
        ax.tick_params(labelbottom=lowest, labelleft=across == 0)
        if not ticks:
            ax.tick_params(bottom=lowest, left=across == 0)
        grid.append(ax)
    wide, tall = figure.get_size_inches()
    middle = (left + (COLUMN - left - right) / 2) / wide
    figure.text(middle, 0.05 / tall, x, size=TEXT, ha="center", va="bottom")
    centre = 0.5 + BELOW / tall / 2
    figure.text(0.03 / wide, centre, y, size=TEXT, ha="left", va="center", rotation=90)
    return figure, grid
