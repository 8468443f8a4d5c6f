"""Accuracy by optimizer and model, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sambench.analysis.comparison import BETTER, WORSE
from sambench.analysis.means import CellMean, cell_mean
from sambench.analysis.metrics import collapsed, find_metric
from sambench.report.figures.axes import focus
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.figures.rows import RUNS_BELOW, beyond_edge, name_below, rows
from sambench.report.figures.wording import intervals
from sambench.report.picture import Picture
from sambench.report.style import BLUE, GREY, VERMILION, plain_png

TITLE = "Accuracy by optimizer and model"
MOST_PANELS = 12
METRIC = find_metric("accuracy")


def draw(material: Material) -> Iterator[Picture | LeftOut]:
    """Draw a figure for each data set, a panel for each model (or protocol)."""
    of_data: dict[str, list[Setting]] = {}
    for setting in material.settings:
        of_data.setdefault(setting.group.setting.dataset, []).append(setting)
    for dataset, settings in of_data.items():
        if len(settings) > MOST_PANELS:
            why = f"{len(settings)} settings on {dataset} are more than {MOST_PANELS} panels"
            yield LeftOut(what=TITLE, why=why)
            continue
        yield _figure(material, dataset, settings)


def _figure(material: Material, dataset: str, settings: list[Setting]) -> Picture:
    tables = [_cells(setting) for setting in settings]
    labels = _order(tables)
    made = rows(labels, [_title(setting, dataset) for setting in settings])
    for ax, setting, cells in zip(made.panels, settings, tables, strict=True):
        verdicts = {
            label: found.verdict for label, found in material.against_baseline(setting).items()
        }
        _panel(ax, labels, cells, setting.baseline, verdicts)
        most = 6 if len(settings) == 1 else 3
        ax.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))
    name_below(made, "Test accuracy (%)")
    every = [cell for cells in tables for cell in cells.values()]
    return Picture(
        stem=f"figure-accuracy-{dataset}",
        title=f"{TITLE}: {dataset}",
        caption=_caption(every, settings),
        png=plain_png(made.figure),
    )


def _cells(setting: Setting) -> dict[str, CellMean]:
    found = {line.label: cell_mean(line.completed, METRIC) for line in setting.lines}
    return {label: cell for label, cell in found.items() if cell is not None}


def _order(tables: list[dict[str, CellMean]]) -> list[str]:
    """Return the labels, best first, by their mean distance from the mean of a panel."""
    gains: dict[str, list[float]] = {}
    for cells in tables:
        centre = sum(cell.mean for cell in cells.values()) / max(len(cells), 1)
        for label, cell in cells.items():
            gains.setdefault(label, []).append(cell.mean - centre)
    return sorted(gains, key=lambda label: -sum(gains[label]) / len(gains[label]))


def _title(setting: Setting, dataset: str) -> str:
    return setting.name.replace(f" on {dataset}", "")


def _panel(
    ax: Axes,
    labels: list[str],
    cells: Mapping[str, CellMean],
    baseline: str | None,
    verdicts: Mapping[str, str],
) -> None:
    if baseline is not None and baseline in cells:
        ax.axvline(cells[baseline].mean, color=GREY, lw=0.7, ls=(0, (3, 2)), zorder=1)
    low, high = _limits(cells.values())
    ax.set_xlim(low, high)
    for y, label in enumerate(labels):
        if label not in cells:
            continue
        cell = cells[label]
        flat = [collapsed(record) for record in cell.records]
        sound = [value for value, mark in zip(cell.values, flat, strict=True) if not mark]
        sound = sound if len(cell.values) > 1 else []
        gone = [value for value, mark in zip(cell.values, flat, strict=True) if mark]
        beside = y + RUNS_BELOW
        ax.plot(sound, [beside] * len(sound), "o", color=GREY, alpha=0.6, ms=2, mew=0, zorder=2)
        ax.plot(gone, [beside] * len(gone), "x", color=VERMILION, ms=3, mew=0.8, zorder=4)
        if cell.interval is not None and low <= cell.mean <= high:
            ax.hlines(y, cell.interval.low, cell.interval.high, color=BLUE, lw=1.1, zorder=3)
        marked = verdicts.get(label) in (BETTER, WORSE)
        if low <= cell.mean <= high:
            ax.plot(cell.mean, y, "D" if label == baseline else "o", color=BLUE, ms=4, mew=0.9,
                    mfc=BLUE if marked else "white", zorder=5, gid="mean")  # fmt: skip
        else:
            beyond_edge(ax, y, cell.mean, all(flat))


def _limits(cells: Iterable[CellMean]) -> tuple[float, float]:
    """Return limits that show the optimizers without a collapsed run, where there are any."""
    cells = list(cells)
    sound = [cell for cell in cells if not any(map(collapsed, cell.records))]
    shown = [value for cell in sound or cells for value in cell.values]
    ends = [
        end
        for cell in sound
        if cell.interval is not None and len(cell.values) > 2
        for end in (cell.interval.low, cell.interval.high)
    ]
    return focus([*shown, *ends], (-1.0, 101.0))


def _caption(cells: list[CellMean], settings: list[Setting]) -> str:
    text = f"Test accuracy, {intervals(cells)}; grey dots are single runs."
    baselines = dict.fromkeys(setting.baseline for setting in settings if setting.baseline)
    if baselines:
        names = ", ".join(baselines)
        text += (
            f" Dashed line and diamond: the baseline ({names}). Filled: differs from the baseline, "
            "p < 0.05 after Holm's correction; hollow: no difference shown."
        )
    if any(collapsed(record) for cell in cells for record in cell.records):
        text += (
            " Crosses: collapsed runs, which predict one class for every image; a triangle and a "
            "number stand for a mean beyond the edge."
        )
    return text
