"""Gradient evaluations and time to a target accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.axes import Axes

from sambench.analysis.targets import (
    Target,
    TargetCost,
    TargetSummary,
    choose_target,
    cost_to_target,
    summarize_targets,
)
from sambench.report.figures.axes import cost_axis
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.figures.rows import RUNS_BELOW, rows
from sambench.report.picture import Picture
from sambench.report.style import BLUE, GREY, SMALL, plain_png

TITLE = "Cost to a target accuracy"
PANELS = (("gradient_evaluations", "Gradient evaluations"), ("train_seconds", "Training time (s)"))


@dataclass(frozen=True, kw_only=True)
class Race:
    """What the runs of one optimizer spent, None for those that never got there."""

    label: str
    costs: tuple[TargetCost | None, ...]
    summary: TargetSummary


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw the cost of each run and the median, gradient evaluations beside seconds."""
    what = f"{TITLE}, {setting.name}"
    target = target_of(material, setting)
    if target is None:
        yield LeftOut(what=what, why="the baseline has no history of epochs to set a target")
        return
    races = [
        Race(label=line.label, costs=costs, summary=summarize_targets(costs))
        for line in setting.lines
        if (costs := costs_of(material, line.label, setting, target))
    ]
    races.sort(key=lambda race: (race.summary.gradient_evaluations, -race.summary.reached))
    made = rows([race.label for race in races], [""] * len(PANELS), right=0.42)
    for ax, (field, name) in zip(made.panels, PANELS, strict=True):
        _panel(ax, races, field)
        ax.set_xlabel(name)
    last = made.panels[-1]
    for y, race in enumerate(races):
        last.annotate(
            f"{race.summary.reached}/{race.summary.runs}",
            (1.04, y),
            xycoords=last.get_yaxis_transform(),
            size=SMALL,
            va="center",
            annotation_clip=False,
        )
    yield Picture(
        stem=setting.stem("targets"),
        title=what,
        caption=(
            f"What a run had spent at the end of the first epoch with {target.name}, which is 99 % "
            f"of what the median run of {setting.baseline} reaches at best. Dots are runs, circles "
            "medians (none where half of the runs or more never got there); on the right how many "
            "runs of how many did. The resolution is one epoch."
        ),
        png=plain_png(made.figure),
    )


def target_of(material: Material, setting: Setting) -> Target | None:
    """Return the target that the baseline sets; None without its history."""
    if setting.baseline is None:
        return None
    return choose_target(material.histories(setting.lines[0]))


def costs_of(
    material: Material, label: str, setting: Setting, target: Target
) -> tuple[TargetCost | None, ...]:
    """Return what each run of an optimizer that has a history spent to the target."""
    (line,) = (line for line in setting.lines if line.label == label)
    return tuple(
        cost_to_target(epochs, target.accuracy, target.field) for epochs in material.histories(line)
    )


def _panel(ax: Axes, races: list[Race], field: str) -> None:
    every = []
    for y, race in enumerate(races):
        spent = [float(getattr(cost, field)) for cost in race.costs if cost is not None]
        ax.plot(
            spent,
            [y + RUNS_BELOW] * len(spent),
            "o",
            color=GREY,
            alpha=0.6,
            ms=2,
            mew=0,
            gid="runs",
        )
        every += spent
        middle = float(getattr(race.summary, field))
        if math.isfinite(middle):
            ax.plot(middle, y, "o", color=BLUE, ms=4, mew=0.9, mfc="white", zorder=3, gid="median")
    cost_axis(ax, every)
