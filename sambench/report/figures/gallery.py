"""All figures of a report, and what could not be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sambench.report.figures.accuracy import accuracy, paired
from sambench.report.figures.curvature import batches, flatness
from sambench.report.figures.material import Drawn, LeftOut, Material, Setting
from sambench.report.figures.predicted import confusion, reliability_curves, roc
from sambench.report.figures.ranks import ranks
from sambench.report.figures.spent import cost, learning, targets
from sambench.report.figures.studied import densities, landscapes, lines, planes
from sambench.report.style import Picture
from sambench.report.table import counted

MOST_LINES = 80
"""Of more optimizers than these, over all settings, only the figures over all are drawn."""

OF_A_SETTING: tuple[tuple[str, str, Callable[[Material, Setting], Drawn]], ...] = (
    ("paired", "Paired differences", paired),
    ("cost", "Accuracy against cost", cost),
    ("targets", "Cost to a target accuracy", targets),
    ("learning", "Learning curves", learning),
    ("flatness", "Accuracy against sharpness", flatness),
    ("batches", "Curvature of single batches", batches),
    ("densities", "Spectral densities", densities),
    ("landscapes", "Loss landscapes", landscapes),
    ("landscape-lines", "Loss landscapes, lines", lines),
    ("landscape-planes", "Loss landscapes, planes", planes),
    ("roc", "ROC curves", roc),
    ("reliability", "Reliability curves", reliability_curves),
    ("confusion", "Confusion matrices", confusion),
)
"""Kind, title, and what draws it, in the order of a report."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The figures of a report, and what was not drawn: kinds, then files that are damaged."""

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


def _draw(material: Material) -> Iterator[Picture | LeftOut]:
    if not material.settings:
        yield LeftOut(what="Figures", why="no run is completed")
        return
    yield from accuracy(material)
    lines = sum(len(setting.lines) for setting in material.settings)
    if lines > MOST_LINES:
        why = (
            f"{lines} optimizers in {counted(len(material.settings), 'setting')} are more than "
            f"{MOST_LINES}; name a suite or runs to have them"
        )
        yield LeftOut(what="Figures of each setting", why=why)
    else:
        for setting in material.settings:
            yield from of_setting(material, setting)
    yield from over_all_ranks(material)


def of_setting(
    material: Material, setting: Setting, kinds: str = ""
) -> Iterator[Picture | LeftOut]:
    """Yield the figures of a setting, or those alone whose kind begins so."""
    for kind, title, draw in OF_A_SETTING:
        if kind.startswith(kinds):
            drawn = draw(material, setting)
            yield from _made(setting.stem(kind), f"{title}, {setting.name}", drawn)


def over_all_ranks(material: Material) -> Iterator[Picture | LeftOut]:
    """Yield the diagram of ranks over all settings."""
    yield from _made("figure-ranks", "Critical-difference diagram", ranks(material))


def _made(stem: str, title: str, drawn: Drawn) -> Iterator[Picture | LeftOut]:
    if isinstance(drawn, str):
        yield LeftOut(what=title, why=drawn)
    elif drawn is not None:
        yield Picture(stem=stem, title=title, figure=drawn[0], caption=drawn[1])
