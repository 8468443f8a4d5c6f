"""What training costs: accuracy against cost, cost to a target accuracy, learning curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sambench.analysis import histories
from sambench.analysis.histories import EPOCH, PASSES, SECONDS, VALIDATION, LearningCurve
from sambench.analysis.metrics import Metric, find_metric
from sambench.analysis.units import Summary, device_of
from sambench.report.figures import layout
from sambench.report.figures.material import Drawn, Material, Setting, caption, number_of_runs
from sambench.report.style import BLUE, COLUMN, GREY, LINE, PALE, SMALL, bare, place, sheet

COSTS = (PASSES, SECONDS)
LEFT, ABOVE, BELOW, HIGH = 0.5, 0.08, 0.42, 1.15
LOSS = "train_loss"
Point = tuple[str, float, Summary, bool]
"""Title of an optimizer, its mean cost, its accuracy, and whether it is one of the named."""


def cost(_: Material, setting: Setting) -> Drawn:
    """Draw accuracy against gradient evaluations above, training time below."""
    drawn = [(name, found) for name in COSTS if len(found := _points(setting, name)) > 1]
    if not drawn:
        return "fewer than two optimizers have an accuracy and a cost"
    names = [_beyond(title, cell) for title, _, cell, _ in drawn[0][1]]
    figure, panels = layout.named_points(len(drawn), names, ABOVE)
    for ax, (name, points) in zip(panels, drawn, strict=True):
        _accuracy_and_cost(ax, find_metric(name), points)
    counts = number_of_runs(len(cell.values) for _, _, cell, _ in drawn[0][1])
    return figure, caption("cost", runs=counts, machines=_machines(setting))


def _machines(setting: Setting) -> list[str]:
    return sorted({device_of(run) for run in setting.group.completed if run.environment})


def _points(setting: Setting, cost: str) -> list[Point]:
    cells = setting.accuracies
    named = setting.looks(cells)
    return [
        (line.title, spent, cells[line.label], line.label in named)
        for line in setting.lines
        if line.label in cells and (spent := setting.cell(line, cost).mean) is not None
    ]


def _accuracy_and_cost(ax: Axes, metric: Metric, points: Sequence[Point]) -> None:
    titles, costs, cells, _ = zip(*points, strict=True)
    layout.cost_axis(ax, costs)
    sound = [cell for cell in cells if not cell.collapsed] or cells
    ends = [end for cell in sound if cell.n > 2 for end in (cell.low, cell.high) if end]
    highest = max(cell.mean or 0.0 for cell in cells)  # even if one of its runs collapsed
    values = [*(cell.mean or 0.0 for cell in sound), *ends, highest]
    low, high = layout.focus(values, percent=True)
    ax.set_ylim(low, high)
    for _, cost, cell, named in points:
        colour = BLUE if named else PALE
        if cell.low is not None and cell.high is not None:
            ax.vlines(cost, cell.low, cell.high, color=colour, lw=0.7, alpha=0.6, zorder=2)
        ax.plot(cost, cell.mean or 0.0, "o", color=colour, ms=3.6, mew=0, zorder=3, gid="points")
    gone = [(cell.mean or 0.0) < low for cell in cells]
    away = [*itertools.compress(costs, gone)]
    ax.plot(away, [0.025] * len(away), "v", color=GREY, ms=4, mew=0,
            transform=ax.get_xaxis_transform(), zorder=4)  # fmt: skip
    layout.percent_ticks(ax.yaxis)
    ax.set(xlabel=metric.title, ylabel="Test accuracy (%)")
    bare(ax)
    names = [
        _beyond(title, cell) if far else title
        for title, cell, far in zip(titles, cells, gone, strict=True)
    ]
    layout.label_points(ax, costs, [max(cell.mean or 0.0, low) for cell in cells], names)


def _beyond(title: str, cell: Summary) -> str:
    return f"{title} {cell.mean or 0.0:.1f}"


def targets(material: Material, setting: Setting) -> Drawn:
    """Draw what each run and the median had spent on a target, evaluations beside seconds."""
    baseline = setting.group.first
    own = material.histories(baseline) if baseline else []
    if not baseline or (target := histories.choose_target(own)) is None:
        what = "validation accuracy to aim at" if own else "history of epochs that can be read"
        return f"the baseline's runs have no {what}"
    races = [
        (line.title, [histories.cost_to_target(epochs, target) for epochs in known])
        for line in setting.lines
        if (known := material.histories(line))
    ]
    medians = histories.median_cost
    races.sort(key=lambda race: (medians(race[1], PASSES), race[1].count(None) - len(race[1])))
    figure, panels = layout.rows([title for title, _ in races], [""] * len(COSTS), right=0.42)
    for ax, axis in zip(panels, COSTS, strict=True):
        every: list[float] = []
        for y, (_, found) in enumerate(races):
            spent = [float(epoch[axis]) for epoch in found if epoch is not None]
            layout.single_runs(ax, y, spent)
            every += spent
            middle = medians(found, axis)
            if math.isfinite(middle):
                ax.plot(middle, y, "o", color=BLUE, ms=4, mew=0.9, mfc="white", zorder=3,
                        gid="median")  # fmt: skip
        layout.cost_axis(ax, every)
        ax.set_xlabel(find_metric(axis).title.replace(" ", "\n", 1))  # panels may be narrow
    for y, (_, found) in enumerate(races):
        layout.beside(panels[-1], y, f"{len(found) - found.count(None)}/{len(found)}", 1.04)
    return figure, caption(
        "targets",
        target=f"{100 * target:.1f}",
        baseline=baseline.title,
        machines=_machines(setting),
    )


def learning(material: Material, setting: Setting) -> Drawn:
    """Draw the baseline and the leaders in colour over the others in grey, on three axes."""
    known = {line.label: runs for line in setting.lines if (runs := material.histories(line))}
    every = [epoch for runs in known.values() for epochs in runs for epoch in epochs]
    validated = all(epoch.get(VALIDATION) is not None for epoch in every)
    quantity = VALIDATION if validated else LOSS  # this every run has
    curves = {
        label: curve
        for label, runs in known.items()
        if (curve := histories.learning_curve(runs, quantity, geometric=quantity == LOSS))
    }
    if not curves:
        return "no completed run has a history of epochs that can be read"
    return _drawn(setting, curves, quantity), caption(
        "learning",
        loss=quantity == LOSS,
        several=any(curve.runs > 1 for curve in curves.values()),
        runs=number_of_runs(curve.runs for curve in curves.values()),
        others=len(curves) > len(setting.looks(curves)),
        machines=_machines(setting),
    )


def _drawn(setting: Setting, curves: Mapping[str, LearningCurve], quantity: str) -> Figure:
    looks, titles = setting.looks(curves), setting.titles
    longest = max(len(titles[label]) for label in looks)
    columns = 4 if longest < 8 else 3 if longest < 14 else 1
    key = 0.15 * -(-len(looks) // columns) + 0.06
    figure = sheet(3 * (ABOVE + HIGH + BELOW) + key)
    scale = 1.0 if quantity == LOSS else 100.0
    for number, axis in enumerate(histories.AXES):
        top = key + number * (ABOVE + HIGH + BELOW) + ABOVE
        ax = place(figure, LEFT, top, COLUMN - LEFT - 0.1, HIGH)
        for label, curve in curves.items():
            if label not in looks:
                ax.plot(curve.spent[axis], scale * curve.mean, color=PALE, lw=0.5)
        for label, (colour, style) in looks.items():
            curve, x = curves[label], curves[label].spent[axis]
            ax.fill_between(x, scale * curve.low, scale * curve.high, color=colour, alpha=0.15,
                            lw=0)  # fmt: skip
            ax.plot(x, scale * curve.mean, color=colour, ls=style, lw=LINE, label=titles[label])
        ax.set_ylabel("Training loss (nats)" if quantity == LOSS else "Validation accuracy (%)")
        if quantity == LOSS:
            low = max(min(float(curve.low.min()) for curve in curves.values()), 1e-8)
            high = max(float(curve.high.max()) for curve in curves.values())
            layout.log_axis(ax, "y", low, high, most=4)
            ax.set_ylim(low / 1.1, high * 1.1)
        ax.set_xlabel("Epochs" if axis == EPOCH else find_metric(axis).title)
        ax.set_xlim(left=0)
        layout.round_ticks(ax.xaxis, integer=axis == EPOCH)
        ax.xaxis.set_major_formatter(lambda value, _: layout.short(value))
        bare(ax)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), fontsize=SMALL, frameon=False, ncols=columns,
        loc="upper center", borderaxespad=0.15, handlelength=2.0, columnspacing=1.0,
    )  # fmt: skip
    return figure
