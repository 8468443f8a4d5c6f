"""Spectral densities and loss landscapes of several optimizers, where they were studied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from sambench.analysis.groups import Line
from sambench.analysis.metrics import value_at
from sambench.files.arrays import Arrays
from sambench.report import curvature_plots as plots
from sambench.report.figures.layout import asinh_axis, log_axis, panels, short
from sambench.report.figures.material import Drawn, Material, Setting, caption
from sambench.report.style import BLUE, GREY, SMALL, place
from sambench.store.record import RunRecord

NO_LANDSCAPE = "no run has one; `sambench hessian RUN --landscape` computes it"
NEEDS = {
    "density": ("grid", "density", "density_stderr", "resolved", "scale"),
    "landscape.line": ("x", "loss"),
    "landscape.plane": ("x", "y", "loss"),
}
"""The arrays of each study."""
BAR = 0.56
"""Room for the bar of colours in inches."""
Studied = tuple[RunRecord, Mapping[str, Any], Arrays]
"""A run, what its record says of a study, and the arrays."""


def densities(material: Material, setting: Setting) -> Drawn:
    """Draw a panel for each optimizer, the density of the first run of it that was studied."""
    found = _studied(material, setting, "density")
    if not found:
        return "no run has one; `sambench hessian RUN --density` computes it"
    figure, grid = panels(
        list(found), x="Eigenvalue λ of the Hessian", y="Density (per unit λ)", shape=0.85,
        left=0.56,
    )  # fmt: skip
    records, sections, every = zip(*found.values(), strict=True)
    floors = [
        plots.density_floor(section["parameters"], section["kernel_width"], arrays["grid"])
        for section, arrays in zip(sections, every, strict=True)
    ]
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
            largest = short(float(f"{arrays['resolved'].max():.3g}"))
            ax.text(0.97, 0.95, largest, size=SMALL, ha="right", va="top", transform=ax.transAxes)
        asinh_axis(ax, low, high, scale)
        ax.set_ylim(min(floors), 5 * peak)
    seeds = sorted({record.config.seed for record in records})
    return figure, caption("densities", seeds=seeds, first=next(iter(found)))


def _studied(material: Material, setting: Setting, what: str) -> dict[str, Studied]:
    """Return the first run of each optimizer that was studied so, by title."""
    found = ((line.title, next(_of_line(material, line, what), None)) for line in setting.lines)
    return {title: studied for title, studied in found if studied is not None}


def _of_line(material: Material, line: Line, what: str) -> Iterator[Studied]:
    for record in line.completed:
        section: Any = value_at(record, f"hessian.{what}")
        if section is not None:
            kind = section.get("kind", "spectral density")
            arrays = material.arrays(record, section["file"], kind, NEEDS[what])
            if arrays and _can_be_drawn(section, arrays):
                yield record, section, arrays


def _can_be_drawn(section: Mapping[str, Any], arrays: Arrays) -> bool:
    """Whether a density has a floor, or a landscape a finite loss."""
    if "loss" in arrays:
        return bool(np.isfinite(arrays["loss"]).any())
    return bool(section["kernel_width"] * section["parameters"] > 0)


def lines(material: Material, setting: Setting) -> Drawn:
    """Draw the loss along a line, a panel for each optimizer, on one scale."""
    studied = _studied(material, setting, "landscape.line")
    if not studied:
        return None if _studied(material, setting, "landscape.plane") else NO_LANDSCAPE
    figure, grid = panels(
        list(studied), x="Step (filter norms)", y="Loss (nats)", shape=0.8, left=0.5
    )
    title, (_, _, first) = next(iter(studied.items()))
    low, high = plots.loss_range(arrays["loss"] for _, _, arrays in studied.values())
    for ax, (_, _, arrays) in zip(grid, studied.values(), strict=True):
        if arrays is not first:
            plots.draw_loss(ax, first["loss"], first["x"], color=GREY, lw=0.8)
        plots.draw_loss(ax, arrays["loss"], arrays["x"], color=BLUE)
        ax.axvline(0, color=GREY, lw=0.5, ls=(0, (1, 2)))
        if plots.is_wide(low, high):
            log_axis(ax, "y", low, high, most=4)
        ax.set_ylim(low / 1.2 if low > 0 else low, high * 1.1)
    return figure, caption("lines", first=title)


def planes(material: Material, setting: Setting) -> Drawn:
    """Draw the loss on a plane, a panel for each optimizer, on one scale of colours."""
    studied = _studied(material, setting, "landscape.plane")
    if not studied:
        return None
    figure, grid = panels(
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
