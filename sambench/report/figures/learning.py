"""Learning curves on three axes: epochs, gradient evaluations, seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from sambench.analysis.learning import AXES, EPOCH, PASSES, SECONDS, LearningCurve, learning_curve
from sambench.analysis.means import cell_mean
from sambench.analysis.metrics import find_metric
from sambench.report.figures.axes import log_axis
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.figures.panels import panels
from sambench.report.figures.wording import number_of_runs
from sambench.report.picture import Picture
from sambench.report.style import (
    BLUE,
    COLUMN,
    GREEN,
    GREY,
    LINE,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    SMALL,
    VERMILION,
    bare,
    place,
    plain_png,
    sheet,
)

TITLE = "Learning curves"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
HIGHLIGHTED = 3
"""How many stand out beside the baseline, where all would be too many."""
NAMES = {EPOCH: "Epochs", PASSES: "Gradient evaluations", SECONDS: "Training time (s)"}
LEFT, ABOVE, BELOW, HIGH = 0.5, 0.08, 0.42, 1.15
Floats = NDArray[np.float64]
Curves = Mapping[str, LearningCurve]


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw all optimizers on three axes; of many, also a panel for each."""
    quantity, curves = _curves(material, setting)
    what = f"{TITLE}, {setting.name}"
    if not curves:
        yield LeftOut(what=what, why="no completed run has a history of epochs")
        return
    named = _named(setting, curves)
    caption = _caption(setting, quantity, curves)
    many = len(curves) > len(named)
    others = " The others, in grey, have a panel each in the next figure." if many else ""
    best = f" In colour, beside the baseline: the {HIGHLIGHTED} of highest test accuracy."
    yield Picture(
        stem=setting.stem("learning"),
        title=what,
        caption=caption + (best if many else "") + others,
        png=_overlay(curves, named, quantity, setting.baseline),
    )
    if many:
        yield Picture(
            stem=setting.stem("learning-each"),
            title=f"{TITLE}, each optimizer, {setting.name}",
            caption=f"{caption} In grey: {setting.baseline or 'the first optimizer'}.",
            png=_each(curves, quantity),
        )


def _curves(material: Material, setting: Setting) -> tuple[str, dict[str, LearningCurve]]:
    """Return validation accuracy where every run has it, training loss otherwise."""
    histories = {line.label: material.histories(line) for line in setting.lines}
    histories = {label: runs for label, runs in histories.items() if runs}
    validated = all(
        epochs and epochs[-1].get("validation_accuracy") is not None
        for runs in histories.values()
        for epochs in runs
    )
    quantity = "validation_accuracy" if validated and histories else "train_loss"
    found = {
        label: learning_curve(runs, quantity, geometric=quantity == "train_loss")
        for label, runs in histories.items()
    }
    return quantity, {label: curve for label, curve in found.items() if curve is not None}


def _named(setting: Setting, curves: Curves) -> list[str]:
    """Return the optimizers that get a colour: all that colours can tell apart, or a few."""
    labels = list(curves)
    if len(labels) <= len(COLOURS) + 1:
        return labels
    cells = {
        line.label: cell_mean(line.completed, find_metric("accuracy")) for line in setting.lines
    }
    means = {label: cell.mean for label, cell in cells.items() if cell is not None}
    others = [label for label in labels if label != setting.baseline]
    others.sort(key=lambda label: -means.get(label, 0.0))
    first = [label for label in labels if label == setting.baseline]
    return [*first, *others[:HIGHLIGHTED]]


def _overlay(curves: Curves, named: Sequence[str], quantity: str, baseline: str | None) -> bytes:
    columns = 4 if max(map(len, named)) < 8 else 3 if max(map(len, named)) < 14 else 1
    key = 0.15 * -(-len(named) // columns) + 0.06
    figure = sheet(3 * (ABOVE + HIGH + BELOW) + key)
    colours = iter(zip(COLOURS, STYLES, strict=True))
    looks = {label: ("black", "-") if label == baseline else next(colours) for label in named}
    for number, axis in enumerate(AXES):
        top = key + number * (ABOVE + HIGH + BELOW) + ABOVE
        ax = place(figure, LEFT, top, COLUMN - LEFT - 0.1, HIGH)
        for label, curve in curves.items():
            if label not in looks:
                ax.plot(curve.spent[axis], _scaled(curve.mean, quantity), color=PALE, lw=0.5)
        for label, (colour, style) in looks.items():
            _curve(ax, curves[label], axis, quantity, colour, style, label)
        _finish(ax, quantity, curves.values())
        ax.set_xlabel(NAMES[axis])
        ax.set_xlim(left=0)
        ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=axis == EPOCH))
        bare([ax])
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), fontsize=SMALL, frameon=False, ncols=columns,
        loc="upper center", borderaxespad=0.15, handlelength=2.0, columnspacing=1.0,
    )  # fmt: skip
    return plain_png(figure)


def _each(curves: Curves, quantity: str) -> bytes:
    figure, grid = panels(list(curves), x=NAMES[PASSES], y=_name(quantity), shape=0.72, left=0.5)
    first = next(iter(curves))
    most = max(curve.spent[PASSES][-1] for curve in curves.values())
    for ax, (label, curve) in zip(grid, curves.items(), strict=True):
        if label != first:
            _curve(ax, curves[first], PASSES, quantity, GREY, "-", first, band=False)
        _curve(ax, curve, PASSES, quantity, BLUE, "-", label)
        _finish(ax, quantity, curves.values())
        ax.set_ylabel("")
        ax.set_xlim(0, most * 1.02)
        ax.locator_params(axis="x", nbins=3)
    return plain_png(figure)


def _curve(
    ax: Axes, curve: LearningCurve, axis: str, quantity: str, colour: str, style: Any,
    label: str, *, band: bool = True,
) -> None:  # fmt: skip
    x = curve.spent[axis]
    if band and curve.runs > 1:
        low, high = _scaled(curve.low, quantity), _scaled(curve.high, quantity)
        ax.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
    ax.plot(x, _scaled(curve.mean, quantity), color=colour, ls=style, lw=LINE, label=label)


def _finish(ax: Axes, quantity: str, curves: Iterable[LearningCurve]) -> None:
    ax.set_ylabel(_name(quantity))
    if quantity == "train_loss":
        ends = [float(v) for curve in curves for v in (curve.low.min(), curve.high.max())]
        low, high = max(min(ends), 1e-8), max(ends)
        log_axis(ax, "y", low, high, most=4)
        ax.set_ylim(low / 1.1, high * 1.1)


def _scaled(values: Floats, quantity: str) -> Floats:
    return values if quantity == "train_loss" else 100 * values


def _name(quantity: str) -> str:
    return "Training loss" if quantity == "train_loss" else "Validation accuracy (%)"


def _caption(setting: Setting, quantity: str, curves: Curves) -> str:
    counts = number_of_runs(curve.runs for curve in curves.values())
    what = "geometric mean" if quantity == "train_loss" else "mean"
    why = (
        " (nats; there is no validation part, and the test part is read once, at the end)"
        if quantity == "train_loss"
        else ""
    )
    several = any(curve.runs > 1 for curve in curves.values())
    band = f"; {what} and band of one standard deviation over" if several else ","
    return (
        f"{_name(quantity)}{why} at the end of each epoch{band} {counts} of each optimizer, as far "
        "as all its runs went."
    )
