"""Curvature: accuracy against sharpness, and its distribution over single batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sambench.analysis.groups import by_key
from sambench.analysis.inference import Floats
from sambench.analysis.metrics import Metric, collapsed, find_metric, value_at
from sambench.analysis.ranks import LEAST_REPEATS, RankCorrelation
from sambench.analysis.study import FLATNESS
from sambench.analysis.units import LEAST_RANKED, Measured, rank_together, with_accuracy
from sambench.report.figures import layout
from sambench.report.figures.material import Drawn, Material, Setting, caption
from sambench.report.style import BLUE, PALE, SMALL, VERMILION, bare
from sambench.store.record import RunRecord

ACCURACY = "Test accuracy (%)"
PERCENTILES = (5, 25, 50, 75, 95)
RUN: dict[str, Any] = {"ls": "", "marker": "o", "color": PALE, "ms": 2.4, "mew": 0, "zorder": 1}
UNTRUSTED: dict[str, Any] = {
    "ls": "", "marker": "x", "color": VERMILION, "ms": 3.5, "mew": 0.9, "zorder": 2,
}  # fmt: skip


def flatness(_: Material, setting: Setting) -> Drawn:
    """Draw accuracy against the top eigenvalue above, against the trace below."""
    measured = [(m, with_accuracy([setting.group], m)) for m in map(find_metric, FLATNESS)]
    drawn = [one for one in measured if sum(run.sound for run in one[1]) >= LEAST_RANKED]
    if not drawn:
        return f"fewer than {LEAST_RANKED} runs have a measured curvature"
    runs = [run for _, found in drawn for run in found]
    names = dict.fromkeys(setting.titles[run.line] for run in runs if run.sound)
    figure, panels = layout.named_points(len(drawn), list(names), above=0.36)
    some = any(len(found) < len(setting.group.completed) for _, found in drawn)
    for ax, (metric, found) in zip(panels, drawn, strict=True):
        _panel(ax, metric, found, setting.titles)
        ax.set_ylabel("Test accuracy (%) of runs\nwith this curvature" if some else ACCURACY)
    return figure, caption(
        "flatness",
        interval=len({run.unit for run in runs}) >= LEAST_REPEATS,
        unsound=not all(run.sound for run in runs),
        no_minimum=any(run.sound and not run.minimum for run in runs),
        some=some,
    )


def _panel(ax: Axes, metric: Metric, runs: Sequence[Measured], titles: Mapping[str, str]) -> None:
    sound = [run for run in runs if run.sound]
    low, high = layout.focus([run.accuracy for run in sound], layout.PERCENT)
    ax.set_ylim(low, high)
    negative = any(run.sharpness <= 0 for run in sound)
    shown = [run for run in runs if not run.sound and (run.sharpness > 0 or negative)]
    for gid, some, style in (("runs", sound, RUN), ("untrusted", shown, UNTRUSTED)):
        edge = np.clip([run.accuracy for run in some], low + 0.015 * (high - low), high)
        ax.plot([run.sharpness for run in some], edge, gid=gid, clip_on=False, **style)
    by_line = by_key(sound, lambda run: run.line)
    x = [float(np.median([run.sharpness for run in of])) for of in by_line.values()]
    y = [max(low, float(np.mean([run.accuracy for run in of]))) for of in by_line.values()]
    ax.plot(x, y, "o", color=BLUE, ms=4, mew=0, zorder=3)
    layout.curvature_axis(ax, [run.sharpness for run in (*sound, *shown)], 0.05, most=4)
    layout.round_ticks(ax.yaxis)
    ax.set_xlabel(metric.title if "Hessian" in metric.title else f"{metric.title} of the Hessian")
    everywhere, within = rank_together(runs) or (None, None)
    text = f"all runs: {_said(everywhere)}\nwithin optimizers: {_said(within)}"
    ax.set_title(text, size=SMALL, loc="left", pad=3)
    bare(ax)
    layout.label_points(ax, x, y, [titles[label] for label in by_line])


def _said(found: RankCorrelation | None) -> str:
    if found is None or found.tau is None:
        return "no τ (one run each)" if found and not found.pairs else "τ is not defined"
    ends = found.interval
    brackets = "" if ends is None else f" [{ends[0]:+.2f}, {ends[1]:+.2f}]"
    return f"τ = {found.tau:+.2f}{brackets}".replace("-", "−")


def batches(_: Material, setting: Setting) -> Drawn:
    """Draw the values of all batches of all runs of each optimizer, and their percentiles."""
    found = [
        (line.title, record, spectrum)
        for line in setting.lines
        for record in line.completed
        if len(spectrum := _of_batches(record))
    ]
    usual = Counter(_definition(record) for _, record, _ in found).most_common(1)
    sound = [one for one in found if not collapsed(one[1]) and _definition(one[1]) == usual[0][0]]
    if not sound:
        return "no run that has not collapsed has a batch spectrum"
    values = {
        title: np.concatenate([spectrum for _, _, spectrum in runs])
        for title, runs in by_key(sound, lambda one: one[0]).items()
    }
    labels = sorted(values, key=lambda label: float(np.median(values[label])))
    figure, (ax,) = layout.rows(labels)
    for y, every in enumerate(values[label] for label in labels):
        low, quarter, middle, three, high = np.percentile(every, PERCENTILES)
        ax.plot(every, np.full(len(every), y), "|", color=PALE, ms=4, mew=0.4, zorder=1)
        ax.hlines(y, low, high, color=BLUE, lw=0.8, zorder=2)
        ax.hlines(y, quarter, three, color=BLUE, lw=2.6, zorder=3)
        ax.plot(middle, y, "o", color=BLUE, mfc="white", ms=3.6, mew=0.9, zorder=4, gid="median")
    together = np.concatenate([values[label] for label in labels])
    layout.curvature_axis(ax, together.tolist(), 0.04)
    if together.min() <= 0:
        ax.axvline(0, color=PALE, lw=0.6, zorder=0)
    name = usual[0][0].removeprefix("batch-").replace("-", " ").capitalize()
    ax.set_xlabel(f"{name} of a batch's Hessian")
    return figure, caption("batches", name=name)


def _definition(record: RunRecord) -> str:
    return str((record.hessian or {}).get("definition"))


def _of_batches(record: RunRecord) -> Floats:
    """Return the finite values of a record's batches."""
    values: Any = value_at(record, "hessian.batch_spectrum.values")
    array = np.asarray(values or [], dtype=np.float64)
    return array[np.isfinite(array)]
