"""Figures of one run's minimum, drawn from the numbers in its folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from sambench.files.arrays import Arrays, read_arrays
from sambench.files.atomic import write_bytes
from sambench.report.captions import Section, significant, subtitle, title
from sambench.report.landscape_plots import (
    eigenvectors_png,
    interpolation_png,
    line_png,
    plane_png,
    surface_png,
)
from sambench.report.style import (
    BLUE,
    LINE,
    SMALL,
    VERMILION,
    column_figure,
    finish,
    png,
)
from sambench.store.record import RunRecord

Floats = NDArray[np.float64]
FAINTEST = 0.1
"""Where the density's axis begins, in peaks of a single eigenvalue at the far end."""


def write_figures(record: RunRecord, folder: Path) -> tuple[Path, ...]:
    """Draw what a run's record says was studied, beside it; return the pictures.

    Args:
        record: With `hessian.density` and `hessian.landscape`, as far as they were studied.
        folder: The run's.

    Raises:
        StoreError: If an array file is missing or damaged, or the folder cannot be written.
    """
    written = []
    for name, section, kind, draw in _studies(record):
        arrays = read_arrays(folder / section["file"], kind)
        picture = folder / f"{name}.png"
        write_bytes(picture, draw(record, section, arrays))
        written.append(picture)
    return tuple(written)


Draw = Callable[[RunRecord, Section, Arrays], bytes]


def _studies(record: RunRecord) -> Iterator[tuple[str, Section, str, Draw]]:
    """Yield name, section, kind of array file and drawing of every figure there is to draw."""
    hessian = record.hessian or {}
    if "density" in hessian:
        yield "density", hessian["density"], "spectral density", density_png
    landscape = hessian.get("landscape", {})
    drawings: dict[str, Draw] = {
        "line": line_png,
        "plane": plane_png,
        "eigenvectors": eigenvectors_png,
    }
    for name, draw in drawings.items():
        if name in landscape:
            yield f"landscape-{name}", landscape[name], landscape[name]["kind"], draw
    if "plane" in landscape:
        yield "landscape-surface", landscape["plane"], landscape["plane"]["kind"], surface_png
    for id, section in landscape.get("interpolations", {}).items():
        yield f"interpolation-{id}", section, "interpolation", interpolation_png


def density_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw the spectral density: logarithmic, with a band of one standard error over probes."""
    figure, (ax,) = column_figure(2.9)
    grid, mean, stderr = arrays["grid"], arrays["density"], arrays["density_stderr"]
    resolved, scale = arrays["resolved"], float(arrays["scale"])
    single = 1 / (section["parameters"] * section["kernel_width"] * math.sqrt(2 * math.pi))
    floor = FAINTEST * single / max(abs(grid[0]), abs(grid[-1]))
    ax.fill_between(
        grid,
        np.maximum(mean - stderr, floor),
        np.maximum(mean + stderr, floor),
        color=BLUE,
        alpha=0.3,
        lw=0,
    )
    ax.plot(grid, np.where(mean > floor, mean, np.nan), color=BLUE, lw=LINE)
    ax.plot([], [], color=BLUE, lw=LINE, label=f"mean ± SE of {section['probes']} probes")
    ax.plot(
        resolved,
        np.full(len(resolved), 2 * floor),
        "|",
        color=VERMILION,
        ms=6,
        mew=0.9,
        label=f"{len(resolved)} single eigenvalues",
    )
    ax.set_xscale("asinh", linear_width=scale)
    ax.set_yscale("log")
    ax.set_xlim(grid[0], grid[-1])
    ax.set_ylim(floor, 5 * float(mean.max()))
    _decades(ax, scale, float(grid[0]), float(grid[-1]))
    ax.set_xlabel(r"Eigenvalue $\lambda$ of the Hessian (nats per unit weight$^2$)")
    ax.set_ylabel(r"Density (per unit $\lambda$)")
    for what, share in (
        (rf"$|\lambda| \leq {significant(scale)}$", section["zero_mass"]),
        (rf"$\lambda < {significant(-scale)}$", section["negative_mass"]),
    ):
        ax.plot([], [], " ", label=f"{what}: {_percent(share['value'], share['stderr'])}")
    figure.legend(
        fontsize=SMALL, frameon=False, loc="outside lower center", ncols=2, handlelength=1.2
    )
    finish([ax])
    return png(figure, title(record), subtitle(section, "Hessian spectral density"))


def _decades(ax: Axes, scale: float, low: float, high: float) -> None:
    """Mark zero and powers of ten on an axis that is linear within `scale`."""
    exponents = range(math.ceil(math.log10(scale)), math.floor(math.log10(max(-low, high))) + 1)
    ticks = [0.0, *(sign * 10.0**e for sign in (-1, 1) for e in exponents)]
    ax.xaxis.set_major_locator(FixedLocator(sorted(tick for tick in ticks if low <= tick <= high)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))


def _power(value: float) -> str:
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    return rf"${sign}10^{{{round(math.log10(abs(value)))}}}$"


def _percent(value: float, stderr: float) -> str:
    digits = min(4, max(1, 1 - math.floor(math.log10(100 * stderr)))) if stderr > 0 else 1
    return f"{100 * value:.{digits}f} ± {100 * stderr:.{digits}f} %"
