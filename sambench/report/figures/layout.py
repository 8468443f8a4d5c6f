"""Where panels, rows and names stand, and scales and ticks that suit the numbers at hand."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from sambench.analysis.inference import Floats
from sambench.report import style
from sambench.report.style import BLUE, COLUMN, DPI, GREY, PALE, SMALL, TEXT, VERMILION

RUNS_BELOW = 0.27
"""Where single runs stand, below the mean of their row, in rows."""
ROW, ROW_ABOVE, ROW_BELOW, ROW_BETWEEN = 0.145, 0.2, 0.4, 0.1
LABEL, COLUMNS_OF_ROWS, LONG = 22, 4, 44
"""Most characters of a line of a label, most panels in a row, and of what titles only two."""
COLUMNS, BETWEEN, BELOW, LINE_OF_TITLE, WIDEST = 3, 0.14, 0.4, 0.115, 2.4
"""Of a grid; a panel is no higher than one of the widest would be."""
STEP, GAP, LEAST = 0.125, 1.08, 1.2
"""Least distance of two names in inches, where the lines to them end in widths of a panel, and the
least width, beside which longer names make the sheet wider."""
FAR = 5.0
"""How many widths of the middle half away from it a value is left outside."""
APART = 0.3
"""Least distance of two numbers of an axis in inches."""
LEAST_TICKS = 2
"""Numbers without which an axis cannot be read."""
WIDE = 4.0
"""Largest over smallest cost from which on factors say more than differences."""
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Digits of an exponent: text of figures is never read as TeX, for names may have a `$`."""
PERCENT = (-1.0, 101.0)
"""What limits of an axis of accuracies stay within."""


def rows(
    labels: Sequence[str], titles: Sequence[str] = ("",), right: float = 0.1
) -> tuple[Figure, list[Axes]]:
    """Return empty panels beside the labels of the rows y = 0, 1, ..., led to by pale lines.

    The panels stand from left to right, then from top to bottom; `right` is room in inches.
    """
    wrapped = ["\n".join(textwrap.wrap(label, LABEL)) for label in labels]
    step = ROW * max(1.0, max(text.count("\n") + 1 for text in wrapped) * 0.85)
    high = step * max(len(labels), 2) + 0.04
    columns = min(COLUMNS_OF_ROWS if max(map(len, titles)) < LONG else 2, len(titles))
    paper = style.sheet(1)
    left = 0.1 + max(style.text_width(paper, line) for text in wrapped for line in text.split("\n"))
    width = (COLUMN - left - right - ROW_BETWEEN * (columns - 1)) / columns
    headings = [textwrap.wrap(title, max(8, int(width / 0.057))) for title in titles]
    above = ROW_ABOVE + LINE_OF_TITLE * (max(1, *map(len, headings)) - 1)
    figure = style.sheet(-(-len(titles) // columns) * (above + high + ROW_BELOW))
    alone = 0.5 * (len(labels) == 1)
    for number, lines in enumerate(headings):
        down, across = divmod(number, columns)
        top = down * (above + high + ROW_BELOW) + above
        ax = style.place(figure, left + across * (width + ROW_BETWEEN), top, width, high)
        ax.set_ylim(len(labels) - 0.5 + alone, -0.5 - alone)
        ax.set_yticks(range(len(labels)), wrapped if across == 0 else [""] * len(labels))
        ax.hlines(range(len(labels)), 0, 1, transform=ax.get_yaxis_transform(), color="#EDEDED",
                  lw=0.6, zorder=0)  # fmt: skip
        ax.set_title("\n".join(lines), size=SMALL, pad=3, linespacing=1.0)
        style.bare(ax)
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", length=0)
    return figure, figure.axes


def name_below(figure: Figure, name: str) -> None:
    """Write one name for the x axes of all panels below them."""
    places = [ax.get_position() for ax in figure.axes]
    middle = (min(place.x0 for place in places) + max(place.x1 for place in places)) / 2
    tall = figure.get_size_inches()[1]
    figure.text(middle, 0.05 / tall, name, size=TEXT, ha="center", va="bottom")


def mean_and_interval(
    ax: Axes,
    y: float,
    mean: float,
    interval: tuple[float | None, float | None],
    values: Sequence[float],
    *,
    filled: bool,
    shape: str = "o",
    collapsed: bool = False,
) -> None:
    """Draw a row: its values as dots, and above them their mean and its interval, if it has one.

    A mean outside of the limits is a triangle at the edge, and the number.
    """
    single_runs(ax, y, values)
    (least, most), (low, high) = ax.get_xlim(), interval
    if not least <= mean <= most:
        left, colour = mean < least, VERMILION if collapsed else BLUE
        across = ax.get_yaxis_transform()
        ax.plot(0.012 if left else 0.988, y, "<" if left else ">", color=colour, ms=3.5, mew=0,
                transform=across, zorder=6, gid="beyond")  # fmt: skip
        number = f"{mean:.1f}".replace("-", "−")
        ax.annotate(number, (0.03 if left else 0.97, y), xycoords=across, size=SMALL, va="center",
                    ha="left" if left else "right", color=colour, zorder=6,
                    bbox={"fc": "white", "ec": "none", "pad": 0.4})  # fmt: skip
        return
    if low is not None and high is not None:
        ax.hlines(y, low, high, color=BLUE, lw=1.1, zorder=3)
    ax.plot(mean, y, shape, color=BLUE, ms=4, mew=0.9, mfc=BLUE if filled else "white", zorder=5,
            gid="mean")  # fmt: skip


def single_runs(ax: Axes, y: float, values: Sequence[float]) -> None:
    """Draw the values of single runs as dots below the middle of their row."""
    ax.plot(values, [y + RUNS_BELOW] * len(values), "o", color=GREY, alpha=0.6, ms=2, mew=0,
            zorder=2, gid="runs")  # fmt: skip


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
    columns = min(COLUMNS if max(map(len, titles)) < LONG else 2, len(titles))
    width = (COLUMN - left - right - BETWEEN * (columns - 1)) / columns
    wrapped = [textwrap.wrap(title, max(8, int(width / 0.057))) or [""] for title in titles]
    above = 0.06 + LINE_OF_TITLE * max(map(len, wrapped))
    high = min(width, WIDEST) * shape
    figure = style.sheet(-(-len(titles) // columns) * (above + high + 0.02) + BELOW)
    for number, lines in enumerate(wrapped):
        down, across = divmod(number, columns)
        top = down * (above + high + 0.02) + above
        ax = style.place(figure, left + across * (width + BETWEEN), top, width, high)
        ax.set_title("\n".join(lines), size=SMALL, pad=2, linespacing=1.0)
        style.bare(ax)
        ax.tick_params(labelbottom=number + columns >= len(titles), labelleft=across == 0)
    name_below(figure, x)
    wide, tall = figure.get_size_inches()
    centre = 0.5 + BELOW / tall / 2
    figure.text(0.03 / wide, centre, y, size=TEXT, ha="left", va="center", rotation=90)
    return figure, figure.axes


def named_points(count: int, names: Sequence[str], above: float) -> tuple[Figure, list[Axes]]:
    """Return so many panels one above the other, with room for the names of points on their right.

    The names are as long as they can be; `above` is room above each panel in inches.
    """
    high, left, below = max(1.5, len(names) * STEP), 0.52, 0.42
    figure = style.sheet(count * (above + high + below))
    longest = max(style.text_width(figure, name) for name in names)
    width = max(LEAST, COLUMN - left - (0.32 + longest))
    for number in range(count):
        style.place(figure, left, number * (above + high + below) + above, width, high)
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


def round_ticks(axis: Axis, *, integer: bool = False) -> None:
    """Have evenly spaced round numbers, at most six."""
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=integer))


def percent_ticks(axis: Axis, most: int = 6) -> None:
    """Have round numbers within 0 and 100 on an axis of accuracies whose limits are final."""
    low, high = axis.get_view_interval()
    even = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
    inside = [tick for tick in even if max(low, 0.0) <= tick <= min(high, 100.0)]
    axis.set_major_locator(FixedLocator(inside))


def cost_axis(ax: Axes, values: Sequence[float]) -> None:
    """Set an x axis for costs: logarithmic where they differ by large factors."""
    low, high = min(values), max(values)
    if not low or high / low < WIDE:
        most = max(2, int(_inches_wide(ax) / 0.36))
        ax.xaxis.set_major_locator(MaxNLocator(min(5, most), steps=[1, 2, 2.5, 5, 10]))
        ax.xaxis.set_major_formatter(lambda value, _: short(value))
        ax.margins(x=0.06)
        return
    log_axis(ax, "x", low, high)
    room = (high / low) ** 0.06
    ax.set_xlim(low / room, high * room)


def curvature_axis(ax: Axes, values: Sequence[float], share: float, most: int = 5) -> None:
    """Set an x axis for curvature: logarithmic where all is positive, else linear around zero.

    On a logarithmic axis there is room beside the values, a share of their range.
    """
    low, high = float(min(values)), float(max(values))
    if low > 0:
        room = (high / low) ** share if high > low else 1.5
        log_axis(ax, "x", low / room, high * room, most)
        ax.set_xlim(low / room, high * room)
    else:
        width = float(np.median(np.abs(values))) / 10 or 1.0
        asinh_axis(ax, 1.3 * low - width, 1.3 * high + width, width)


def focus(values: Sequence[float], *, percent: bool = False) -> tuple[float, float]:
    """Return limits that show the values with some room.

    A value further from the middle half than five times its width is left outside, to be marked at
    the edge, lest a diverged run press all others into a corner. Limits of accuracies, in percent,
    stay within `PERCENT` and leave none outside that is far above the others.
    """
    array = np.asarray(values, dtype=np.float64)
    lower, upper = np.percentile(array, [25, 75])
    far = FAR * (upper - lower)
    near = (array >= lower - far) & (percent | (array <= upper + far))
    inside = array[near] if far else array
    low, high = float(inside.min()), float(inside.max())
    room = 0.06 * (high - low) or 0.01 * abs(high) or 1.0
    low, high = low - room, high + room
    return (max(low, PERCENT[0]), min(high, PERCENT[1])) if percent else (low, high)


def log_axis(ax: Axes, which: str, low: float, high: float, most: int = 5) -> None:
    """Make an axis logarithmic, with a handful of round numbers within the range."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    (ax.set_xscale if which == "x" else ax.set_yscale)("log")
    axis.set_major_locator(FixedLocator(round_numbers(low, high, most)))
    axis.set_major_formatter(lambda value, _: short(value))
    axis.set_minor_locator(NullLocator())


def asinh_axis(ax: Axes, low: float, high: float, width: float) -> None:
    """Make an x axis linear within a width around zero and logarithmic beyond."""
    ax.set_xscale("asinh", linear_width=width)
    ax.set_xlim(low, high)
    apart = APART / _inches_wide(ax)
    ends = np.arcsinh(np.array([low, high]) / width)
    last = math.floor(math.log10(max(abs(low), abs(high))))
    powers = [10.0**exponent for exponent in range(last, math.floor(math.log10(width)), -1)]
    ticks: list[float] = []
    for tick in (0.0, *powers, *(-power for power in powers)):
        gaps = np.abs(np.arcsinh(np.array(ticks) / width) - np.arcsinh(tick / width))
        if low <= tick <= high and (gaps >= apart * (ends[1] - ends[0])).all():
            ticks.append(tick)
    ax.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
    ax.xaxis.set_major_formatter(lambda value, _: short(value).replace("-", "−"))
    ax.xaxis.set_minor_locator(NullLocator())


def _inches_wide(ax: Axes) -> float:
    return float(ax.bbox.width) / DPI


def round_numbers(low: float, high: float, most: int = 5) -> list[float]:
    """Return two or more round numbers within a range, at most so many.

    These are 1, 2, 5 times powers of ten, or the powers alone over many decades; within a narrow
    range, such as 0.51 to 0.69, evenly spaced ones.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    inside: list[float] = []
    for steps in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**decade for decade in decades for step in steps]
        inside = [value for value in found if low * 0.999 <= value <= high * 1.001]
        if len(inside) <= most:
            break
    if len(inside) > most:
        inside = inside[:: math.ceil(len(inside) / most)]
    if len(inside) < LEAST_TICKS:
        even = MaxNLocator(most - 1, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        inside = [float(value) for value in even if low * 0.999 <= value <= high * 1.001]
    return inside if len(inside) >= LEAST_TICKS else [low, high]


def short(value: float) -> str:
    """Return a tick's number: thousands as k, tiny and huge ones as powers of ten."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4g}"
    if 1e4 <= abs(value) < 1e6:
        return f"{value / 1e3:g}k"
    exponent = math.floor(math.log10(abs(value)))
    mantissa = value / 10.0**exponent
    power = f"10{str(exponent).translate(RAISED)}"
    return power if abs(mantissa - 1) < 1e-9 else f"{mantissa:.3g}·{power}"
