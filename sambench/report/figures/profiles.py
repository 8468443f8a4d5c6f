"""Performance profiles: how often each optimizer is within a factor of the cheapest."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sambench.analysis.profiles import Profiles, performance_profiles
from sambench.analysis.targets import cost_to_target
from sambench.report.figures.axes import log_axis
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.figures.panels import panels
from sambench.report.figures.targets import target_of
from sambench.report.picture import Picture
from sambench.report.style import BLUE, GREY, LINE, plain_png

TITLE = "Performance profiles"
LEAST_PROBLEMS = 6
"""Of fewer problems a share is too coarse to read."""


def draw(material: Material) -> Iterator[Picture | LeftOut]:
    """Draw profiles of gradient evaluations to the target over all settings and seeds."""
    names, costs = _costs(material)
    if len(names) < 2 or len(costs) < LEAST_PROBLEMS:
        why = (
            f"{len(costs)} problems (setting, seed and fold) with a history of every optimizer; "
            f"{LEAST_PROBLEMS} are the least"
        )
        yield LeftOut(what=TITLE, why=why)
        return
    found = performance_profiles(costs, names)
    unsolved = sum(all(math.isinf(cost) for cost in row) for row in costs)
    yield Picture(
        stem="figure-profiles",
        title=TITLE,
        caption=(
            f"Share of {len(costs)} problems (setting, seed and fold) in which an optimizer "
            "reaches the target of its setting with at most so many times the gradient evaluations "
            "of the cheapest one. On the left how often it is the cheapest, on the right how often "
            f"it gets there at all. Grey is {names[0]}."
            + (f" {unsolved} problems were solved by none." if unsolved else "")
        ),
        png=_png(found),
    )


def _png(found: Profiles) -> bytes:
    figure, grid = panels(
        found.names, x="Gradient evaluations over the least", y="Share of problems", shape=0.8
    )
    most = max(float(found.factors[-1]) * 1.3, 1.5)
    x = [*found.factors, most]
    for ax, shares in zip(grid, found.shares, strict=True):
        ax.step(x, [*found.shares[0], found.shares[0][-1]], where="post", color=GREY, lw=0.8)
        ax.step(x, [*shares, shares[-1]], where="post", color=BLUE, lw=LINE, gid="profile")
        log_axis(ax, "x", 1, most, most=3)
        ax.set(xlim=(1, most), ylim=(0, 1.04), yticks=[0, 0.5, 1])
        ax.set_yticklabels(["0", ".5", "1"])
    return plain_png(figure)


def _costs(material: Material) -> tuple[list[str], list[list[float]]]:
    """Return the optimizers that every setting has, and a row of costs for each problem."""
    settings = [setting for setting in material.settings if setting.baseline is not None]
    if not settings:
        return [], []
    shared = [{line.label for line in setting.lines} for setting in settings]
    names = [line.label for line in settings[0].lines if all(line.label in s for s in shared)]
    return names, [row for setting in settings for row in _problems(material, setting, names)]


def _problems(material: Material, setting: Setting, names: list[str]) -> Iterator[list[float]]:
    target = target_of(material, setting)
    if target is None:
        return
    lines = {line.label: line for line in setting.lines}
    spent: list[dict[tuple[int, int | None, int], float]] = []
    for name in names:
        of_repeat = {}
        for record in lines[name].completed:
            epochs = material.history(record)
            if epochs is not None:
                cost = cost_to_target(epochs, target.accuracy, target.field)
                config = record.config
                of_repeat[config.split_seed, config.fold, config.seed] = (
                    math.inf if cost is None else float(cost.gradient_evaluations)
                )
        spent.append(of_repeat)
    for repeat in spent[0]:
        if all(repeat in found for found in spent):
            yield [found[repeat] for found in spent]
