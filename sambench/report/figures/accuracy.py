"""Accuracy by optimizer and model, differences from the baseline, and ranks over settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sambench.analysis.comparison import Comparison
from sambench.analysis.groups import by_key
from sambench.analysis.inference import ALPHA
from sambench.analysis.metrics import collapsed
from sambench.analysis.published import ours, printed_rows
from sambench.analysis.ranks import LEAST_BLOCKS, Friedman, friedman
from sambench.analysis.units import Summary
from sambench.report.figures import layout
from sambench.report.figures.material import Drawn, Material, Setting, caption, number_of_runs
from sambench.report.style import COLUMN, GREY, ORANGE, SMALL, VERMILION, Picture, place, sheet
from sambench.report.table import counted, p_value

TITLE = "Accuracy by optimizer and model"
MOST_PANELS = 12


def accuracy(material: Material) -> Iterator[Picture | str]:
    """Draw a figure for each data set, a panel for each model (or protocol)."""
    of_data = by_key(material.settings, lambda setting: setting.group.setting.dataset)
    for dataset, settings in of_data.items():
        if len(settings) > MOST_PANELS:
            number = f"{len(settings)} settings on {dataset}"
            yield f"{TITLE}: {number} are more than {MOST_PANELS} panels."
        else:
            yield _figure(dataset, settings, material.printed)


def _figure(dataset: str, settings: list[Setting], with_printed: bool) -> Picture:
    titles = {label: title for setting in settings for label, title in setting.titles.items()}
    labels = _order([setting.accuracies for setting in settings])
    place = settings[0].group.title.partition(" on ")[2].partition(" (")[0]
    figure, panels = layout.rows(
        [titles[label] for label in labels],
        [setting.group.title.replace(f" on {place}", "") for setting in settings],
    )
    printed = [_printed(setting) if with_printed else {} for setting in settings]
    for ax, setting, numbers in zip(panels, settings, printed, strict=True):
        _panel(ax, labels, setting, numbers)
        layout.percent_ticks(ax.xaxis, 6 if len(settings) == 1 else 3)
    layout.name_below(figure, "Test accuracy (%)")
    cells = [cell for setting in settings for cell in setting.accuracies.values()]
    text = caption(
        "accuracy",
        runs=number_of_runs(len(cell.values) for cell in cells),
        intervals=any(cell.low is not None for cell in cells),
        baselines=dict.fromkeys(s.group.first.title for s in settings if s.group.first),
        collapsed=any(cell.collapsed for cell in cells),
        beyond=any(line.get_gid() == "beyond" for ax in panels for line in ax.lines),
        printed=any(printed),
    )
    stem, title = f"figure-accuracy-{dataset}", f"{TITLE}: {place}"
    return Picture(stem=stem, title=title, caption=text, figure=figure)


def _order(tables: list[Mapping[str, Summary]]) -> list[str]:
    """Return the labels, best first, by their mean distance from the mean of a panel."""
    gains: dict[str, list[float]] = {}
    for cells in tables:
        centre = sum(cell.mean or 0.0 for cell in cells.values()) / max(len(cells), 1)
        for label, cell in cells.items():
            gains.setdefault(label, []).append((cell.mean or 0.0) - centre)
    return sorted(gains, key=lambda label: -sum(gains[label]) / len(gains[label]))


def _printed(setting: Setting) -> dict[str, float]:
    """Return the papers' accuracy of each of our lines that they printed."""
    return {
        line.label: value
        for row in printed_rows()
        for _, line in ours(row, [setting.group])
        if (value := row.of("accuracy")) is not None
    }


def _panel(ax: Axes, labels: list[str], setting: Setting, printed: Mapping[str, float]) -> None:
    cells, first = setting.accuracies, setting.group.first.label if setting.group.first else ""
    if first in cells:
        ax.axvline(cells[first].mean or 0.0, color=GREY, lw=0.7, ls=(0, (3, 2)), zorder=1)
    # limits that show the optimizers without a collapsed run, where there are any
    sound = [cell for cell in cells.values() if not cell.collapsed]
    values = [value for cell in sound or cells.values() for value in cell.values]
    low, high = layout.focus([*values, *_ends(sound), *printed.values()], percent=True)
    ax.set_xlim(low, high)
    shown = {one.candidate for one in setting.group.by("accuracy") if one.shown}
    for y, label in enumerate(labels):
        if label in printed:
            shape = "s" if printed[label] >= low else "<"
            ax.plot(max(printed[label], low), y, shape, color=ORANGE, mfc="none", ms=4, mew=0.9,
                    zorder=4, gid="printed", clip_on=False)  # fmt: skip
        if label in cells:
            _row(ax, y, cells[label], "D" if label == first else "o", filled=label in shown)


def _row(ax: Axes, y: int, cell: Summary, shape: str, *, filled: bool) -> None:
    flat = [collapsed(record) for record in cell.records]
    sound = [value for value, mark in zip(cell.values, flat, strict=True) if not mark]
    gone = [value for value, mark in zip(cell.values, flat, strict=True) if mark]
    sound, below = sound if len(cell.values) > 1 else [], y + layout.RUNS_BELOW
    ax.plot(gone, [below] * len(gone), "x", color=VERMILION, ms=3, mew=0.8, zorder=4)
    layout.mean_and_interval(ax, y, cell.mean or 0.0, (cell.low, cell.high), sound, filled=filled,
                             shape=shape, collapsed=all(flat))  # fmt: skip


def _ends(some: Iterable[Summary | Comparison]) -> list[float]:
    """Return the ends of the intervals over more than two units."""
    return [end for one in some if one.n > 2 for end in (one.low, one.high) if end is not None]


def paired(_: Material, setting: Setting) -> Drawn:
    """Draw test accuracy minus the baseline's, unit by unit, with simultaneous intervals."""
    baseline = setting.group.first
    found = [one for one in setting.group.by("accuracy") if one.n]
    if baseline is None:
        return "the baseline has no completed run"
    if not found:
        return f"no run has a counterpart of {baseline.title}"
    found.sort(key=lambda one: -(one.estimate or 0.0))
    figure, (ax,) = layout.rows([setting.titles[one.candidate] for one in found], right=0.55)
    # all units are shown but those far away, such as of collapsed runs
    low, high = layout.focus([0.0, *(value for one in found for value in one.differences)])
    near = [one for one in found if low <= (one.estimate or 0.0) <= high]
    ax.set_xlim(layout.focus([low, high, *_ends(near)]))
    ax.axvline(0, color=GREY, lw=0.7, ls=(0, (3, 2)), zorder=1)
    for y, one in enumerate(found):
        mean, ends = one.estimate or 0.0, (one.low, one.high)
        layout.mean_and_interval(ax, y, mean, ends, one.differences, filled=one.shown)
        layout.beside(ax, y, f"n = {one.n}" if one.p is None else p_value(one.p, named=True))
    layout.round_ticks(ax.xaxis)
    ax.set_xlabel(f"Test accuracy minus {baseline.title}'s (points)")
    enough = {one.enough for one in found}
    kinds = {"tested": True in enough, "untested": False in enough}
    return figure, caption("paired", design=found[0].design, baseline=baseline.title, **kinds)


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
        return f"{found}; ranks need {LEAST_BLOCKS} at least"
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
    apart = 1 if count <= 10 else 2 * -(-count // 25)  # of ranks whose numbers do not touch
    for tick in range(1, count + 1):
        ax.plot([tick, tick], [0, 0.05], color="black", lw=0.6)
        if (tick - 1) % apart == 0:
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
