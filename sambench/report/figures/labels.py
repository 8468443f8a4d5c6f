"""Names of points in a column beside a panel, evenly spaced, each led to its point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from sambench.report.style import DPI, GREY, PALE, SMALL

Floats = NDArray[np.float64]
STEP = 0.125
"""Least distance of two names in inches."""
GAP = 1.08
"""Where the lines to the names end, in widths of the panel."""


def height_for(names: int) -> float:
    """Return how high a panel must be to have so many names beside it, in inches."""
    return max(1.5, names * STEP)


def label_points(
    ax: Axes, x: Sequence[float], y: Sequence[float], names: Sequence[str], bold: Sequence[str] = ()
) -> None:
    """Write the names to the right of the axes, in order of height, each with a line to its point.

    Call it once the limits and scales are final.

    Args:
        ax: The panel; it must be as high as `height_for` says.
        x: Of the points.
        y: Of the points.
        names: Of the points.
        bold: Which names are to stand out.
    """
    ax.get_xlim(), ax.get_ylim()  # limits are settled when asked for
    inside = ax.transAxes.inverted()
    at = inside.transform(ax.transData.transform(np.column_stack([x, y])))
    order = np.lexsort((at[:, 0], at[:, 1]))
    step = STEP * DPI / ax.bbox.height
    places = _spread(at[order, 1], step)
    ends = [[at[point], (GAP, height)] for point, height in zip(order, places, strict=True)]
    ax.add_collection(
        LineCollection(
            ends, colors=PALE, linewidths=0.5, transform=ax.transAxes, clip_on=False, zorder=0.5
        ),
        autolim=False,
    )
    for point, height in zip(order, places, strict=True):
        bold_one = names[point] in bold
        ax.text(GAP + 0.02, height, names[point], size=SMALL, va="center", transform=ax.transAxes,
                weight="bold" if bold_one else "normal",
                color="black" if bold_one or not bold else GREY)  # fmt: skip


def _spread(heights: Floats, step: float) -> Floats:
    """Return ascending heights at least a step apart, within 0..1, near the given ones."""
    offsets = step * np.arange(len(heights))
    upward = np.maximum.accumulate(heights - offsets) + offsets
    downward = np.minimum.accumulate((heights - offsets)[::-1])[::-1] + offsets
    middle: Floats = (upward + downward) / 2
    inside: Floats = np.clip(middle, step / 2 + offsets, 1 - step / 2 - offsets[::-1])
    return inside
