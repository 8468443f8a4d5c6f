"""All figures of a report, and what could not be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sambench.report.figures import (
    accuracy,
    batches,
    confusion,
    cost,
    densities,
    flatness,
    landscapes,
    learning,
    paired,
    ranks,
    reliability,
    roc,
    targets,
)
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.style import Picture
from sambench.report.table import counted

MOST_LINES = 80
"""Of more optimizers than these, over all settings, only the figures over all are drawn."""

Drawn = Iterator[Picture | LeftOut]
OVER_ALL: tuple[Callable[[Material], Drawn], ...] = (accuracy.draw,)
OF_A_SETTING: tuple[Callable[[Material, Setting], Drawn], ...] = (
    paired.draw,
    cost.draw,
    targets.draw,
    learning.draw,
    flatness.draw,
    batches.draw,
    densities.draw,
    landscapes.draw,
    roc.draw,
    reliability.draw,
    confusion.draw,
)
OVER_ALL_LAST: tuple[Callable[[Material], Drawn], ...] = (ranks.draw,)


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The figures of a report.

    Attributes:
        pictures: In the order of a report.
        left_out: What was not drawn and why: kinds of figures, then files that are damaged.
    """

    pictures: tuple[Picture, ...]
    left_out: tuple[LeftOut, ...]


def draw_gallery(material: Material) -> Gallery:
    """Draw every figure that the runs, and the files beside their records, have the numbers of."""
    drawn = list(_draw(material))
    damaged = [
        LeftOut(what=path.parent.name, why=message.rstrip("."))
        for path, message in material.damaged.items()
    ]
    return Gallery(
        pictures=tuple(one for one in drawn if isinstance(one, Picture)),
        left_out=(*(one for one in drawn if isinstance(one, LeftOut)), *damaged),
    )


def _draw(material: Material) -> Drawn:
    if not material.settings:
        yield LeftOut(what="Figures", why="no run is completed")
        return
    for over_all in OVER_ALL:
        yield from over_all(material)
    lines = sum(len(setting.lines) for setting in material.settings)
    if lines > MOST_LINES:
        why = (
            f"{lines} optimizers in {counted(len(material.settings), 'setting')} are more than "
            f"{MOST_LINES}; name a suite or runs to have them"
        )
        yield LeftOut(what="Figures of each setting", why=why)
    else:
        for setting in material.settings:
            for of_setting in OF_A_SETTING:
                yield from of_setting(material, setting)
    for over_all in OVER_ALL_LAST:
        yield from over_all(material)
