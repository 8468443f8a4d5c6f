"""Accuracy by optimizer and model, and every unit's difference from the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from matplotlib.axes import Axes

from sambench.analysis.comparison import Comparison
from sambench.analysis.groups import by_key
from sambench.analysis.metrics import collapsed
from sambench.analysis.published import ours, printed_rows
from sambench.analysis.units import Summary
from sambench.report.figures import layout
from sambench.report.figures.material import Drawn, Material, Setting, caption, number_of_runs
from sambench.report.style import GREY, ORANGE, VERMILION, Picture
from sambench.report.table import p_value

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
    low, high = _limits(cells.values(), printed.values())
    ax.set_xlim(low, high)
    shown = {one.candidate for one in setting.group.by("accuracy") if one.shown}
    for y, label in enumerate(labels):
        if label in printed:
            x = min(max(printed[label], low), high)
            shape = "s" if x == printed[label] else "<" if x == low else ">"
            ax.plot(x, y, shape, color=ORANGE, mfc="none", ms=4, mew=0.9, zorder=4, gid="printed",
                    clip_on=False)  # fmt: skip
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


def _limits(cells: Iterable[Summary], printed: Iterable[float]) -> tuple[float, float]:
    """Return limits that show the optimizers without a collapsed run, where there are any."""
    cells = list(cells)
    sound = [cell for cell in cells if not cell.collapsed]
    shown = [value for cell in sound or cells for value in cell.values]
    return layout.focus([*shown, *_ends(sound), *printed], layout.PERCENT)


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
    enough = any(one.enough for one in found)
    return figure, caption("paired", design=found[0].design, baseline=baseline.title, enough=enough)
