"""Accuracy against cost, with the Pareto front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sambench.analysis.means import CellMean, cell_mean
from sambench.analysis.metrics import collapsed, find_metric, find_metrics
from sambench.analysis.pareto import pareto_front
from sambench.report.figures.axes import cost_axis, focus
from sambench.report.figures.labels import height_for, label_points
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.figures.wording import number_of_runs
from sambench.report.picture import Picture
from sambench.report.style import (
    BLUE,
    COLUMN,
    GREY,
    VERMILION,
    bare,
    place,
    plain_png,
    sheet,
    text_width,
)

TITLE = "Accuracy against cost"
LEFT, ABOVE, BELOW = 0.52, 0.08, 0.42


@dataclass(frozen=True, kw_only=True)
class Point:
    """One optimizer: its label, mean cost, and accuracy."""

    label: str
    cost: float
    accuracy: CellMean


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw gradient evaluations above, training time below."""
    what = f"{TITLE}, {setting.name}"
    costs = find_metrics(["gradient_evaluations", "train_seconds"])
    drawn = [
        (cost.title, points) for cost in costs if len(points := _points(setting, cost.name)) > 1
    ]
    if not drawn:
        yield LeftOut(what=what, why="fewer than two optimizers have an accuracy and a cost")
        return
    names = drawn[0][1]
    high = height_for(len(names))
    figure = sheet(len(drawn) * (ABOVE + high + BELOW))
    right = 0.32 + max(text_width(figure, _beyond(point)) for point in drawn[0][1])
    for number, (title, points) in enumerate(drawn):
        top = number * (ABOVE + high + BELOW) + ABOVE
        ax = place(figure, LEFT, top, COLUMN - LEFT - right, high)
        _panel(ax, title, points)
    machines = sorted(
        {
            str(record.environment.get("gpu") or record.environment.get("cpu"))
            for line in setting.lines
            for record in line.completed
            if record.environment
        }
    )
    counts = number_of_runs(len(point.accuracy.values) for point in drawn[0][1])
    yield Picture(
        stem=setting.stem("cost"),
        title=what,
        caption=(
            f"Test accuracy against the cost of training, means over {counts} of each optimizer "
            "(the figure of accuracy has their intervals). Joined, and in bold: the Pareto front, "
            "which no optimizer beats in both. A triangle and a number stand for an accuracy below "
            f"the edge. Seconds are of {'; '.join(machines) or 'an unknown machine'}; gradient "
            "evaluations do not depend on the machine."
        ),
        png=plain_png(figure),
    )


def _points(setting: Setting, cost: str) -> list[Point]:
    found = []
    for line in setting.lines:
        accuracy = cell_mean(line.completed, find_metric("accuracy"))
        spent = cell_mean(line.completed, find_metric(cost))
        if accuracy is not None and spent is not None:
            found.append(Point(label=line.label, cost=spent.mean, accuracy=accuracy))
    return found


def _panel(ax: Axes, title: str, points: Sequence[Point]) -> None:
    x, y = [point.cost for point in points], [point.accuracy.mean for point in points]
    front = [points[place] for place in pareto_front(x, y)]
    ax.plot([p.cost for p in front], [p.accuracy.mean for p in front], color=VERMILION, lw=1.0,
            drawstyle="steps-post", zorder=2, gid="front")  # fmt: skip
    ax.plot(x, y, "o", color=BLUE, ms=3.6, mew=0, zorder=3, gid="points")
    best = [point.label for point in front]
    ax.plot([p.cost for p in front], [p.accuracy.mean for p in front], "o", color=VERMILION, ms=4.4,
            mew=0, zorder=4)  # fmt: skip
    cost_axis(ax, x)
    sound = [p for p in points if not any(map(collapsed, p.accuracy.records))] or points
    low, high = focus([p.accuracy.mean for p in sound], (-1.0, 101.0))
    ax.set_ylim(low, high)
    gone = [p for p in points if not low <= p.accuracy.mean <= high]
    ax.plot([p.cost for p in gone], [0.025] * len(gone), "v", color=GREY, ms=4, mew=0,
            transform=ax.get_xaxis_transform(), zorder=4)  # fmt: skip
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.set_xlabel(title)
    ax.set_ylabel("Test accuracy (%)")
    bare([ax])
    names = [p.label if low <= p.accuracy.mean <= high else _beyond(p) for p in points]
    label_points(ax, x, [max(value, low) for value in y], names, best)


def _beyond(point: Point) -> str:
    return f"{point.label} {point.accuracy.mean:.1f}"
