"""The critical-difference diagram of Demsar (2006)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from sambench.analysis.inference import ALPHA
from sambench.analysis.ranks import LEAST_BLOCKS, Friedman, friedman
from sambench.report.figures.material import Drawn, Material, caption
from sambench.report.style import COLUMN, GREY, SMALL, VERMILION, place, sheet
from sambench.report.table import counted

SIDE, STEP, TOP = 0.95, 0.15, 0.5
"""Room for names on each side, distance of two names, and room above the axis, in inches."""


def ranks(material: Material) -> Drawn:
    """Draw average ranks by mean test accuracy over all settings, from six on."""
    tables = [
        {label: cell.mean or 0.0 for label, cell in setting.accuracies.items()}
        for setting in material.settings
        if setting.group.part == 1
    ]
    if len(tables) < LEAST_BLOCKS:
        found = counted(len(tables), "setting")
        return f"{found} (data set and model); ranks need {LEAST_BLOCKS} at least"
    names = [label for label in tables[0] if all(label in table for table in tables)]
    if len(names) < 2:
        return "fewer than two optimizers have runs in every setting"
    scores = [[table[name] for name in names] for table in tables]
    titles = [material.study.title_of(name) for name in names]
    result = friedman(scores, titles, higher_is_better=True)
    data = {setting.group.setting.dataset for setting in material.settings}
    said = caption("ranks", found=result, data_sets=len(data), alpha=f"{ALPHA:g}")
    return _drawn(result), said


def _drawn(found: Friedman) -> Figure:
    """Draw ranks on an axis, best on the left; names to the sides, bars over equals."""
    order = sorted(range(len(found.names)), key=lambda place: found.ranks[place])
    count, half = len(order), -(-len(order) // 2)
    rank = dict(zip(found.names, found.ranks, strict=True))
    spans = [[rank[name] for name in clique] for clique in found.cliques]
    bars = _levels([(min(span), max(span)) for span in spans])
    depth = 0.12 * (1 + max([level for _, _, level in bars], default=0))
    figure = sheet(TOP + depth + STEP * (half + 1))
    ax = place(figure, SIDE, 0, COLUMN - 2 * SIDE, TOP + depth + STEP * (half + 1))
    ax.set(xlim=(1, count), ylim=(-(depth + STEP * (half + 1)), TOP))
    ax.axis("off")
    ax.plot([1, count], [0, 0], color="black", lw=0.8)
    for tick in range(1, count + 1):
        ax.plot([tick, tick], [0, 0.05], color="black", lw=0.6)
        if count <= 10 or tick % 2:
            ax.text(tick, 0.08, str(tick), size=SMALL, ha="center", va="bottom")
    reach = 1 + found.critical_difference
    ax.plot([1, reach], [0.32, 0.32], color="black", lw=0.9, clip_on=False)
    for end in (1.0, reach):
        ax.plot([end, end], [0.29, 0.35], color="black", lw=0.9, clip_on=False)
    ax.text((1 + reach) / 2, 0.36, f"CD = {found.critical_difference:.2f}", size=SMALL, ha="center",
            va="bottom")  # fmt: skip
    for place_, number in enumerate(order):
        left = place_ < half
        y = -(depth + STEP * ((place_ if left else count - 1 - place_) + 0.6))
        end, gap = (1, -0.02) if left else (count, 0.02)
        ax.plot([found.ranks[number]] * 2 + [end], [0, y, y], color=GREY, lw=0.6, clip_on=False)
        ax.text(end + gap * count, y, found.names[number], size=SMALL, va="center",
                ha="right" if left else "left", clip_on=False)  # fmt: skip
    for start, stop, level in bars:
        y = -0.1 - 0.12 * level
        ax.plot([start - 0.05, stop + 0.05], [y, y], color=VERMILION, lw=2.2, gid="clique",
                solid_capstyle="butt")  # fmt: skip
    return figure


def _levels(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float, int]]:
    """Give each bar the first level where it touches no other."""
    taken: list[float] = []
    placed = []
    for start, stop in spans:
        level = next((n for n, last in enumerate(taken) if last < start - 0.1), len(taken))
        taken[level : level + 1] = [stop]
        placed.append((start, stop, level))
    return placed
