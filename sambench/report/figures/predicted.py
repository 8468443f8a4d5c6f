"""Figures of stored predictions: ROC and reliability curves, confusion matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sambench.analysis.curves import BINS, RATES, confusion_matrix, mean_roc, reliability
from sambench.analysis.inference import Floats
from sambench.analysis.predictions import Predictions
from sambench.report import style
from sambench.report.figures import layout
from sambench.report.figures.material import Drawn, Material, Setting, caption, number_of_runs
from sambench.report.style import COLUMN, GREY, PALE, SMALL
from sambench.report.table import isolated

LEAST_IMAGES = 10
"""Bins of fewer images are not drawn: their accuracy would be chance."""
MOST_NUMBERS, MOST_NAMES, FEWER_NAMES = 3, 10, 5
"""Of more classes the shares are told by shade alone, and not every class is named, but a few."""
SIDE = 2.3


def _over_grey(
    setting: Setting,
    curves: Mapping[str, tuple[Floats, Floats]],
    numbers: Mapping[str, str],
    **points: Any,
) -> tuple[Figure, Axes]:
    """Draw the baseline and the leaders in colour over the others in grey, and the diagonal."""
    looks = setting.looks(curves)
    texts = {label: f"{setting.titles[label]}{numbers[label]}" for label in looks}
    columns = 2 if max(map(len, texts.values())) < style.CHARACTERS * 0.4 else 1
    key = 0.15 * -(-len(looks) // columns) + 0.08
    figure = style.sheet(key + SIDE + 0.42)
    ax = style.place(figure, (COLUMN - SIDE) / 2 + 0.1, key, SIDE, SIDE)
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.5, ls=(0, (1, 2)))
    for label, curve in curves.items():
        if label not in looks:
            ax.plot(*curve, color=PALE, lw=0.6)
    for label, (colour, dashes) in looks.items():
        ax.plot(
            *curves[label], color=colour, ls=dashes, lw=style.LINE, label=texts[label], **points
        )
    figure.legend(
        fontsize=SMALL, frameon=False, ncols=columns, loc="upper center", borderaxespad=0.15,
        handlelength=1.6, columnspacing=1.0,
    )  # fmt: skip
    style.bare(ax)
    return figure, ax


def roc(material: Material, setting: Setting) -> Drawn:
    """Draw mean ROC curves."""
    found = {line.label: mean_roc(material.predictions(line)) for line in setting.lines}
    curves = {label: curve for label, curve in found.items() if curve is not None}
    if not curves:
        return "no completed run has predictions of test images of several classes that can be read"
    drawn = {label: (RATES, mean) for label, (mean, _) in curves.items()}
    numbers = {
        label: f", {np.mean(areas):.3f}"
        + (f" ± {np.std(areas, ddof=1):.3f}" if len(areas) > 1 else "")
        for label, (_, areas) in curves.items()
    }
    figure, ax = _over_grey(setting, drawn, numbers, gid="mean")
    ax.set(xlim=(-0.02, 1), ylim=(0, 1.02), xlabel="False positive rate",
           ylabel="True positive rate")  # fmt: skip
    counts = number_of_runs(len(areas) for _, areas in curves.values())
    others = len(curves) > len(setting.looks(curves))
    return figure, caption("roc", names=setting.group.classes, runs=counts, others=others)


def _predicted(material: Material, setting: Setting) -> dict[str, list[Predictions]]:
    found = {line.label: material.predictions(line) for line in setting.lines}
    return {label: runs for label, runs in found.items() if runs}


def reliability_curves(material: Material, setting: Setting) -> Drawn:
    """Draw accuracy against confidence."""
    runs = _predicted(material, setting)
    if not runs:
        return "no completed run has predictions that can be read"
    errors = {line.label: setting.cell(line, "ece").mean for line in setting.lines}
    curves: dict[str, tuple[Floats, Floats]] = {}
    for label, found in runs.items():
        curve = reliability(found)
        enough = curve.images >= LEAST_IMAGES
        curves[label] = curve.confidence[enough], curve.accuracy[enough]
    numbers = {k: "" if error is None else f", ECE {error:.3f}" for k, error in errors.items()}
    figure, ax = _over_grey(setting, curves, numbers, marker="o", ms=2.4, mew=0, gid="curve")
    classes = max(found[0].probabilities.shape[1] for found in runs.values())
    low = 0.5 if classes == 2 else 0.0
    least = min(float(accuracy.min(initial=1.0)) for _, accuracy in curves.values())
    ax.set(xlim=(low, 1.02), ylim=(min(low, least - 0.02), 1.02), xlabel="Confidence",
           ylabel="Accuracy")  # fmt: skip
    return figure, caption(
        "reliability",
        runs=number_of_runs(map(len, runs.values())),
        bins=BINS,
        least=LEAST_IMAGES,
        others=len(curves) > len(setting.looks(curves)),
    )


def confusion(material: Material, setting: Setting) -> Drawn:
    """Draw a matrix for each optimizer, over all its runs."""
    runs = _predicted(material, setting)
    if not runs:
        return "no completed run has predictions that can be read"
    matrices = [np.sum([*map(confusion_matrix, found)], axis=0) for found in runs.values()]
    classes = len(matrices[0])
    numbers = [str(k) for k in range(classes)]
    told = [*setting.group.classes]
    names = told if len(told) == classes else numbers
    titles = [setting.titles[label] for label in runs]
    figure, grid = layout.panels(titles, x="Predicted class", y="True class", left=0.36)
    known = classes <= MOST_NUMBERS and not style.not_writable("".join(names))
    widths = sorted(style.text_width(figure, name) for name in (names if known else numbers))
    room = 2 * COLUMN * figure.axes[0].get_position().width / classes  # for two that are neighbours
    short = names if known and sum(widths[-2:]) < room - 0.02 else numbers
    for ax, matrix in zip(grid, matrices, strict=True):
        sums = matrix.sum(axis=1, keepdims=True)
        percent = np.full(matrix.shape, np.nan)
        _matrix(ax, np.divide(100.0 * matrix, sums, out=percent, where=sums > 0), short)
    shown = ", ".join(f"{place} {isolated(name)}" for place, name in enumerate(names[:MOST_NAMES]))
    more = len(names) - MOST_NAMES
    key = f"{shown} and {more} more" if more > 0 else shown
    counts = number_of_runs(map(len, runs.values()))
    return figure, caption("confusion", runs=counts, key="" if short == names else key)


def _matrix(ax: Axes, percent: Floats, names: Sequence[str]) -> None:
    classes = len(percent)
    ax.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto", interpolation="nearest")
    if classes <= MOST_NUMBERS:
        for (row, column), value in np.ndenumerate(percent):
            if np.isfinite(value):
                text = f"{value:.1f}" if classes == 2 else f"{value:.0f}"
                ax.text(column, row, text, size=SMALL, ha="center", va="center",
                        color="white" if value > 60 else "black")  # fmt: skip
    places = range(0, classes, 1 if classes <= MOST_NAMES else -(-classes // FEWER_NAMES))
    ax.set_xticks(places, [names[place] for place in places])
    ax.set_yticks(places, [names[place] for place in places])
    ax.tick_params(length=0)
    if max(map(len, names)) > 3:
        for label in ax.get_yticklabels():
            label.set(rotation=90, va="center")
    for spine in ax.spines.values():
        spine.set_visible(True)
