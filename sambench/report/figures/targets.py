"""Gradient evaluations and time to a validation accuracy that the baseline sets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.axes import Axes

from sambench.analysis.histories import (
    TargetCost,
    TargetSummary,
    choose_target,
    cost_to_target,
    summarize_targets,
)
from sambench.report.figures.axes import cost_axis
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.figures.rows import RUNS_BELOW, rows
from sambench.report.style import BLUE, GREY, SMALL, Picture

TITLE = "Cost to a target accuracy"
PANELS = (("gradient_evaluations", "Gradient evaluations"), ("train_seconds", "Training time (s)"))


@dataclass(frozen=True, kw_only=True)
class Race:
    """What the runs of one optimizer spent, None for those that never got there."""

    title: str
    costs: tuple[TargetCost | None, ...]
    summary: TargetSummary


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw the cost of each run and the median, gradient evaluations beside seconds."""
    what, baseline = f"{TITLE}, {setting.name}", setting.baseline
    target = None if baseline is None else choose_target(material.histories(baseline))
    if baseline is None or target is None:
        yield LeftOut(what=what, why="the baseline's runs have no validation accuracy to aim at")
        return
    races = [
        Race(title=line.title, costs=costs, summary=summarize_targets(costs))
        for line in setting.lines
        if (costs := tuple(cost_to_target(e, target) for e in material.histories(line)))
    ]
    races.sort(key=lambda race: (race.summary.gradient_evaluations, -race.summary.reached))
    made = rows([race.title for race in races], [""] * len(PANELS), right=0.42)
    for ax, (field, name) in zip(made.panels, PANELS, strict=True):
        _panel(ax, races, field)
        ax.set_xlabel(name)
    last = made.panels[-1]
    for y, race in enumerate(races):
        last.annotate(f"{race.summary.reached}/{race.summary.runs}", (1.04, y), size=SMALL,
                      xycoords=last.get_yaxis_transform(), va="center",
                      annotation_clip=False)  # fmt: skip
    yield Picture(
        stem=setting.stem("targets"),
        title=what,
        caption=(
            f"What a run had spent at the end of the first epoch with {100 * target:.1f} % "
            f"validation accuracy, 99 % of what the median run of {baseline.title} reaches at "
            "best. Dots are runs, circles medians (none where half of the runs or more never got "
            "there); on the right how many runs of how many did. The resolution is one epoch."
        ),
        figure=made.figure,
    )


def _panel(ax: Axes, races: list[Race], field: str) -> None:
    every = []
    for y, race in enumerate(races):
        spent = [float(getattr(cost, field)) for cost in race.costs if cost is not None]
        ax.plot(spent, [y + RUNS_BELOW] * len(spent), "o", color=GREY, alpha=0.6, ms=2, mew=0,
                gid="runs")  # fmt: skip
        every += spent
        middle = float(getattr(race.summary, field))
        if math.isfinite(middle):
            ax.plot(middle, y, "o", color=BLUE, ms=4, mew=0.9, mfc="white", zorder=3, gid="median")
    cost_axis(ax, every)
