"""All figures of a report, and what could not be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from matplotlib import rc_context

from sambench.report.figures.accuracy import accuracy, paired, ranks
from sambench.report.figures.curvature import batches, densities, flatness, lines, planes
from sambench.report.figures.material import Drawn, Material, Setting
from sambench.report.figures.predicted import confusion, reliability_curves, roc
from sambench.report.figures.spent import cost, learning, targets
from sambench.report.style import SETTINGS, Picture, not_writable
from sambench.report.table import counted, slug, told_apart

MOST_BOXES = 12
BOXES = (
    "The type of PNG and PDF files has no {}, which are boxes there; the page shows them, and "
    "`--names` gives names of other letters."
)
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
    ("landscape-lines", "Loss along a line", lines),
    ("landscape-planes", "Loss on a plane", planes),
    ("roc", "ROC curves", roc),
    ("reliability", "Reliability curves", reliability_curves),
    ("confusion", "Confusion matrices", confusion),
)
"""Kind, title, and what draws it, in the order of a report."""

Made = Iterator[Picture | str]
"""Figures, and a sentence for each that is not drawn."""


def draw_gallery(material: Material) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """Draw every figure that the runs, and the files beside their records, have the numbers of.

    Returns these, and a sentence for each kind that was not drawn, then for each damaged file, and
    for letters that the type of figures and of pictures of tables has not.
    """
    with rc_context(SETTINGS):
        drawn = list(_draw(material))
    damaged = (f"{at.parent.name}: {text.rstrip('.')}." for at, text in material.damaged.items())
    left_out = (one for one in drawn if isinstance(one, str))
    pictures = [one for one in drawn if isinstance(one, Picture)]
    names = (text for one in material.settings for text in (one.group.title, *one.titles.values()))
    boxes = not_writable("".join(names))[:MOST_BOXES]
    stems = told_apart(picture.stem for picture in pictures)
    renamed = (replace(one, stem=stem) for one, stem in zip(pictures, stems, strict=True))
    return tuple(renamed), (*left_out, *damaged, *([BOXES.format(boxes)] if boxes else []))


def _draw(material: Material) -> Made:
    if not material.settings:
        yield "Figures: no run is completed."
        return
    yield from accuracy(material)
    lines = sum(len(setting.lines) for setting in material.settings)
    if lines > MOST_LINES:
        yield (
            f"Figures of each setting: {lines} optimizers in "
            f"{counted(len(material.settings), 'setting')} are more than {MOST_LINES}; name a "
            "suite or runs to have them."
        )
    else:
        for setting in material.settings:
            where = setting.group.title
            for kind, title, draw in OF_A_SETTING:
                stem = f"figure-{kind}-{slug(where)}"
                yield from made(stem, f"{title}, {where}", draw(material, setting))
    yield from made("figure-ranks", "Critical-difference diagram", ranks(material))


def made(stem: str, title: str, drawn: Drawn) -> Made:
    """Yield a figure, or the sentence that says why it was not drawn; nothing where none is due."""
    if isinstance(drawn, str):
        yield f"{title}: {drawn}."
    elif drawn is not None:
        yield Picture(stem=stem, title=title, figure=drawn[0], caption=drawn[1])
