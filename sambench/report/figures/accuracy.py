"""Accuracy by optimizer and model, with intervals, and the papers' numbers where they are asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sambench.analysis.comparison import Comparison
from sambench.analysis.metrics import collapsed
from sambench.analysis.published import ours, printed_rows
from sambench.analysis.units import Cell
from sambench.report.figures.axes import focus
from sambench.report.figures.material import LeftOut, Material, Setting, number_of_runs
from sambench.report.figures.rows import RUNS_BELOW, beyond_edge, name_below, rows
from sambench.report.style import BLUE, GREY, ORANGE, VERMILION, Picture

TITLE = "Accuracy by optimizer and model"
MOST_PANELS = 12


def draw(material: Material) -> Iterator[Picture | LeftOut]:
    """Draw a figure for each data set, a panel for each model (or protocol)."""
    of_data: dict[str, list[Setting]] = {}
    for setting in material.settings:
        of_data.setdefault(setting.panel.group.setting.dataset, []).append(setting)
    for dataset, settings in of_data.items():
        if len(settings) > MOST_PANELS:
            why = f"{len(settings)} settings on {dataset} are more than {MOST_PANELS} panels"
            yield LeftOut(what=TITLE, why=why)
            continue
        yield _figure(dataset, settings, material.printed)


def _figure(dataset: str, settings: list[Setting], with_printed: bool) -> Picture:
    titles = {line.label: line.title for setting in settings for line in setting.lines}
    labels = _order([setting.accuracies for setting in settings])
    place = settings[0].name.partition(" on ")[2].partition(" (")[0]
    made = rows(
        [titles[label] for label in labels],
        [setting.name.replace(f" on {place}", "") for setting in settings],
    )
    printed = [_printed(setting) if with_printed else {} for setting in settings]
    for ax, setting, numbers in zip(made.panels, settings, printed, strict=True):
        _panel(ax, labels, setting, numbers)
        most = 6 if len(settings) == 1 else 3
        ax.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))
    name_below(made, "Test accuracy (%)")
    return Picture(
        stem=f"figure-accuracy-{dataset}",
        title=f"{TITLE}: {place}",
        caption=_caption(settings, any(printed)),
        figure=made.figure,
    )


def _order(tables: list[Mapping[str, Cell]]) -> list[str]:
    """Return the labels, best first, by their mean distance from the mean of a panel."""
    gains: dict[str, list[float]] = {}
    for cells in tables:
        centre = sum(cell.mean or 0.0 for cell in cells.values()) / max(len(cells), 1)
        for label, cell in cells.items():
            gains.setdefault(label, []).append((cell.mean or 0.0) - centre)
    return sorted(gains, key=lambda label: -sum(gains[label]) / len(gains[label]))


def _printed(setting: Setting) -> dict[str, float]:
    """Return the papers' accuracy of each of our lines that they printed."""
    found = {}
    for row in printed_rows():
        for _, line in ours(row, [setting.panel.group]):
            value = row.of("accuracy")
            if value is not None:
                found[line.label] = value
    return found


def _panel(ax: Axes, labels: list[str], setting: Setting, printed: Mapping[str, float]) -> None:
    cells, baseline = setting.accuracies, setting.baseline
    first = None if baseline is None else baseline.label
    if first is not None and first in cells:
        ax.axvline(cells[first].mean or 0.0, color=GREY, lw=0.7, ls=(0, (3, 2)), zorder=1)
    low, high = _limits(cells.values(), list(printed.values()))
    ax.set_xlim(low, high)
    shown = {one.candidate: one for one in setting.panel.by("accuracy")}
    for y, label in enumerate(labels):
        if label in printed:
            ax.plot(printed[label], y, "s", color=ORANGE, mfc="none", ms=4, mew=0.9, zorder=4,
                    gid="printed")  # fmt: skip
        if label in cells:
            _row(ax, y, cells[label], shown.get(label), is_baseline=label == first)


def _row(ax: Axes, y: int, cell: Cell, one: Comparison | None, *, is_baseline: bool) -> None:
    low, high = ax.get_xlim()
    mean = cell.mean or 0.0
    flat = [collapsed(record) for record in cell.records]
    sound = [value for value, mark in zip(cell.values, flat, strict=True) if not mark]
    gone = [value for value, mark in zip(cell.values, flat, strict=True) if mark]
    sound, below = sound if len(cell.values) > 1 else [], y + RUNS_BELOW
    ax.plot(sound, [below] * len(sound), "o", color=GREY, alpha=0.6, ms=2, mew=0, zorder=2)
    ax.plot(gone, [below] * len(gone), "x", color=VERMILION, ms=3, mew=0.8, zorder=4)
    if not low <= mean <= high:
        beyond_edge(ax, y, mean, all(flat))
        return
    if cell.low is not None and cell.high is not None:
        ax.hlines(y, cell.low, cell.high, color=BLUE, lw=1.1, zorder=3)
    marked = one is not None and one.shown
    ax.plot(mean, y, "D" if is_baseline else "o", color=BLUE, ms=4, mew=0.9,
            mfc=BLUE if marked else "white", zorder=5, gid="mean")  # fmt: skip


def _limits(cells: Iterable[Cell], printed: list[float]) -> tuple[float, float]:
    """Return limits that show the optimizers without a collapsed run, where there are any."""
    cells = list(cells)
    sound = [cell for cell in cells if not cell.collapsed]
    shown = [value for cell in sound or cells for value in cell.values]
    ends = [end for cell in sound if cell.n > 2 for end in (cell.low, cell.high) if end is not None]
    return focus([*shown, *ends, *printed], (-1.0, 101.0))


def _caption(settings: list[Setting], printed: bool) -> str:
    cells = [cell for setting in settings for cell in setting.accuracies.values()]
    counts = number_of_runs(len(cell.values) for cell in cells)
    bars = (
        f"mean and its 95 % interval, each by itself, over {counts} of each optimizer"
        if any(cell.low is not None for cell in cells)
        else f"{counts} of each optimizer, so no interval"
    )
    text = f"Test accuracy, {bars}; grey dots are single runs."
    baselines = dict.fromkeys(s.baseline.title for s in settings if s.baseline)
    if baselines:
        text += (
            f" Dashed line and diamond: the baseline ({', '.join(baselines)}). Filled: shown to "
            "differ from the baseline (p < 0.05, corrected over the report)."
        )
    if any(cell.collapsed for cell in cells):
        text += (
            " Crosses: collapsed runs, which predict one class for every image; a triangle and a "
            "number stand for a mean beyond the edge."
        )
    return text + (" Orange squares: the paper's printed numbers, one run each." if printed else "")
