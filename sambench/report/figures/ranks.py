"""The critical-difference diagram, a row for each optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sambench.analysis.means import cell_mean
from sambench.analysis.metrics import find_metric
from sambench.analysis.ranks import LEAST_BLOCKS, Friedman, friedman
from sambench.report.figures.axes import inches_wide
from sambench.report.figures.material import LeftOut, Material
from sambench.report.figures.rows import rows
from sambench.report.picture import Picture
from sambench.report.style import BLUE, GREY, VERMILION, plain_png

TITLE = "Critical-difference diagram"
BAR = 0.07
"""Distance of the bars of two cliques in inches."""


def draw(material: Material) -> Iterator[Picture | LeftOut]:
    """Draw average ranks by mean test accuracy over all settings, from six on."""
    tables = [
        {
            line.label: cell.mean
            for line in setting.lines
            if (cell := cell_mean(line.completed, find_metric("accuracy"))) is not None
        }
        for setting in material.settings
    ]
    if len(tables) < LEAST_BLOCKS:
        why = f"{len(tables)} settings (data set and model); ranks need {LEAST_BLOCKS} at least"
        yield LeftOut(what=TITLE, why=why)
        return
    names = [label for label in tables[0] if all(label in table for table in tables)]
    if len(names) < 2:
        yield LeftOut(what=TITLE, why="fewer than two optimizers have runs in every setting")
        return
    scores = [[table[name] for name in names] for table in tables]
    found = friedman(scores, names, higher_is_better=True)
    data = {setting.group.setting.dataset for setting in material.settings}
    yield Picture(
        stem="figure-ranks",
        title=TITLE,
        caption=_caption(found, len(data)),
        png=_png(found),
    )


def _png(found: Friedman) -> bytes:
    order = sorted(range(len(found.names)), key=lambda place: found.ranks[place])
    labels = [found.names[place] for place in order]
    columns = _columns([(labels.index(c[0]), labels.index(c[-1])) for c in found.cliques])
    made = rows(labels, right=0.12 + BAR * max([0, *(column + 1 for _, _, column in columns)]))
    (ax,) = made.panels
    ranks = [found.ranks[place] for place in order]
    ax.hlines(range(len(ranks)), 1, ranks, color=BLUE, lw=0.8)
    ax.plot(ranks, range(len(ranks)), "o", color=BLUE, ms=4, mew=0, gid="ranks")
    best = ranks[0]
    ax.axvspan(best, best + found.critical_difference, color=GREY, alpha=0.12, lw=0)
    ax.set_xlim(1, max(len(ranks), best + found.critical_difference))
    ax.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    ax.set_xlabel("Average rank (1 is best)")
    _cliques(ax, columns)
    return plain_png(made.figure)


def _columns(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Give each span of rows the first column where it touches no other."""
    taken: list[int] = []
    placed = []
    for start, end in spans:
        for column, last in enumerate(taken):
            if last < start:
                taken[column] = end
                break
        else:
            column = len(taken)
            taken.append(end)
        placed.append((start, end, column))
    return placed


def _cliques(ax: Axes, columns: Sequence[tuple[int, int, int]]) -> None:
    width = inches_wide(ax)
    for start, end, column in columns:
        x = 1 + (0.06 + BAR * column) / width
        ax.plot([x, x], [start - 0.25, end + 0.25], color=VERMILION, lw=2, gid="clique",
                transform=ax.get_yaxis_transform(), clip_on=False)  # fmt: skip


def _caption(found: Friedman, data_sets: int) -> str:
    doubt = (
        f" The {found.blocks} settings are of {data_sets} data set{'s' * (data_sets != 1)}, and so "
        "not independent: p is too small by an unknown amount."
        if data_sets < found.blocks
        else ""
    )
    return (
        f"Average ranks by mean test accuracy over {found.blocks} settings (data set and model); "
        f"Friedman p = {found.p:.2g}, Iman and Davenport p = {found.f_p:.2g}. Optimizers joined by "
        f"a bar do not differ (Nemenyi, critical difference {found.critical_difference:.2f} at "
        f"{found.alpha:g}); the shade is as wide.{doubt}"
    )
