"""Curvature: accuracy against sharpness, and its distribution over single batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from sambench.analysis.groups import Line, Unit
from sambench.analysis.metrics import Metric, collapsed, find_metric, find_metrics
from sambench.analysis.ranks import LEAST_REPEATS, RankCorrelation, rank_correlation
from sambench.report.figures.layout import (
    PERCENT,
    curvature_axis,
    focus,
    label_points,
    named_points,
    round_ticks,
    rows,
)
from sambench.report.figures.material import Drawn, Material, Setting
from sambench.report.style import BLUE, PALE, SMALL, VERMILION, bare
from sambench.store.record import RunRecord

LEAST_RUNS = 3
PERCENTILES = (5, 25, 50, 75, 95)
RUN: dict[str, Any] = {"ls": "", "marker": "o", "color": PALE, "ms": 2.4, "mew": 0, "zorder": 1}
UNTRUSTED: dict[str, Any] = {
    "ls": "", "marker": "x", "color": VERMILION, "ms": 3.5, "mew": 0.9, "zorder": 2,
}  # fmt: skip
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run: whose it is, its sharpness and test accuracy, and whether both can be trusted."""

    label: str
    unit: Unit
    sharpness: float
    accuracy: float
    trusted: bool


def flatness(_: Material, setting: Setting) -> Drawn:
    """Draw accuracy against the top eigenvalue above, against the trace below."""
    measured = [
        (metric, [run for line in setting.lines for run in _runs(setting, line, metric)])
        for metric in find_metrics(["top", "trace"])
    ]
    drawn = [one for one in measured if sum(run.trusted for run in one[1]) >= LEAST_RUNS]
    if not drawn:
        return f"fewer than {LEAST_RUNS} runs have a measured curvature"
    runs = [run for _, found in drawn for run in found]
    names = list(dict.fromkeys(run.label for run in runs if run.trusted))
    figure, panels = named_points(len(drawn), names, above=0.36)
    for ax, (metric, found) in zip(panels, drawn, strict=True):
        _panel(ax, metric, found)
    return figure, _caption(runs)


def _runs(setting: Setting, line: Line, metric: Metric) -> Iterator[Measured]:
    for record in line.completed:
        sharpness, accuracy = metric.of(record), find_metric("accuracy").of(record)
        if sharpness is not None and accuracy is not None:
            yield Measured(
                label=line.title,
                unit=setting.panel.group.unit(record),
                sharpness=sharpness,
                accuracy=accuracy,
                trusted=metric.trusted(record) and not collapsed(record),
            )


def _panel(ax: Axes, metric: Metric, runs: Sequence[Measured]) -> None:
    sound = [run for run in runs if run.trusted]
    low, high = focus([run.accuracy for run in sound], PERCENT)
    ax.set_ylim(low, high)
    negative = any(run.sharpness <= 0 for run in sound)
    shown = [run for run in runs if not run.trusted and (run.sharpness > 0 or negative)]
    for gid, some, style in (("runs", sound, RUN), ("untrusted", shown, UNTRUSTED)):
        edge = np.clip([run.accuracy for run in some], low + 0.015 * (high - low), high)
        ax.plot([run.sharpness for run in some], edge, gid=gid, clip_on=False, **style)
    labels = list(dict.fromkeys(run.label for run in sound))
    of_label = [[run for run in sound if run.label == label] for label in labels]
    x = [float(np.median([run.sharpness for run in of])) for of in of_label]
    y = [max(low, float(np.mean([run.accuracy for run in of]))) for of in of_label]
    ax.plot(x, y, "o", color=BLUE, ms=4, mew=0, zorder=3)
    curvature_axis(ax, [run.sharpness for run in (*sound, *shown)], 0.05, most=4)
    round_ticks(ax.yaxis)
    ax.set_xlabel(metric.title if "Hessian" in metric.title else f"{metric.title} of the Hessian")
    ax.set_ylabel("Test accuracy (%)")
    everywhere, within = _correlations(sound)
    text = f"all runs: {_said(everywhere)}\nwithin optimizers: {_said(within)}"
    ax.set_title(text, size=SMALL, loc="left", pad=3)
    bare(ax)
    label_points(ax, x, y, labels)


def _correlations(runs: Sequence[Measured]) -> tuple[RankCorrelation, RankCorrelation]:
    """Return the rank correlation of sharpness and accuracy over all runs, within optimizers."""
    numbers = (
        [run.sharpness for run in runs],
        [run.accuracy for run in runs],
        [run.unit for run in runs],
    )
    return rank_correlation(*numbers), rank_correlation(*numbers, [run.label for run in runs])


def _said(found: RankCorrelation) -> str:
    if found.tau is None:
        return "τ is not defined" if found.pairs else "no τ (one run each)"
    ends = found.interval
    brackets = "" if ends is None else f" [{ends[0]:+.2f}, {ends[1]:+.2f}]"
    return f"τ = {found.tau:+.2f}{brackets}".replace("-", "−")


def _caption(runs: Sequence[Measured]) -> str:
    text = (
        "Test accuracy against the curvature of the training loss at the selected weights. Grey "
        "dots are runs; blue ones are optimizers (median curvature, mean accuracy). Kendall's "
        "tau-b: −1 would be that flatter always is more accurate, 0 that flatness says nothing. "
        "Within optimizers only runs of the same optimizer are compared. What has a far lower "
        "accuracy than the others stands on the lower edge."
    )
    if len({run.unit for run in runs}) >= LEAST_REPEATS:
        text += " Brackets: 95 % bootstrap interval over seeds or folds, with these optimizers."
    else:
        text += " Fewer than six seeds or folds give no interval."
    if not all(run.trusted for run in runs):
        text += (
            " Crosses: collapsed runs and measurements that did not converge; neither is counted."
        )
    return text


def batches(_: Material, setting: Setting) -> Drawn:
    """Draw the values of all batches of all runs of each optimizer, and their percentiles."""
    found = [
        (line.title, record, spectrum)
        for line in setting.lines
        for record in line.completed
        if (spectrum := _of_batches(record)) is not None
    ]
    measured = Counter(_definition(record) for _, record, _ in found).most_common(1)
    parts: dict[str, list[Floats]] = {}
    for title, record, spectrum in found:
        if not collapsed(record) and _definition(record) == measured[0][0]:
            parts.setdefault(title, []).append(spectrum)
    if not parts:
        return "no run that has not collapsed has a batch spectrum"
    values = {title: np.concatenate(some) for title, some in parts.items()}
    labels = sorted(values, key=lambda label: float(np.median(values[label])))
    figure, (ax,) = rows(labels)
    for y, label in enumerate(labels):
        low, quarter, middle, three, high = np.percentile(values[label], PERCENTILES)
        every = values[label]
        ax.plot(every, np.full(len(every), y), "|", color=PALE, ms=4, mew=0.4, zorder=1)
        ax.hlines(y, low, high, color=BLUE, lw=0.8, zorder=2)
        ax.hlines(y, quarter, three, color=BLUE, lw=2.6, zorder=3)
        ax.plot(middle, y, "o", color=BLUE, mfc="white", ms=3.6, mew=0.9, zorder=4, gid="median")
    together = np.concatenate([values[label] for label in labels])
    curvature_axis(ax, together.tolist(), 0.04)
    if together.min() <= 0:
        ax.axvline(0, color=PALE, lw=0.6, zorder=0)
    name = measured[0][0].removeprefix("batch-").replace("-", " ").capitalize()
    ax.set_xlabel(f"{name} of a batch's Hessian")
    return figure, (
        f"{name} of the Hessian of each batch's mean loss: grey dots are the "
        "batches of all runs, circles their medians, thick lines the middle half, thin lines "
        "from the 5th to the 95th percentile. Collapsed runs are left out."
    )


def _definition(record: RunRecord) -> str:
    return str((record.hessian or {}).get("definition"))


def _of_batches(record: RunRecord) -> Floats | None:
    """Return the finite values of a record's batches; None where there is none."""
    section = (record.hessian or {}).get("batch_spectrum")
    values = section.get("values") if isinstance(section, Mapping) else None
    if not isinstance(values, list):
        return None
    try:
        array = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return None
    array = array[np.isfinite(array)]
    return array if len(array) else None
