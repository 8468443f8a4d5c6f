"""Scales and ticks that suit the numbers at hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from sambench.report.style import DPI

FAR = 5.0
"""How many widths of the middle half away from it a value is left outside."""
APART = 0.3
"""Least distance of two numbers of an axis in inches."""
LEAST_TICKS = 2
"""Numbers without which an axis cannot be read."""
WIDE = 4.0
"""Largest over smallest cost from which on factors say more than differences."""
PERCENT = (-1.0, 101.0)
"""What limits of an axis of accuracies stay within."""


def round_ticks(axis: Axis, most: int = 6, *, integer: bool = False) -> None:
    """Have evenly spaced round numbers, at most so many."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10], integer=integer))


def cost_axis(ax: Axes, values: Sequence[float]) -> None:
    """Set an x axis for costs: logarithmic where they differ by large factors."""
    known = [value for value in values if value > 0 and math.isfinite(value)]
    if not known:
        return
    low, high = min(known), max(known)
    if high / low < WIDE or len(known) < len(values):
        most = max(2, int(_inches_wide(ax) / 0.36))
        ax.xaxis.set_major_locator(MaxNLocator(min(5, most), steps=[1, 2, 2.5, 5, 10]))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
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


def focus(
    values: Sequence[float], bounds: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float]:
    """Return limits that show the values with some room, within bounds.

    A value further from the middle half than five times its width is left outside, to be marked at
    the edge, lest a diverged run press all others into a corner.
    """
    array = np.asarray(values, dtype=np.float64)
    lower, upper = np.percentile(array, [25, 75])
    far = FAR * (upper - lower)
    inside = array[(array >= lower - far) & (array <= upper + far)] if far else array
    low, high = float(inside.min()), float(inside.max())
    room = 0.06 * (high - low) or 0.01 * abs(high) or 1.0
    return max(low - room, bounds[0]), min(high + room, bounds[1])


def log_axis(ax: Axes, which: str, low: float, high: float, most: int = 5) -> None:
    """Make an axis logarithmic, with a handful of round numbers within the range."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    (ax.set_xscale if which == "x" else ax.set_yscale)("log")
    axis.set_major_locator(FixedLocator(round_numbers(low, high, most)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
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
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value).replace("-", "−")))
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
    power = rf"10^{{{exponent}}}"
    return f"${power}$" if abs(mantissa - 1) < 1e-9 else rf"${mantissa:.3g}\cdot{power}$"
