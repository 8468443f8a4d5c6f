"""What training costs: accuracy against cost, cost to a target accuracy, learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sambench.analysis.histories import (
    AXES,
    EPOCH,
    PASSES,
    SECONDS,
    LearningCurve,
    choose_target,
    cost_to_target,
    learning_curve,
    median_cost,
)
from sambench.analysis.metrics import find_metric
from sambench.analysis.units import Cell
from sambench.report.figures.layout import (
    PERCENT,
    RUNS_BELOW,
    beside,
    cost_axis,
    focus,
    label_points,
    log_axis,
    named_points,
    round_ticks,
    rows,
)
from sambench.report.figures.material import Drawn, Material, Setting, number_of_runs
from sambench.report.style import (
    BLUE,
    COLUMN,
    GREY,
    LINE,
    PALE,
    SMALL,
    bare,
    place,
    sheet,
)

COSTS = (PASSES, SECONDS)
LEFT, ABOVE, BELOW, HIGH = 0.5, 0.08, 0.42, 1.15
LOSS, VALIDATION = "train_loss", "validation_accuracy"
NAMES = {EPOCH: "Epochs", PASSES: "Gradient evaluations", SECONDS: "Training time (s)"}
Curves = Mapping[str, LearningCurve]
Point = tuple[str, float, Cell, bool]
"""Title of an optimizer, its mean cost, its accuracy, and whether it is one of the named."""


def cost(_: Material, setting: Setting) -> Drawn:
    """Draw accuracy against gradient evaluations above, training time below."""
    drawn = [(name, found) for name in COSTS if len(found := _points(setting, name)) > 1]
    if not drawn:
        return "fewer than two optimizers have an accuracy and a cost"
    names = [_beyond(title, cell) for title, _, cell, _ in drawn[0][1]]
    figure, panels = named_points(len(drawn), names, ABOVE)
    for ax, (name, points) in zip(panels, drawn, strict=True):
        _accuracy_and_cost(ax, find_metric(name).title, points)
    machines = sorted(
        {
            str(record.environment.get("gpu") or record.environment.get("cpu"))
            for record in setting.panel.group.completed
            if record.environment
        }
    )
    counts = number_of_runs(len(cell.values) for _, _, cell, _ in drawn[0][1])
    return figure, (
        f"Test accuracy against the cost of training, means over {counts} of each optimizer; "
        "bars: 95 % intervals of the accuracy, each by itself. A triangle and a number stand "
        "for an accuracy below the edge. Seconds are of "
        f"{'; '.join(machines) or 'an unknown machine'}; gradient evaluations do not depend on "
        "the machine."
    )


def _points(setting: Setting, cost: str) -> list[Point]:
    return [
        (line.title, spent, setting.accuracies[line.label], line.label in setting.named)
        for line in setting.lines
        if line.label in setting.accuracies and (spent := setting.cell(line, cost).mean) is not None
    ]


def _accuracy_and_cost(ax: Axes, title: str, points: Sequence[Point]) -> None:
    cost_axis(ax, [cost for _, cost, _, _ in points])
    cells = [cell for _, _, cell, _ in points]
    sound = [cell for cell in cells if not cell.collapsed] or cells
    ends = [end for cell in sound if cell.n > 2 for end in (cell.low, cell.high) if end]
    low, high = focus([*(cell.mean or 0.0 for cell in sound), *ends], PERCENT)
    ax.set_ylim(low, high)
    for _, cost, cell, named in points:
        colour = BLUE if named else PALE
        if cell.low is not None and cell.high is not None:
            ax.vlines(cost, cell.low, cell.high, color=colour, lw=0.7, alpha=0.6, zorder=2)
        ax.plot(cost, cell.mean or 0.0, "o", color=colour, ms=3.6, mew=0, zorder=3, gid="points")
    gone = [not low <= (cell.mean or 0.0) <= high for cell in cells]
    away = [cost for (_, cost, _, _), far in zip(points, gone, strict=True) if far]
    ax.plot(away, [0.025] * len(away), "v", color=GREY, ms=4, mew=0,
            transform=ax.get_xaxis_transform(), zorder=4)  # fmt: skip
    round_ticks(ax.yaxis)
    ax.set(xlabel=title, ylabel="Test accuracy (%)")
    bare(ax)
    names = [
        _beyond(title, cell) if far else title
        for (title, _, cell, _), far in zip(points, gone, strict=True)
    ]
    heights = [max(cell.mean or 0.0, low) for cell in cells]
    label_points(ax, [cost for _, cost, _, _ in points], heights, names)


def _beyond(title: str, cell: Cell) -> str:
    return f"{title} {cell.mean or 0.0:.1f}"


def targets(material: Material, setting: Setting) -> Drawn:
    """Draw what each run and the median had spent on a target, evaluations beside seconds."""
    baseline = setting.baseline
    target = None if baseline is None else choose_target(material.histories(baseline))
    if baseline is None or target is None:
        return "the baseline's runs have no validation accuracy to aim at"
    races = [
        (line.title, found)
        for line in setting.lines
        if (found := [cost_to_target(epochs, target) for epochs in material.histories(line)])
    ]
    races.sort(key=lambda race: (median_cost(race[1], PASSES), race[1].count(None) - len(race[1])))
    figure, panels = rows([title for title, _ in races], [""] * len(COSTS), right=0.42)
    for ax, axis in zip(panels, COSTS, strict=True):
        every: list[float] = []
        for y, (_, found) in enumerate(races):
            spent = [float(epoch[axis]) for epoch in found if epoch is not None]
            ax.plot(spent, [y + RUNS_BELOW] * len(spent), "o", color=GREY, alpha=0.6, ms=2, mew=0,
                    gid="runs")  # fmt: skip
            every += spent
            middle = median_cost(found, axis)
            if math.isfinite(middle):
                ax.plot(middle, y, "o", color=BLUE, ms=4, mew=0.9, mfc="white", zorder=3,
                        gid="median")  # fmt: skip
        cost_axis(ax, every)
        ax.set_xlabel(find_metric(axis).title)
    for y, (_, found) in enumerate(races):
        beside(panels[-1], y, f"{len(found) - found.count(None)}/{len(found)}", 1.04)
    return figure, (
        f"What a run had spent at the end of the first epoch with {100 * target:.1f} % "
        f"validation accuracy, 99 % of what the median run of {baseline.title} reaches at "
        "best. Dots are runs, circles medians (none where half of the runs or more never got "
        "there); on the right how many runs of how many did. The resolution is one epoch."
    )


def learning(material: Material, setting: Setting) -> Drawn:
    """Draw the baseline and the leaders in colour over the others in grey, on three axes."""
    quantity, curves = _curves(material, setting)
    if not curves:
        return "no completed run has a history of epochs"
    best = " In colour: the baseline and the highest test accuracies; grey: the others."
    others = len(curves) > len(setting.named)
    caption = _caption(quantity, curves) + (best if others else "")
    return _drawn(setting, curves, quantity), caption


def _curves(material: Material, setting: Setting) -> tuple[str, Curves]:
    """Return validation accuracy where every run has it, training loss otherwise."""
    found = {line.label: material.histories(line) for line in setting.lines}
    histories = {label: runs for label, runs in found.items() if runs}
    validated = all(
        epochs and epochs[-1].get(VALIDATION) is not None
        for runs in histories.values()
        for epochs in runs
    )
    quantity = VALIDATION if validated and histories else LOSS
    curves = {
        label: learning_curve(runs, quantity, geometric=quantity == LOSS)
        for label, runs in histories.items()
    }
    return quantity, {label: curve for label, curve in curves.items() if curve is not None}


def _drawn(setting: Setting, curves: Curves, quantity: str) -> Figure:
    looks, titles = setting.looks(curves), setting.titles
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
        ax.set_ylabel("Training loss (nats)" if quantity == LOSS else "Validation accuracy (%)")
        if quantity == LOSS:
            low = max(min(float(curve.low.min()) for curve in curves.values()), 1e-8)
            high = max(float(curve.high.max()) for curve in curves.values())
            log_axis(ax, "y", low, high, most=4)
            ax.set_ylim(low / 1.1, high * 1.1)
        ax.set_xlabel(NAMES[axis])
        ax.set_xlim(left=0)
        round_ticks(ax.xaxis, integer=axis == EPOCH)
        bare(ax)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), fontsize=SMALL, frameon=False, ncols=columns,
        loc="upper center", borderaxespad=0.15, handlelength=2.0, columnspacing=1.0,
    )  # fmt: skip
    return figure


def _caption(quantity: str, curves: Curves) -> str:
    counts = number_of_runs(curve.runs for curve in curves.values())
    name, what, why = ("Training loss", "geometric mean", " (there is no validation part)")
    if quantity != LOSS:
        name, what, why = "Validation accuracy", "mean", ""
    several = any(curve.runs > 1 for curve in curves.values())
    band = f"; {what} and band of one standard deviation over" if several else ","
    return (
        f"{name}{why} at the end of each epoch{band} {counts} of each optimizer, as far as all its "
        "runs went."
    )
