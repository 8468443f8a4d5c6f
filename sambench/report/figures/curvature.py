"""Curvature: accuracy against sharpness, over single batches, spectral densities, landscapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from sambench.analysis.groups import by_key
from sambench.analysis.metrics import Metric, collapsed, find_metric, value_at
from sambench.analysis.ranks import LEAST_REPEATS, RankCorrelation
from sambench.analysis.study import FLATNESS
from sambench.analysis.units import LEAST_RANKED, Measured, rank_together, with_accuracy
from sambench.files.arrays import Arrays
from sambench.report import curvature_plots as plots
from sambench.report.figures import layout
from sambench.report.figures.material import Drawn, Material, Setting, caption
from sambench.report.style import BLUE, GREY, LINE, PALE, SMALL, VERMILION, bare, place
from sambench.store.record import RunRecord

PERCENTILES = (5, 25, 50, 75, 95)
RUN: dict[str, Any] = {"ls": "", "marker": "o", "color": PALE, "ms": 2.4, "mew": 0, "zorder": 1}
UNTRUSTED: dict[str, Any] = {
    "ls": "", "marker": "x", "color": VERMILION, "ms": 3.5, "mew": 0.9, "zorder": 2,
}  # fmt: skip

BAR = 0.56
"""Room for the bar of colours in inches."""
Studied = tuple[RunRecord, Mapping[str, Any], Arrays]
"""A run, what its record says of a study, and the arrays."""


def flatness(_: Material, setting: Setting) -> Drawn:
    """Draw accuracy against the top eigenvalue above, against the trace below."""
    measured = [(m, list(with_accuracy([setting.group], m))) for m in map(find_metric, FLATNESS)]
    drawn = [one for one in measured if sum(run.sound for run in one[1]) >= LEAST_RANKED]
    if not drawn:
        return f"fewer than {LEAST_RANKED} runs have a measured curvature"
    runs = [run for _, found in drawn for run in found]
    names = dict.fromkeys(setting.titles[run.line] for run in runs if run.sound)
    figure, panels = layout.named_points(len(drawn), list(names), above=0.36)
    some = any(len(found) < len(setting.group.completed) for _, found in drawn)
    for ax, (metric, found) in zip(panels, drawn, strict=True):
        _panel(ax, metric, found, setting.titles)
        ax.set_ylabel("Test accuracy (%)" + " of runs\nwith this curvature" * some)
    units = [len({run.unit for run in found if run.sound and run.minimum}) for _, found in drawn]
    return figure, caption(
        "flatness",
        interval=max(units) >= LEAST_REPEATS,
        unsound=not all(run.sound for run in runs),
        no_minimum=any(run.sound and not run.minimum for run in runs),
        some=some,
    )


def _panel(ax: Axes, metric: Metric, runs: Sequence[Measured], titles: Mapping[str, str]) -> None:
    sound = [run for run in runs if run.sound]
    low, high = layout.focus([run.accuracy for run in sound], percent=True)
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
    layout.percent_ticks(ax.yaxis)
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
        (line.title, record, str(value_at(record, "hessian.definition")), spectrum)
        for line in setting.lines
        for record in line.completed
        if (spectrum := (record.hessian or {}).get("batch_spectrum", {}).get("values"))
    ]
    usual = Counter(definition for *_, definition, _ in found).most_common(1)
    sound = [one for one in found if not collapsed(one[1]) and one[2] == usual[0][0]]
    if not sound:
        return "no run that has not collapsed has a batch spectrum"
    values = {
        title: np.concatenate([spectrum for *_, spectrum in runs])
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


def densities(material: Material, setting: Setting) -> Drawn:
    """Draw a panel for each optimizer, the density of the first run of it that was studied."""
    found = _studied(material, setting, "density")
    if not found:
        return _none(setting, "density", "`sambench hessian RUN --density` computes it")
    figure, grid = layout.panels(
        list(found), x="Eigenvalue λ of the Hessian", y="Density (per unit λ)", shape=0.85,
        left=0.56,
    )  # fmt: skip
    every = [arrays for *_, arrays in found.values()]
    floors = [plots.density_floor(section, own["grid"]) for _, section, own in found.values()]
    low = min(float(arrays["grid"][0]) for arrays in every)
    high = max(float(arrays["grid"][-1]) for arrays in every)
    scale = max(float(arrays["scale"]) for arrays in every)
    peak = max(float(arrays["density"].max()) for arrays in every)
    first = every[0]
    for ax, arrays, own in zip(grid, every, floors, strict=True):
        if arrays is not first:
            above = np.where(first["density"] > floors[0], first["density"], np.nan)
            ax.plot(first["grid"], above, color=GREY, lw=0.7)
        plots.draw_density(ax, arrays, min(floors), own)
        if len(arrays["resolved"]):
            largest = layout.short(float(f"{arrays['resolved'].max():.3g}"))
            ax.text(0.97, 0.95, largest, size=SMALL, ha="right", va="top", transform=ax.transAxes)
        layout.asinh_axis(ax, low, high, scale)
        ax.set_ylim(min(floors), 5 * peak)
    seeds = sorted({record.config.seed for record, *_ in found.values()})
    return figure, caption("densities", seeds=seeds, first=next(iter(found)))


def _studied(material: Material, setting: Setting, what: str) -> dict[str, Studied]:
    """Return the first run of each optimizer that was studied so, by title."""
    found: dict[str, Studied] = {}
    for line in setting.lines:
        for record in line.completed:
            section: Any = value_at(record, f"hessian.{what}")
            if section is not None and line.title not in found:
                kind = section.get("kind", "spectral density")
                needs = plots.ARRAYS[what.rpartition(".")[2]]
                arrays = material.arrays(record, section, kind, needs)
                if arrays and _can_be_drawn(section, arrays):
                    found[line.title] = record, section, arrays
    return found


def _none(setting: Setting, what: str, remedy: str) -> str:
    """Say why a study is not drawn: no run has it, or what each has is damaged or not finite."""
    there = any(value_at(record, f"hessian.{what}") for record in setting.group.completed)
    return "no run has one that can be drawn" if there else f"no run has one; {remedy}"


def _can_be_drawn(section: Mapping[str, Any], arrays: Arrays) -> bool:
    """Whether a density has a floor, or a landscape a finite loss."""
    if "loss" in arrays:
        return bool(np.isfinite(arrays["loss"]).any())
    return bool(section["kernel_width"] * section["parameters"] > 0)


def lines(material: Material, setting: Setting) -> Drawn:
    """Draw the loss along a line, a panel for each optimizer, on one scale."""
    studied = _studied(material, setting, "landscape.line")
    if not studied:
        plane = _studied(material, setting, "landscape.plane")
        remedy = "`sambench hessian RUN --landscape` computes it"
        return None if plane else _none(setting, "landscape.line", remedy)
    figure, grid = layout.panels(
        list(studied), x="Step (filter norms)", y="Loss (nats)", shape=0.8, left=0.5
    )
    title, (_, _, first) = next(iter(studied.items()))
    low, high = plots.loss_range(arrays["loss"] for _, _, arrays in studied.values())
    for ax, (_, _, arrays) in zip(grid, studied.values(), strict=True):
        if arrays is not first:
            ax.plot(first["x"], first["loss"], color=GREY, lw=0.8)
        ax.plot(arrays["x"], arrays["loss"], color=BLUE, lw=LINE)
        ax.axvline(0, color=GREY, lw=0.5, ls=(0, (1, 2)))
        if plots.is_wide(low, high):
            layout.log_axis(ax, "y", low, high, most=4)
        ax.set_ylim(low / 1.2 if low > 0 else low, high * 1.1)
    return figure, caption("lines", first=title)


def planes(material: Material, setting: Setting) -> Drawn:
    """Draw the loss on a plane, a panel for each optimizer, on one scale of colours."""
    studied = _studied(material, setting, "landscape.plane")
    if not studied:
        return None
    figure, grid = layout.panels(
        list(studied), x="Direction 1 (filter norms)", y="Direction 2", left=0.42, right=BAR
    )
    low, high = plots.loss_range(arrays["loss"] for _, _, arrays in studied.values())
    for ax, (_, _, arrays) in zip(grid, studied.values(), strict=True):
        filled = plots.fill_contours(ax, arrays, low, high)
        for axis, coordinates in ((ax.xaxis, arrays["x"]), (ax.yaxis, arrays["y"])):
            half = float(f"{coordinates[-1] / 2:.1g}")
            axis.set_major_locator(FixedLocator([-half, 0, half]))
            axis.set_major_formatter(lambda x, _: f"{x:g}".replace("0.", ".").replace("-", "−"))
    _bar(figure, filled)
    return figure, caption("planes")


def _bar(figure: Figure, filled: ContourSet) -> None:
    wide, tall = figure.get_size_inches()
    high = min(2.0, tall - 0.9)
    ax = place(figure, wide - BAR + 0.14, (tall - 0.4 - high) / 2 + 0.1, 0.09, high)
    bar = figure.colorbar(ScalarMappable(filled.norm, "viridis"), cax=ax)
    bar.outline.set_linewidth(0.4)
    plots.number_bar(bar, *filled.get_clim())
    bar.ax.set_title("Loss", size=SMALL, pad=4)
