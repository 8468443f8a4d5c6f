"""A line for each optimizer: names on the left, one panel or several beside each other."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sambench.report.style import (
    BLUE,
    COLUMN,
    SMALL,
    TEXT,
    VERMILION,
    bare,
    place,
    sheet,
    text_width,
)

ROW = 0.145
"""Height of a row in inches."""
RUNS_BELOW = 0.27
"""Where single runs stand, below the mean of their row, in rows."""
ABOVE, BELOW, BETWEEN = 0.2, 0.4, 0.1
LABEL = 22
"""Most characters of a line of a label."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A figure with a row for each label, the first at the top.

    Attributes:
        figure: The figure.
        panels: From left to right, then from top to bottom; the rows are y = 0, 1, ...
    """

    figure: Figure
    panels: tuple[Axes, ...]


def rows(
    labels: Sequence[str],
    titles: Sequence[str] = ("",),
    *,
    columns: int = 4,
    right: float = 0.1,
    note: float = 0.0,
) -> Rows:
    """Return empty panels beside the labels, with pale lines to follow from the names.

    Args:
        labels: Of the rows, from the top.
        titles: Of the panels.
        columns: Most panels beside each other; further ones go below.
        right: Room to the right of the panels in inches.
        note: Room below each row of panels, beyond an axis' label, in inches.
    """
    wrapped = ["\n".join(textwrap.wrap(label, LABEL)) for label in labels]
    step = ROW * max(1.0, max(text.count("\n") + 1 for text in wrapped) * 0.85)
    high = step * max(len(labels), 2) + 0.04
    columns = min(columns, len(titles))
    count = -(-len(titles) // columns)
    figure = sheet(count * (ABOVE + high + BELOW + note))
    lines = [line for text in wrapped for line in text.split("\n")]
    left = 0.1 + max(text_width(figure, line) for line in lines)
    width = (COLUMN - left - right - BETWEEN * (columns - 1)) / columns
    panels = []
    for number, title in enumerate(titles):
        down, across = divmod(number, columns)
        x = left + across * (width + BETWEEN)
        ax = place(figure, x, down * (ABOVE + high + BELOW + note) + ABOVE, width, high)
        ax.set_ylim(len(labels) - 0.5 + (len(labels) == 1) * 0.5, -0.5 - (len(labels) == 1) * 0.5)
        ax.set_yticks(range(len(labels)), wrapped if across == 0 else [""] * len(labels))
        ax.hlines(range(len(labels)), 0, 1, transform=ax.get_yaxis_transform(), color="#EDEDED",
                  lw=0.6, zorder=0)  # fmt: skip
        ax.set_title(title, size=SMALL, pad=3)
        bare([ax])
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
        panels.append(ax)
    return Rows(figure=figure, panels=tuple(panels))


def name_below(made: Rows, name: str) -> None:
    """Write one name for the x axes of all panels below them."""
    _, tall = made.figure.get_size_inches()
    places = [ax.get_position() for ax in made.panels]
    middle = (min(place.x0 for place in places) + max(place.x1 for place in places)) / 2
    made.figure.text(middle, 0.05 / tall, name, size=TEXT, ha="center", va="bottom")


def beyond_edge(ax: Axes, y: float, value: float, collapsed: bool) -> None:
    """Mark a row whose value lies outside of the limits: a triangle at the edge, and the number."""
    left = value < ax.get_xlim()[0]
    colour = VERMILION if collapsed else BLUE
    across = ax.get_yaxis_transform()
    ax.plot(0.012 if left else 0.988, y, "<" if left else ">", color=colour, ms=3.5, mew=0,
            transform=across, zorder=6, gid="beyond")  # fmt: skip
    number = f"{value:.1f}".replace("-", "−")
    ax.annotate(number, (0.03 if left else 0.97, y), xycoords=across, size=SMALL, va="center",
                ha="left" if left else "right", color=colour, zorder=6,
                bbox={"fc": "white", "ec": "none", "pad": 0.4})  # fmt: skip
