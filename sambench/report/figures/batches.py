"""Distributions over batches of what was measured of each batch's Hessian."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from sambench.analysis.groups import Line
from sambench.analysis.metrics import collapsed
from sambench.report.figures.axes import asinh_axis, log_axis
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.figures.rows import rows
from sambench.report.style import BLUE, PALE, Picture
from sambench.store.record import RunRecord

TITLE = "Curvature of single batches"
PERCENTILES = (5, 25, 50, 75, 95)
Floats = NDArray[np.float64]


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw the values of all batches of all runs of each optimizer, and their percentiles."""
    what = f"{TITLE}, {setting.name}"
    definition = _definition(setting)
    values = {} if definition is None else _values(setting, definition)
    if definition is None or not values:
        yield LeftOut(what=what, why="no run that has not collapsed has a batch spectrum")
        return
    labels = sorted(values, key=lambda label: float(np.median(values[label])))
    made = rows(labels)
    (ax,) = made.panels
    _panel(ax, [values[label] for label in labels])
    name = definition.removeprefix("batch-").replace("-", " ")
    ax.set_xlabel(f"{name.capitalize()} of a batch's Hessian")
    yield Picture(
        stem=setting.stem("batches"),
        title=what,
        caption=(
            f"{name.capitalize()} of the Hessian of each batch's mean loss: grey dots are the "
            "batches of all runs, circles their medians, thick lines the middle half, thin lines "
            "from the 5th to the 95th percentile. Collapsed runs are left out."
        ),
        figure=made.figure,
    )


def percentiles(values: Floats) -> Floats:
    """Return the percentiles that are drawn."""
    return np.percentile(values, PERCENTILES)


def _definition(setting: Setting) -> str | None:
    """Return what was measured in most of the runs."""
    found = Counter(
        str((record.hessian or {}).get("definition"))
        for line in setting.lines
        for record in line.completed
        if _of_batches(record) is not None
    )
    return found.most_common(1)[0][0] if found else None


def _values(setting: Setting, definition: str) -> dict[str, Floats]:
    found = {line.title: _of_line(line, definition) for line in setting.lines}
    return {label: values for label, values in found.items() if len(values)}


def _of_line(line: Line, definition: str) -> Floats:
    parts = [
        values
        for record in line.completed
        if not collapsed(record)
        and (record.hessian or {}).get("definition") == definition
        and (values := _of_batches(record)) is not None
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _of_batches(record: RunRecord) -> Floats | None:
    """Return the finite values of a record's batches; None where there is none."""
    section = (record.hessian or {}).get("batch_spectrum")
    values = section.get("values") if isinstance(section, Mapping) else None
    if not isinstance(values, list) or not values:
        return None
    try:
        array = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return None
    array = array[np.isfinite(array)]
    return array if len(array) else None


def _panel(ax: Axes, of_rows: list[Floats]) -> None:
    for y, values in enumerate(of_rows):
        low, quarter, middle, three, high = percentiles(values)
        ax.plot(values, np.full(len(values), y), "|", color=PALE, ms=4, mew=0.4, zorder=1)
        ax.hlines(y, low, high, color=BLUE, lw=0.8, zorder=2)
        ax.hlines(y, quarter, three, color=BLUE, lw=2.6, zorder=3)
        ax.plot(middle, y, "o", color=BLUE, mfc="white", ms=3.6, mew=0.9, zorder=4, gid="median")
    every = np.concatenate(of_rows)
    least, most = float(every.min()), float(every.max())
    if least > 0:
        room = (most / least) ** 0.04 if most > least else 1.5
        log_axis(ax, "x", least / room, most * room)
        ax.set_xlim(least / room, most * room)
    else:
        width = float(np.median(np.abs(every))) / 10 or 1.0
        asinh_axis(ax, 1.3 * least - width, 1.3 * most + width, width)
        ax.axvline(0, color=PALE, lw=0.6, zorder=0)
