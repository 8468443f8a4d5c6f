"""Spectral densities of several optimizers, where they were studied."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sambench.files.arrays import Arrays
from sambench.report.curvature_plots import FAINTEST
from sambench.report.figures.axes import asinh_axis, short
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.figures.panels import panels
from sambench.report.style import BLUE, GREY, LINE, SMALL, VERMILION, Picture
from sambench.store.record import RunRecord

TITLE = "Spectral densities"
Floats = NDArray[np.float64]
NEEDS = ("grid", "density", "density_stderr", "resolved", "scale")


@dataclass(frozen=True, kw_only=True)
class Density:
    """The density of one run, and where it drowns in the kernels' tails."""

    record: RunRecord
    arrays: Arrays
    floor: float


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw a panel for each optimizer, the first run of it that was studied."""
    what = f"{TITLE}, {setting.name}"
    found = {line.title: _first(material, line.completed) for line in setting.lines}
    densities = {label: density for label, density in found.items() if density is not None}
    if not densities:
        why = "no run has one; `sambench hessian RUN --density` computes it"
        yield LeftOut(what=what, why=why)
        return
    seeds = sorted({density.record.config.seed for density in densities.values()})
    first = next(iter(densities))
    yield Picture(
        stem=setting.stem("densities"),
        title=what,
        caption=(
            "Density of the eigenvalues of the Hessian, by stochastic Lanczos quadrature, of one "
            f"run of each optimizer (seed {', '.join(map(str, seeds))}); band: one standard error "
            "over probes; red marks: eigenvalues that were resolved one by one, the number is the "
            f"largest. Grey is {first}. Both axes span many powers of ten; the horizontal one is "
            "linear around zero."
        ),
        figure=_drawn(densities),
    )


def _first(material: Material, records: tuple[RunRecord, ...]) -> Density | None:
    for record in records:
        section = (record.hessian or {}).get("density")
        if isinstance(section, Mapping) and "file" in section:
            arrays = material.arrays(record, section["file"], "spectral density", NEEDS)
            width, size = section.get("kernel_width"), section.get("parameters")
            if arrays and isinstance(width, float) and isinstance(size, int) and width * size > 0:
                single = 1 / (size * width * math.sqrt(2 * math.pi))
                far = float(np.abs(arrays["grid"][[0, -1]]).max())
                return Density(record=record, arrays=arrays, floor=FAINTEST * single / far)
    return None


def _drawn(densities: Mapping[str, Density]) -> Figure:
    figure, grid = panels(
        list(densities), x="Eigenvalue λ of the Hessian", y="Density (per unit λ)",
        shape=0.85, left=0.56,
    )  # fmt: skip
    low = min(float(density.arrays["grid"][0]) for density in densities.values())
    high = max(float(density.arrays["grid"][-1]) for density in densities.values())
    scale = max(float(density.arrays["scale"]) for density in densities.values())
    floor = min(density.floor for density in densities.values())
    peak = max(float(density.arrays["density"].max()) for density in densities.values())
    first = next(iter(densities.values()))
    for ax, density in zip(grid, densities.values(), strict=True):
        ax.set_yscale("log")
        x, mean, error = (density.arrays[name] for name in NEEDS[:3])
        if density is not first:
            ax.plot(first.arrays["grid"], _above(first.arrays["density"], first.floor), color=GREY,
                    lw=0.7)  # fmt: skip
        ax.fill_between(x, np.maximum(mean - error, floor), np.maximum(mean + error, floor),
                        color=BLUE, alpha=0.3, lw=0)  # fmt: skip
        ax.plot(x, _above(mean, density.floor), color=BLUE, lw=LINE, gid="density")
        resolved = density.arrays["resolved"]
        ax.plot(resolved, np.full(len(resolved), 3 * floor), "|", color=VERMILION, ms=4, mew=0.6)
        if len(resolved):
            ax.text(0.97, 0.95, short(float(f"{resolved.max():.3g}")), size=SMALL, ha="right",
                    va="top", transform=ax.transAxes)  # fmt: skip
        asinh_axis(ax, low, high, scale)
        ax.set_ylim(floor, 5 * peak)
    return figure


def _above(mean: Floats, floor: float) -> Floats:
    return np.where(mean > floor, mean, np.nan)
