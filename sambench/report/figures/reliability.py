"""Reliability curves from stored predictions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sambench.analysis.means import cell_mean
from sambench.analysis.metrics import find_metric
from sambench.analysis.reliability import BINS, Reliability, reliability
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.figures.panels import panels
from sambench.report.figures.wording import number_of_runs
from sambench.report.picture import Picture
from sambench.report.style import BLUE, GREY, LINE, SMALL, plain_png

TITLE = "Reliability curves"
Floats = NDArray[np.float64]
LEAST_IMAGES = 10
"""Bins of fewer images are not drawn: their accuracy would be chance."""


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw a panel for each optimizer, the baseline's curve in grey in all of them."""
    what = f"{TITLE}, {setting.name}"
    runs = {line.label: material.predictions(line) for line in setting.lines}
    curves = {label: reliability(found) for label, found in runs.items() if found}
    if not curves:
        yield LeftOut(what=what, why="no completed run has stored predictions")
        return
    figure, grid = panels(list(curves), x="Confidence", y="Accuracy")
    first = next(iter(curves))
    classes = max(found[0].probabilities.shape[1] for found in runs.values() if found)
    low = 1 / classes if classes == 2 else 0.0
    errors = {line.label: cell_mean(line.completed, find_metric("ece")) for line in setting.lines}
    for ax, (label, curve) in zip(grid, curves.items(), strict=True):
        ax.plot([0, 1], [0, 1], color=GREY, lw=0.5, ls=(0, (1, 2)))
        if label != first:
            ax.plot(*_drawn(curves[first]), color=GREY, lw=0.8)
        ax.plot(*_drawn(curve), "o-", color=BLUE, lw=LINE, ms=2.6, mew=0, gid="curve")
        error = errors[label]
        if error is not None:
            ax.text(0.97, 0.05, f"ECE {error.mean:.3f}", size=SMALL, ha="right", va="bottom",
                    transform=ax.transAxes)  # fmt: skip
        ax.set(xlim=(low, 1.02), ylim=(0, 1.02), yticks=[0, 0.5, 1])
        ax.set_xticks([low, (1 + low) / 2, 1], [f"{v:g}".lstrip("0") or "0" for v in
                                                (low, (1 + low) / 2, 1)])  # fmt: skip
        ax.set_yticklabels(["0", ".5", "1"])
    counts = number_of_runs(len(found) for found in runs.values() if found)
    yield Picture(
        stem=setting.stem("reliability"),
        title=what,
        caption=(
            "Share of test images that are classified rightly against the probability of their "
            f"most probable class, in {BINS} equal bins over {counts} of each optimizer; bins of "
            f"fewer than {LEAST_IMAGES} images are left out. On the dotted line confidence is "
            f"accuracy; below it, runs are overconfident. ECE: mean over runs of the expected "
            f"calibration error. Grey is {first}."
        ),
        png=plain_png(figure),
    )


def _drawn(curve: Reliability) -> tuple[Floats, Floats]:
    enough = curve.images >= LEAST_IMAGES
    return curve.confidence[enough], curve.accuracy[enough]
