"""Learning curves on three axes: epochs, gradient evaluations, seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sambench.analysis.histories import AXES, EPOCH, PASSES, SECONDS, LearningCurve, learning_curve
from sambench.report.figures.axes import log_axis
from sambench.report.figures.material import LeftOut, Material, Setting, number_of_runs
from sambench.report.style import COLUMN, LINE, PALE, SMALL, Picture, bare, place, sheet

TITLE = "Learning curves"
NAMES = {EPOCH: "Epochs", PASSES: "Gradient evaluations", SECONDS: "Training time (s)"}
LEFT, ABOVE, BELOW, HIGH = 0.5, 0.08, 0.42, 1.15
LOSS, VALIDATION = "train_loss", "validation_accuracy"
Floats = NDArray[np.float64]
Curves = Mapping[str, LearningCurve]


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw the baseline and the leaders in colour over the others in grey, on three axes."""
    quantity, curves = _curves(material, setting)
    what = f"{TITLE}, {setting.name}"
    if not curves:
        yield LeftOut(what=what, why="no completed run has a history of epochs")
        return
    others = len(curves) > len(setting.named)
    best = " In colour: the baseline and the highest test accuracies; grey: the others."
    yield Picture(
        stem=setting.stem("learning"),
        title=what,
        caption=_caption(quantity, curves) + (best if others else ""),
        figure=_drawn(setting, curves, quantity),
    )


def _curves(material: Material, setting: Setting) -> tuple[str, dict[str, LearningCurve]]:
    """Return validation accuracy where every run has it, training loss otherwise."""
    histories = {line.label: material.histories(line) for line in setting.lines}
    histories = {label: runs for label, runs in histories.items() if runs}
    validated = all(
        epochs and epochs[-1].get(VALIDATION) is not None
        for runs in histories.values()
        for epochs in runs
    )
    quantity = VALIDATION if validated and histories else LOSS
    found = {
        label: learning_curve(runs, quantity, geometric=quantity == LOSS)
        for label, runs in histories.items()
    }
    return quantity, {label: curve for label, curve in found.items() if curve is not None}


def _drawn(setting: Setting, curves: Curves, quantity: str) -> Figure:
    looks = {label: look for label, look in setting.looks().items() if label in curves}
    titles = {line.label: line.title for line in setting.lines}
    longest = max(len(titles[label]) for label in looks)
    columns = 4 if longest < 8 else 3 if longest < 14 else 1
    key = 0.15 * -(-len(looks) // columns) + 0.06
    figure = sheet(3 * (ABOVE + HIGH + BELOW) + key)
    scale = 1.0 if quantity == LOSS else 100.0
    for number, axis in enumerate(AXES):
        top = key + number * (ABOVE + HIGH + BELOW) + ABOVE
        ax = place(figure, LEFT, top, COLUMN - LEFT - 0.1, HIGH)
        for label, curve in curves.items():
            if label not in looks:
                ax.plot(curve.spent[axis], scale * curve.mean, color=PALE, lw=0.5)
        for label, (colour, style) in looks.items():
            curve, x = curves[label], curves[label].spent[axis]
            if curve.runs > 1:
                ax.fill_between(x, scale * curve.low, scale * curve.high, color=colour, alpha=0.15,
                                lw=0)  # fmt: skip
            ax.plot(x, scale * curve.mean, color=colour, ls=style, lw=LINE, label=titles[label])
        _finish(ax, quantity, curves)
        ax.set_xlabel(NAMES[axis])
        ax.set_xlim(left=0)
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=axis == EPOCH))
        bare([ax])
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), fontsize=SMALL, frameon=False, ncols=columns,
        loc="upper center", borderaxespad=0.15, handlelength=2.0, columnspacing=1.0,
    )  # fmt: skip
    return figure


def _finish(ax: Axes, quantity: str, curves: Curves) -> None:
    ax.set_ylabel("Training loss" if quantity == LOSS else "Validation accuracy (%)")
    if quantity == LOSS:
        ends = [float(v) for c in curves.values() for v in (c.low.min(), c.high.max())]
        low, high = max(min(ends), 1e-8), max(ends)
        log_axis(ax, "y", low, high, most=4)
        ax.set_ylim(low / 1.1, high * 1.1)


def _caption(quantity: str, curves: Curves) -> str:
    counts = number_of_runs(curve.runs for curve in curves.values())
    name, what, why = ("Training loss", "geometric mean", " (nats; there is no validation part)")
    if quantity != LOSS:
        name, what, why = "Validation accuracy", "mean", ""
    several = any(curve.runs > 1 for curve in curves.values())
    band = f"; {what} and band of one standard deviation over" if several else ","
    return (
        f"{name}{why} at the end of each epoch{band} {counts} of each optimizer, as far as all its "
        "runs went."
    )
