"""ROC curves from stored predictions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sambench.analysis.curves import MeanRoc, mean_roc
from sambench.report.figures.material import (
    LeftOut,
    Material,
    Setting,
    classes_of,
    number_of_runs,
)
from sambench.report.style import COLUMN, GREY, LINE, PALE, SMALL, Picture, bare, place, sheet

TITLE = "ROC curves"
SIDE = 2.3


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw the baseline and the leaders in colour over the others in grey."""
    what = f"{TITLE}, {setting.name}"
    found = {line.label: mean_roc(material.predictions(line)) for line in setting.lines}
    curves = {label: curve for label, curve in found.items() if curve is not None}
    if not curves:
        yield LeftOut(what=what, why="no completed run has stored predictions of two classes")
        return
    titles = {line.label: line.title for line in setting.lines}
    looks = {label: look for label, look in setting.looks().items() if label in curves}
    figure = sheet(SIDE + 0.5)
    ax = place(figure, (COLUMN - SIDE) / 2 + 0.1, 0.08, SIDE, SIDE)
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.5, ls=(0, (1, 2)))
    for label, curve in curves.items():
        if label not in looks:
            ax.plot(curve.false_positive_rates, curve.mean, color=PALE, lw=0.6)
    for label, (colour, style) in looks.items():
        curve = curves[label]
        ax.plot(curve.false_positive_rates, curve.mean, color=colour, ls=style, lw=LINE,
                label=f"{titles[label]}, {_area(curve)}", gid="mean")  # fmt: skip
    ax.set(xlim=(-0.02, 1), ylim=(0, 1.02), xlabel="False positive rate",
           ylabel="True positive rate")  # fmt: skip
    ax.legend(fontsize=SMALL, frameon=False, loc="lower right", handlelength=1.6)
    bare([ax])
    yield Picture(
        stem=setting.stem("roc"), title=what, caption=_caption(setting, curves), figure=figure
    )


def _area(curve: MeanRoc) -> str:
    mean = f"{np.mean(curve.areas):.3f}"
    return mean if len(curve.areas) < 2 else f"{mean} ± {np.std(curve.areas, ddof=1):.3f}"


def _caption(setting: Setting, curves: dict[str, MeanRoc]) -> str:
    names = classes_of(setting.lines)
    of = f"{names[1]} against {names[0]}" if len(names) == 2 else "each class against the rest"
    average = "" if len(names) == 2 else ", averaged over classes"
    counts = number_of_runs(len(curve.areas) for curve in curves.values())
    others = " Grey: the other optimizers." if len(curves) > len(setting.named) else ""
    return (
        f"Test images, {of}{average}: the mean over {counts} of each optimizer at each false "
        f"positive rate. Numbers are the area under the curve, mean ± SD over runs.{others}"
    )
