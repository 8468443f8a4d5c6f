"""Where panels stand: a row for each optimizer, a panel for each, panels with names beside them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sambench.report.style import (
    BLUE,
    COLUMN,
    DPI,
    PALE,
    SMALL,
    TEXT,
    VERMILION,
    bare,
    place,
    sheet,
    text_width,
)

Floats = NDArray[np.float64]
RUNS_BELOW = 0.27
"""Where single runs stand, below the mean of their row, in rows."""
ROW, ROW_ABOVE, ROW_BELOW, ROW_BETWEEN = 0.145, 0.2, 0.4, 0.1
LABEL, COLUMNS_OF_ROWS = 22, 4
"""Most characters of a line of a label, and most panels beside each other."""
COLUMNS, BETWEEN, BELOW, LINE_OF_TITLE, WIDEST = 3, 0.14, 0.4, 0.115, 2.4
"""Of a grid; a panel is no higher than one of the widest would be."""
STEP, GAP = 0.125, 1.08
"""Least distance of two names in inches, and where the lines to them end, in widths of a panel."""


def rows(
    labels: Sequence[str], titles: Sequence[str] = ("",), right: float = 0.1
) -> tuple[Figure, list[Axes]]:
    """Return empty panels beside the labels of the rows y = 0, 1, ..., led to by pale lines.

    The panels stand from left to right, then from top to bottom; `right` is room in inches.
    """
    wrapped = ["\n".join(textwrap.wrap(label, LABEL)) for label in labels]
    step = ROW * max(1.0, max(text.count("\n") + 1 for text in wrapped) * 0.85)
    high = step * max(len(labels), 2) + 0.04
    columns = min(COLUMNS_OF_ROWS, len(titles))
    figure = sheet(-(-len(titles) // columns) * (ROW_ABOVE + high + ROW_BELOW))
    left = 0.1 + max(text_width(figure, line) for text in wrapped for line in text.split("\n"))
    width = (COLUMN - left - right - ROW_BETWEEN * (columns - 1)) / columns
    alone = 0.5 * (len(labels) == 1)
    for number, title in enumerate(titles):
        down, across = divmod(number, columns)
        top = down * (ROW_ABOVE + high + ROW_BELOW) + ROW_ABOVE
        ax = place(figure, left + across * (width + ROW_BETWEEN), top, width, high)
        ax.set_ylim(len(labels) - 0.5 + alone, -0.5 - alone)
        ax.set_yticks(range(len(labels)), wrapped if across == 0 else [""] * len(labels))
        ax.hlines(range(len(labels)), 0, 1, transform=ax.get_yaxis_transform(), color="#EDEDED",
                  lw=0.6, zorder=0)  # fmt: skip
        ax.set_title(title, size=SMALL, pad=3)
        bare(ax)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    return figure, figure.axes


def name_below(figure: Figure, name: str) -> None:
    """Write one name for the x axes of all panels below them."""
    places = [ax.get_position() for ax in figure.axes]
    middle = (min(place.x0 for place in places) + max(place.x1 for place in places)) / 2
    tall = figure.get_size_inches()[1]
    figure.text(middle, 0.05 / tall, name, size=TEXT, ha="center", va="bottom")


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


def beside(ax: Axes, y: float, text: str, at: float = 1.02) -> None:
    """Write a few words to the right of a row."""
    ax.annotate(text, (at, y), xycoords=ax.get_yaxis_transform(), size=SMALL, va="center",
                annotation_clip=False)  # fmt: skip


def panels(
    titles: Sequence[str],
    *,
    x: str,
    y: str,
    shape: float = 1.0,
    left: float = 0.46,
    right: float = 0.08,
) -> tuple[Figure, list[Axes]]:
    """Return a grid of axes with one label for all x and all y, the outer ones alone with numbers.

    `shape` is a panel's height over its width; `left` and `right` is room in inches.
    """
    columns = min(COLUMNS, len(titles))
    width = (COLUMN - left - right - BETWEEN * (columns - 1)) / columns
    wrapped = [textwrap.wrap(title, max(8, int(width / 0.057))) or [""] for title in titles]
    above = 0.06 + LINE_OF_TITLE * max(map(len, wrapped))
    high = min(width, WIDEST) * shape
    figure = sheet(-(-len(titles) // columns) * (above + high + 0.02) + BELOW)
    for number, lines in enumerate(wrapped):
        down, across = divmod(number, columns)
        top = down * (above + high + 0.02) + above
        ax = place(figure, left + across * (width + BETWEEN), top, width, high)
        ax.set_title("\n".join(lines), size=SMALL, pad=2, linespacing=1.0)
        bare(ax)
        ax.tick_params(labelbottom=number + columns >= len(titles), labelleft=across == 0)
    wide, tall = figure.get_size_inches()
    middle = (left + (COLUMN - left - right) / 2) / wide
    figure.text(middle, 0.05 / tall, x, size=TEXT, ha="center", va="bottom")
    centre = 0.5 + BELOW / tall / 2
    figure.text(0.03 / wide, centre, y, size=TEXT, ha="left", va="center", rotation=90)
    return figure, figure.axes


def named_points(count: int, names: Sequence[str], above: float) -> tuple[Figure, list[Axes]]:
    """Return so many panels one above the other, with room for the names of points on their right.

    The names are as long as they can be; `above` is room above each panel in inches.
    """
    high, left, below = max(1.5, len(names) * STEP), 0.52, 0.42
    figure = sheet(count * (above + high + below))
    width = COLUMN - left - (0.32 + max(text_width(figure, name) for name in names))
    for number in range(count):
        place(figure, left, number * (above + high + below) + above, width, high)
    return figure, figure.axes


def label_points(ax: Axes, x: Sequence[float], y: Sequence[float], names: Sequence[str]) -> None:
    """Write names to the right of the axes, in order of height, each with a line to its point.

    Call it once the limits and scales are final, on a panel of `named_points`.
    """
    ax.get_xlim(), ax.get_ylim()  # limits are settled when asked for
    inside = ax.transAxes.inverted()
    at = inside.transform(ax.transData.transform(np.column_stack([x, y])))
    order = np.lexsort((at[:, 0], at[:, 1]))
    places = _spread(at[order, 1], STEP * DPI / ax.bbox.height)
    ends = [[at[point], (GAP, height)] for point, height in zip(order, places, strict=True)]
    lines = LineCollection(ends, colors=PALE, linewidths=0.5, transform=ax.transAxes,
                           clip_on=False, zorder=0.5)  # fmt: skip
    ax.add_collection(lines, autolim=False)
    for point, height in zip(order, places, strict=True):
        ax.text(GAP + 0.02, height, names[point], size=SMALL, va="center", transform=ax.transAxes)


def _spread(heights: Floats, step: float) -> Floats:
    """Return ascending heights at least a step apart, within 0..1, near the given ones."""
    offsets = step * np.arange(len(heights))
    upward = np.maximum.accumulate(heights - offsets) + offsets
    downward = np.minimum.accumulate((heights - offsets)[::-1])[::-1] + offsets
    middle: Floats = (upward + downward) / 2
    inside: Floats = np.clip(middle, step / 2 + offsets, 1 - step / 2 - offsets[::-1])
    return inside
