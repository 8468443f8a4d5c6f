"""Reliability curves from stored predictions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sambench.analysis.curves import BINS, Reliability, reliability
from sambench.analysis.metrics import find_metric
from sambench.analysis.units import cell_of
from sambench.report.figures.material import LeftOut, Material, Setting, number_of_runs
from sambench.report.style import COLUMN, GREY, LINE, PALE, SMALL, Picture, bare, place, sheet

TITLE = "Reliability curves"
Floats = NDArray[np.float64]
LEAST_IMAGES = 10
"""Bins of fewer images are not drawn: their accuracy would be chance."""
SIDE = 2.3


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw the baseline and the leaders in colour over the others in grey."""
    what = f"{TITLE}, {setting.name}"
    runs = {line.label: material.predictions(line) for line in setting.lines}
    curves = {label: reliability(found) for label, found in runs.items() if found}
    if not curves:
        yield LeftOut(what=what, why="no completed run has stored predictions")
        return
    titles = {line.label: line.title for line in setting.lines}
    looks = {label: look for label, look in setting.looks().items() if label in curves}
    classes = max(found[0].probabilities.shape[1] for found in runs.values() if found)
    figure = sheet(SIDE + 0.5)
    ax = place(figure, (COLUMN - SIDE) / 2 + 0.1, 0.08, SIDE, SIDE)
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.5, ls=(0, (1, 2)))
    for label, curve in curves.items():
        if label not in looks:
            ax.plot(*_drawn(curve), color=PALE, lw=0.6)
    for label, (colour, style) in looks.items():
        line = next(line for line in setting.lines if line.label == label)
        error = cell_of(setting.panel.group, line, find_metric("ece")).mean
        text = titles[label] if error is None else f"{titles[label]}, ECE {error:.3f}"
        ax.plot(*_drawn(curves[label]), marker="o", ms=2.4, mew=0, color=colour, ls=style, lw=LINE,
                label=text, gid="curve")  # fmt: skip
    low = 0.5 if classes == 2 else 0.0
    ax.set(xlim=(low, 1.02), ylim=(low, 1.02), xlabel="Confidence", ylabel="Accuracy")
    ax.legend(fontsize=SMALL, frameon=False, loc="lower right", handlelength=1.6)
    bare([ax])
    counts = number_of_runs(len(found) for found in runs.values() if found)
    others = " Grey: the other optimizers." if len(curves) > len(looks) else ""
    yield Picture(
        stem=setting.stem("reliability"),
        title=what,
        caption=(
            "Share of test images that are classified rightly against the probability of their "
            f"most probable class, in {BINS} equal bins over {counts} of each optimizer; bins of "
            f"fewer than {LEAST_IMAGES} images are left out. On the dotted line confidence is "
            "accuracy; below it, runs are overconfident. ECE: mean over runs of the expected "
            f"calibration error, {BINS} bins too.{others}"
        ),
        figure=figure,
    )


def _drawn(curve: Reliability) -> tuple[Floats, Floats]:
    enough = curve.images >= LEAST_IMAGES
    return curve.confidence[enough], curve.accuracy[enough]
