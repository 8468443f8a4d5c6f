"""Spectral densities and loss landscapes of several optimizers, where they were studied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import NDArray

from sambench.analysis.groups import Line
from sambench.analysis.metrics import value_at
from sambench.files.arrays import Arrays
from sambench.report.curvature_plots import (
    WIDE_RANGE,
    density_floor,
    draw_density,
    draw_loss,
    fill_contours,
    loss_range,
    loss_scale,
    number_bar,
)
from sambench.report.figures.layout import asinh_axis, log_axis, panels, short
from sambench.report.figures.material import Drawn, Material, Setting
from sambench.report.style import BLUE, GREY, SMALL, place
from sambench.store.record import RunRecord

Floats = NDArray[np.float64]
DENSITY = ("grid", "density", "density_stderr", "resolved", "scale")
NO_LANDSCAPE = "no run has one; `sambench hessian RUN --landscape` computes it"
KINDS = {"line": ("x", "loss"), "plane": ("x", "y", "loss")}
BAR = 0.56
"""Room for the bar of colours in inches."""
Density = tuple[RunRecord, Arrays, float]
"""A run, its density, and where that drowns in the kernels' tails."""


def densities(material: Material, setting: Setting) -> Drawn:
    """Draw a panel for each optimizer, the density of the first run of it that was studied."""
    studied = {line.title: next(_densities(material, line), None) for line in setting.lines}
    found = {title: density for title, density in studied.items() if density is not None}
    if not found:
        return "no run has one; `sambench hessian RUN --density` computes it"
    seeds = sorted({record.config.seed for record, _, _ in found.values()})
    return _draw_densities(found), (
        "Density of the eigenvalues of the Hessian, by stochastic Lanczos quadrature, of one "
        f"run of each optimizer (seed {', '.join(map(str, seeds))}); band: one standard error "
        "over probes; red marks: eigenvalues that were resolved one by one, the number is the "
        f"largest. Grey is {next(iter(found))}. Both axes span many powers of ten; the horizontal "
        "one is linear around zero."
    )


def _densities(material: Material, line: Line) -> Iterator[Density]:
    for record, section, arrays in _studied(material, line, "density", DENSITY):
        width, size = section.get("kernel_width"), section.get("parameters")
        if isinstance(width, float) and isinstance(size, int) and width * size > 0:
            yield record, arrays, density_floor(size, width, arrays["grid"])


def _studied(
    material: Material, line: Line, what: str, needs: Sequence[str]
) -> Iterator[tuple[RunRecord, Mapping[str, Any], Arrays]]:
    """Yield the runs of an optimizer that were studied so, what their record says, and arrays."""
    for record in line.completed:
        section = value_at(record, f"hessian.{what}")
        if isinstance(section, Mapping) and "file" in section:
            kind = str(section.get("kind", "spectral density"))
            arrays = material.arrays(record, section["file"], kind, needs)
            if arrays:
                yield record, section, arrays


def _draw_densities(found: Mapping[str, Density]) -> Figure:
    figure, grid = panels(
        list(found), x="Eigenvalue λ of the Hessian", y="Density (per unit λ)", shape=0.85,
        left=0.56,
    )  # fmt: skip
    every = [arrays for _, arrays, _ in found.values()]
    low = min(float(arrays["grid"][0]) for arrays in every)
    high = max(float(arrays["grid"][-1]) for arrays in every)
    scale = max(float(arrays["scale"]) for arrays in every)
    floor = min(own for _, _, own in found.values())
    peak = max(float(arrays["density"].max()) for arrays in every)
    _, first, floor_of_first = next(iter(found.values()))
    for ax, (_, arrays, own) in zip(grid, found.values(), strict=True):
        if arrays is not first:
            above = np.where(first["density"] > floor_of_first, first["density"], np.nan)
            ax.plot(first["grid"], above, color=GREY, lw=0.7)
        draw_density(ax, arrays, floor, own)
        if len(arrays["resolved"]):
            largest = short(float(f"{arrays['resolved'].max():.3g}"))
            ax.text(0.97, 0.95, largest, size=SMALL, ha="right", va="top", transform=ax.transAxes)
        asinh_axis(ax, low, high, scale)
        ax.set_ylim(floor, 5 * peak)
    return figure


def lines(material: Material, setting: Setting) -> Drawn:
    """Draw the loss along a line, a panel for each optimizer, on one scale."""
    studied = _landscapes(material, setting, "line")
    if not studied:
        return None if _landscapes(material, setting, "plane") else NO_LANDSCAPE
    figure, grid = panels(
        list(studied), x="Step (filter norms)", y="Loss (nats)", shape=0.8, left=0.5
    )
    title, first = next(iter(studied.items()))
    low, high = loss_range(arrays["loss"] for arrays in studied.values())
    for ax, arrays in zip(grid, studied.values(), strict=True):
        if arrays is not first:
            draw_loss(ax, first["loss"], first["x"], color=GREY, lw=0.8)
        draw_loss(ax, arrays["loss"], arrays["x"], color=BLUE)
        ax.axvline(0, color=GREY, lw=0.5, ls=(0, (1, 2)))
        if low > 0 and high / low > WIDE_RANGE:
            log_axis(ax, "y", low, high, most=4)
        ax.set_ylim(low / 1.2 if low > 0 else low, high * 1.1)
    return figure, (
        "Training loss along a random direction scaled to the norm of each filter, one "
        f"run of each optimizer. Grey is {title}."
    )


def planes(material: Material, setting: Setting) -> Drawn:
    """Draw the loss on a plane, a panel for each optimizer, on one scale of colours."""
    studied = _landscapes(material, setting, "plane")
    if not studied:
        return None
    figure, grid = panels(
        list(studied), x="Direction 1 (filter norms)", y="Direction 2", left=0.42, right=BAR
    )
    low, high = loss_range(arrays["loss"] for arrays in studied.values())
    norm = loss_scale(low, high)
    for ax, arrays in zip(grid, studied.values(), strict=True):
        fill_contours(ax, arrays, norm)
        for axis, coordinates in ((ax.xaxis, arrays["x"]), (ax.yaxis, arrays["y"])):
            half = float(f"{coordinates[-1] / 2:.1g}")
            axis.set_major_locator(FixedLocator([-half, 0, half]))
            axis.set_major_formatter(FuncFormatter(lambda value, _: _brief(value)))
    _bar(figure, norm)
    return figure, (
        "Training loss on a plane of two random directions scaled to the norm of each "
        "filter, one run of each optimizer, on one scale of colours; the cross marks the "
        "run's weights."
    )


def _brief(value: float) -> str:
    return f"{value:g}".replace("0.", ".").replace("-", "−")


def _bar(figure: Figure, norm: Normalize) -> None:
    wide, tall = figure.get_size_inches()
    high = min(2.0, tall - 0.9)
    ax = place(figure, wide - BAR + 0.14, (tall - 0.4 - high) / 2 + 0.1, 0.09, high)
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), cax=ax)
    bar.outline.set_linewidth(0.4)
    number_bar(bar, norm)
    bar.ax.set_title("Loss", size=SMALL, pad=4)


def _landscapes(material: Material, setting: Setting, kind: str) -> dict[str, Arrays]:
    """Return the arrays of the first studied run of each optimizer."""
    found: dict[str, Arrays] = {}
    for line in setting.lines:
        studied = _studied(material, line, f"landscape.{kind}", KINDS[kind])
        for _, _, arrays in (one for one in studied if np.isfinite(one[2]["loss"]).any()):
            found[line.title] = arrays
            break
    return found
