"""Confusion matrices from stored predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from sambench.analysis.curves import confusion_matrix
from sambench.report.figures.material import (
    LeftOut,
    Material,
    Setting,
    classes_of,
    number_of_runs,
)
from sambench.report.figures.panels import panels
from sambench.report.style import SMALL, Picture

TITLE = "Confusion matrices"
MOST_NUMBERS = 3
"""Of more classes than these the shares are told by shade alone."""
MOST_NAMES = 10


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw a matrix for each optimizer, over all its runs."""
    what = f"{TITLE}, {setting.name}"
    runs = {line.title: material.predictions(line) for line in setting.lines}
    runs = {label: found for label, found in runs.items() if found}
    if not runs:
        yield LeftOut(what=what, why="no completed run has stored predictions")
        return
    counts = {
        label: np.sum([confusion_matrix(one) for one in found], axis=0)
        for label, found in runs.items()
    }
    classes = len(next(iter(counts.values())))
    names = list(classes_of(setting.lines))
    names = names if len(names) == classes else [str(k) for k in range(classes)]
    short = (
        names if max(map(len, names)) <= 10 and classes <= 3 else [str(k) for k in range(classes)]
    )
    left = 0.32 if short != names else 0.36
    figure, grid = panels(list(counts), x="Predicted class", y="True class", left=left)
    for ax, matrix in zip(grid, counts.values(), strict=True):
        _panel(ax, shares(matrix), short)
    key = "" if short == names else " Classes: " + _key(names) + "."
    yield Picture(
        stem=setting.stem("confusion"),
        title=what,
        caption=(
            "Share in percent of the test images of each true class (row) that is taken for each "
            f"class (column), over {number_of_runs(map(len, runs.values()))} of each "
            f"optimizer.{key}"
        ),
        figure=figure,
    )


def shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each row in percent of its sum; NaN for a class without an image."""
    sums = matrix.sum(axis=1, keepdims=True)
    percent: NDArray[np.float64] = np.full(matrix.shape, np.nan)
    np.divide(100.0 * matrix, sums, out=percent, where=sums > 0)
    return percent


def _panel(ax: Axes, percent: NDArray[np.float64], names: Sequence[str]) -> None:
    classes = len(percent)
    ax.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto", interpolation="nearest")
    if classes <= MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(percent):
            if np.isfinite(value):
                text = f"{value:.1f}" if classes == 2 else f"{value:.0f}"
                ax.text(column, row, text, size=SMALL, ha="center", va="center",
                        color="white" if value > 60 else "black")  # fmt: skip
    step = -(-classes // MOST_NAMES)
    places = range(0, classes, step)
    ax.set_xticks(places, [names[place] for place in places])
    ax.set_yticks(places, [names[place] for place in places])
    ax.tick_params(length=0)
    if max(map(len, names)) > 3:
        for label in ax.get_yticklabels():
            label.set(rotation=90, va="center")
    for spine in ax.spines.values():
        spine.set_visible(True)


def _key(names: Sequence[str]) -> str:
    shown = [f"{place} {name}" for place, name in enumerate(names[:MOST_NAMES])]
    return ", ".join(shown) + (", ..." if len(names) > MOST_NAMES else "")
