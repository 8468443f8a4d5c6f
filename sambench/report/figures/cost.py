"""Accuracy against cost, each with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sambench.analysis.metrics import find_metrics
from sambench.analysis.units import Cell, cell_of
from sambench.report.figures.axes import cost_axis, focus
from sambench.report.figures.labels import height_for, label_points
from sambench.report.figures.material import LeftOut, Material, Setting, number_of_runs
from sambench.report.style import (
    BLUE,
    COLUMN,
    GREY,
    PALE,
    Picture,
    bare,
    place,
    sheet,
    text_width,
)

TITLE = "Accuracy against cost"
LEFT, ABOVE, BELOW = 0.52, 0.08, 0.42


@dataclass(frozen=True, kw_only=True)
class Point:
    """One optimizer: its title, mean cost, and accuracy."""

    title: str
    cost: float
    accuracy: Cell
    named: bool

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return self.accuracy.mean or 0.0


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw gradient evaluations above, training time below."""
    what = f"{TITLE}, {setting.name}"
    costs = find_metrics(["gradient_evaluations", "train_seconds"])
    drawn = [(cost.title, points) for cost in costs
             if len(points := _points(setting, cost.name)) > 1]  # fmt: skip
    if not drawn:
        yield LeftOut(what=what, why="fewer than two optimizers have an accuracy and a cost")
        return
    high = height_for(len(drawn[0][1]))
    figure = sheet(len(drawn) * (ABOVE + high + BELOW))
    right = 0.32 + max(text_width(figure, _beyond(point)) for point in drawn[0][1])
    for number, (title, points) in enumerate(drawn):
        top = number * (ABOVE + high + BELOW) + ABOVE
        _panel(place(figure, LEFT, top, COLUMN - LEFT - right, high), title, points)
    machines = sorted(
        {
            str(record.environment.get("gpu") or record.environment.get("cpu"))
            for record in setting.panel.group.completed
            if record.environment
        }
    )
    counts = number_of_runs(len(point.accuracy.values) for point in drawn[0][1])
    yield Picture(
        stem=setting.stem("cost"),
        title=what,
        caption=(
            f"Test accuracy against the cost of training, means over {counts} of each optimizer; "
            "bars: 95 % intervals of the accuracy, each by itself. A triangle and a number stand "
            f"for an accuracy below the edge. Seconds are of {'; '.join(machines) or 'an unknown'} "
            f"{'' if machines else 'machine'}; gradient evaluations do not depend on the machine."
        ).replace(" ;", ";"),
        figure=figure,
    )


def _points(setting: Setting, cost: str) -> list[Point]:
    (metric,) = find_metrics([cost])
    found = []
    for line in setting.lines:
        accuracy = setting.accuracies.get(line.label)
        spent = cell_of(setting.panel.group, line, metric).mean
        if accuracy is not None and spent is not None:
            named = line.label in setting.named
            found.append(Point(title=line.title, cost=spent, accuracy=accuracy, named=named))
    return found


def _panel(ax: Axes, title: str, points: Sequence[Point]) -> None:
    x, y = [point.cost for point in points], [point.mean for point in points]
    cost_axis(ax, x)
    sound = [p for p in points if not p.accuracy.collapsed] or list(points)
    ends = [e for p in sound if p.accuracy.n > 2 for e in (p.accuracy.low, p.accuracy.high) if e]
    low, high = focus([*(p.mean for p in sound), *ends], (-1.0, 101.0))
    ax.set_ylim(low, high)
    for point in points:
        colour = BLUE if point.named else PALE
        if point.accuracy.low is not None and point.accuracy.high is not None:
            ax.vlines(point.cost, point.accuracy.low, point.accuracy.high, color=colour, lw=0.7,
                      alpha=0.6, zorder=2)  # fmt: skip
        ax.plot(point.cost, point.mean, "o", color=colour, ms=3.6, mew=0, zorder=3, gid="points")
    gone = [p for p in points if not low <= p.mean <= high]
    ax.plot([p.cost for p in gone], [0.025] * len(gone), "v", color=GREY, ms=4, mew=0,
            transform=ax.get_xaxis_transform(), zorder=4)  # fmt: skip
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.set_xlabel(title)
    ax.set_ylabel("Test accuracy (%)")
    bare([ax])
    names = [p.title if low <= p.mean <= high else _beyond(p) for p in points]
    label_points(ax, x, [max(value, low) for value in y], names)


def _beyond(point: Point) -> str:
    return f"{point.title} {point.mean:.1f}"
