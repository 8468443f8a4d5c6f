"""Figures of one run's minimum, drawn from the numbers in its folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from sambench.files.arrays import Arrays, read_arrays
from sambench.files.atomic import write_bytes
from sambench.report.style import (
    BLUE,
    GREY,
    LINE,
    SMALL,
    TEXT,
    VERMILION,
    column_figure,
    finish,
    png,
)
from sambench.store.record import RunRecord

Floats = NDArray[np.float64]
Section = Mapping[str, Any]
Draw = Callable[[RunRecord, Section, Arrays], bytes]
FAINTEST = 0.1
"""Where the density's axis begins, in peaks of a single eigenvalue at the far end."""
WIDE_RANGE = 20.0
"""Largest over smallest loss from which a logarithmic axis shows more."""
LEVELS = 15
BRIGHT = 0.6  # of the colour scale, from where on white cannot be read
HALO = withStroke(linewidth=1.8, foreground="white")
LOSS = "Cross-entropy loss (nats)"
MODES = {"eval": "BatchNorm eval", "recalibrate": "BatchNorm recalibrated"}


def write_figures(record: RunRecord, folder: Path) -> tuple[Path, ...]:
    """Draw what a run's record says was studied, in the run's folder; return the pictures.

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


def _studies(record: RunRecord) -> Iterator[tuple[str, Section, str, Draw]]:
    """Yield name, section, kind of array file and drawing of every figure there is to draw."""
    hessian = record.hessian or {}
    if "density" in hessian:
        yield "density", hessian["density"], "spectral density", density_png
    landscape = hessian.get("landscape", {})
    drawings: tuple[tuple[str, str, Draw], ...] = (
        ("line", "line", line_png),
        ("plane", "plane", plane_png),
        ("eigenvectors", "eigenvectors", eigenvectors_png),
        ("surface", "plane", surface_png),
    )
    for name, of, draw in drawings:
        if of in landscape:
            yield f"landscape-{name}", landscape[of], landscape[of]["kind"], draw
    for id, section in landscape.get("interpolations", {}).items():
        yield f"interpolation-{id}", section, "interpolation", interpolation_png


def _titled(figure: Figure, record: RunRecord, section: Section, what: str) -> bytes:
    """Name data, model, optimizer and seed, what is shown, on which images, and how evaluated."""
    config, optimizer = record.config, record.config.optimizer
    rho = f" (rho={optimizer['rho']:g})" if "rho" in optimizer else ""
    title = f"{config.dataset}, {config.model}, {optimizer['name']}{rho}, seed {config.seed}"
    mode = MODES.get(section["batch_norm"], section["batch_norm"])
    return png(figure, title, f"{what}; {section['samples']} training images, {mode}")


def significant(value: float) -> str:
    """Return three significant digits as mathematical text."""
    if 1e-2 <= abs(value) < 1e4:
        return f"{float(f'{value:.3g}'):g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"


def density_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw the spectral density: logarithmic, with a band of one standard error over probes."""
    figure, (ax,) = column_figure(2.9)
    grid, mean, stderr = arrays["grid"], arrays["density"], arrays["density_stderr"]
    resolved, scale = arrays["resolved"], float(arrays["scale"])
    single = 1 / (section["parameters"] * section["kernel_width"] * math.sqrt(2 * math.pi))
    floor = FAINTEST * single / max(abs(grid[0]), abs(grid[-1]))
    low, high = np.maximum(mean - stderr, floor), np.maximum(mean + stderr, floor)
    ax.fill_between(grid, low, high, color=BLUE, alpha=0.3, lw=0)
    ax.plot(grid, np.where(mean > floor, mean, np.nan), color=BLUE, lw=LINE)
    ax.plot([], [], color=BLUE, lw=LINE, label=f"mean ± SE of {section['probes']} probes")
    ax.plot(resolved, np.full(len(resolved), 2 * floor), "|", color=VERMILION, ms=6, mew=0.9,
            label=f"{len(resolved)} single eigenvalues")  # fmt: skip
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
    figure.legend(fontsize=SMALL, frameon=False, loc="outside lower center", ncols=2,
                  handlelength=1.2)  # fmt: skip
    finish([ax])
    return _titled(figure, record, section, "Hessian spectral density")


def _decades(ax: Axes, scale: float, low: float, high: float) -> None:
    """Mark zero and powers of ten on an axis that is linear within `scale`."""

    def power(value: float, _: object) -> str:
        sign = "-" if value < 0 else ""
        return rf"${sign}10^{{{round(math.log10(abs(value)))}}}$" if value else "0"

    exponents = range(math.ceil(math.log10(scale)), math.floor(math.log10(max(-low, high))) + 1)
    ticks = [0.0, *(sign * 10.0**e for sign in (-1, 1) for e in exponents)]
    ax.xaxis.set_major_locator(FixedLocator(sorted(tick for tick in ticks if low <= tick <= high)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(power))


def _percent(value: float, stderr: float) -> str:
    digits = min(4, max(1, 1 - math.floor(math.log10(100 * stderr)))) if stderr > 0 else 1
    return f"{100 * value:.{digits}f} ± {100 * stderr:.{digits}f} %"


def line_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw loss and accuracy along a random direction."""
    figure, (top, bottom) = column_figure(3.0, (2, 1))
    x, accuracy = arrays["x"], arrays["accuracy"]
    _curve(top, x, arrays["loss"], BLUE)
    bottom.plot(x, 100 * accuracy, color=VERMILION, lw=LINE)
    for ax in (top, bottom):
        ax.axvline(0, color=GREY, lw=0.6, ls=":")
    bottom.set_xlabel("Step along a random direction (filter norms)")
    bottom.set_xlim(x[0], x[-1])
    _loss_and_accuracy(figure, [arrays["loss"]], [accuracy])
    return _titled(figure, record, section, "filter-normalised line")


def plane_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw contours of the loss on a plane of two random directions."""
    figure, (ax,) = column_figure(3.2)
    _contours(figure, ax, arrays)
    ax.set_xlabel("Step along direction 1 (filter norms)")
    ax.set_ylabel("Step along direction 2 (filter norms)")
    finish([ax])
    return _titled(figure, record, section, "filter-normalised plane")


def eigenvectors_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw contours on the plane of the top two eigenvectors, and the circles of second order."""
    figure, (ax,) = column_figure(3.2)
    _contours(figure, ax, arrays)
    angle = np.linspace(0, 2 * math.pi, 200)
    for radius in range(1, math.ceil(float(arrays["x"][-1]))):
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), color="black", lw=0.9,
                ls=(0, (2, 2)), path_effects=[HALO])  # fmt: skip
        ax.annotate(f"+{0.5 * radius**2:g}", (0, -radius), size=SMALL, ha="center", va="center",
                    path_effects=[HALO])  # fmt: skip
    for axis, number in ((ax.xaxis, 1), (ax.yaxis, 2)):
        value = significant(section["eigenvalues"][number - 1])
        axis.set_label_text(
            rf"Step along $v_{number}$ ($1/\sqrt{{\lambda_{number}}}$, "
            rf"$\lambda_{number} = {value}$)"
        )
    finish([ax])
    doubt = "" if section["converged"] else " (not converged)"
    what = f"top two eigenvectors{doubt}, dashed: rise by second order"
    return _titled(figure, record, section, what)


def surface_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw the loss on a plane of two random directions as a surface."""
    figure, (flat,) = column_figure(3.0)
    flat.remove()
    ax = figure.add_subplot(projection="3d")
    loss, norm = _clipped(arrays["loss"])
    height = np.log10(loss) if isinstance(norm, LogNorm) else loss
    x, y = np.meshgrid(arrays["x"], arrays["y"])
    fine = {"rcount": 60, "ccount": 60, "lw": 0.1, "edgecolor": "#00000030"}
    ax.plot_surface(x, y, height, cmap="viridis", **fine)
    if isinstance(norm, LogNorm):
        ax.zaxis.set_major_locator(FixedLocator(_log_ticks(loss)))
        ax.zaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{10**v:.2g}"))
    ax.set_xlabel("Direction 1", size=TEXT, labelpad=-4)
    ax.set_ylabel("Direction 2", size=TEXT, labelpad=-4)
    ax.set_zlabel("Loss (nats)", size=TEXT, labelpad=-2)
    ax.tick_params(labelsize=SMALL, pad=-1)
    ax.view_init(28, -55)
    ax.set_box_aspect((1, 1, 0.8), zoom=1.02)
    return _titled(figure, record, section, "filter-normalised plane")


def interpolation_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw loss and accuracy between two runs' weights, with both kinds of statistics."""
    figure, (top, bottom) = column_figure(3.2, (2, 1))
    alphas = arrays["alphas"]
    recomputed = section["batch_norm"] == "recalibrate"
    label = "BatchNorm statistics recomputed" if recomputed else "loss"
    _curve(top, alphas, arrays["loss"], BLUE, label=label)
    bottom.plot(alphas, 100 * arrays["accuracy"], color=BLUE, lw=LINE)
    losses = [arrays["loss"]]
    if recomputed:
        losses.append(arrays["kept_loss"])
        kept = "statistics interpolated"
        _curve(top, alphas, arrays["kept_loss"], VERMILION, label=kept, ls="--")
        bottom.plot(alphas, 100 * arrays["kept_accuracy"], color=VERMILION, lw=LINE, ls="--")
        top.legend(fontsize=SMALL, frameon=False, loc="best")
    bottom.set_xlim(0, 1)
    bottom.set_xlabel(r"$\alpha$ in $(1-\alpha)\,w_{0} + \alpha\,w_{1}$")
    _loss_and_accuracy(figure, losses, [arrays["accuracy"], arrays["kept_accuracy"]])
    subtitle = f"to {section['with']}, {section['samples']} training images"
    return png(figure, f"interpolation from {record.name}", subtitle)


def _contours(figure: Figure, ax: Axes, arrays: Arrays) -> None:
    """Fill contours of a plane's loss with a colour bar, label some, and mark the weights."""
    loss, norm = _clipped(arrays["loss"])
    levels = levels_of(norm)
    filled = ax.contourf(arrays["x"], arrays["y"], loss, levels, cmap="viridis", norm=norm)
    drawn = levels[1:-1:2]
    colors = ["white" if norm(level) < BRIGHT else "black" for level in drawn]
    lines = ax.contour(arrays["x"], arrays["y"], loss, drawn, colors=colors, linewidths=0.5)
    ax.clabel(lines, fmt=lambda value: f"{value:.2g}", fontsize=SMALL)
    if not np.isfinite(arrays["loss"]).all():
        beyond = (~np.isfinite(arrays["loss"])).astype(float)
        ax.contourf(arrays["x"], arrays["y"], beyond, [0.5, 1.5], colors="none", hatches=["////"])
    ax.plot(0, 0, "+", color="white", ms=8, mew=2.4)
    ax.plot(0, 0, "+", color="black", ms=7, mew=1.2)
    ax.set_aspect("equal")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2.5, 5, 10]))
    bar = figure.colorbar(filled, ax=ax, fraction=0.06, pad=0.03)
    bar.set_label(LOSS, size=TEXT)
    bar.ax.tick_params(labelsize=SMALL, width=0.6, length=2.5)
    if isinstance(norm, LogNorm):
        _mark_round_losses(bar.ax.yaxis, loss)


def _clipped(loss: Floats) -> tuple[Floats, Normalize]:
    """Return losses that can be drawn, infinite ones as the largest finite one, and their scale."""
    finite = loss[np.isfinite(loss)]
    low, high = float(finite.min()), float(finite.max())
    if high == low:
        high = low + max(abs(low), 1.0) * 1e-6
    return np.clip(np.nan_to_num(loss, posinf=high), low, high), loss_scale(low, high)


def loss_scale(low: float, high: float) -> Normalize:
    """Return a scale of colours, logarithmic where the losses differ by large factors."""
    return (LogNorm if low > 0 and high / low > WIDE_RANGE else Normalize)(low, high)


def levels_of(scale: Normalize) -> Floats:
    """Return the losses at which the colour changes."""
    assert scale.vmin is not None and scale.vmax is not None
    space = np.geomspace if isinstance(scale, LogNorm) else np.linspace
    return space(scale.vmin, scale.vmax, LEVELS)


def _log_ticks(loss: Floats) -> list[float]:
    """Return the decimal logarithms of round numbers within the losses' range."""
    low, high = math.log10(loss.min()), math.log10(loss.max())
    steps = (1,) if high - low > 3 else (1, 3) if high - low > 1.5 else (1, 2, 5)
    decades = range(math.floor(low), math.ceil(high) + 1)
    ticks = [decade + math.log10(step) for decade in decades for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _mark_round_losses(axis: Axis, losses: Floats) -> None:
    axis.set_major_locator(FixedLocator([10**tick for tick in _log_ticks(losses)]))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.3g}"))
    axis.set_minor_locator(NullLocator())


def _curve(ax: Axes, x: Floats, loss: Floats, color: str, **style: Any) -> None:
    """Draw a loss; where it overflows the curve leaves the picture."""
    ax.plot(x, np.where(np.isfinite(loss), loss, np.nan), color=color, lw=LINE, **style)


def _loss_and_accuracy(figure: Figure, losses: list[Floats], accuracies: list[Floats]) -> None:
    """Set the y axes of a panel of losses above one of accuracies."""
    top, bottom = figure.axes
    top.set_ylabel(LOSS)
    finite = np.concatenate([loss[np.isfinite(loss)] for loss in losses])
    if finite.min() > 0 and finite.max() / finite.min() > WIDE_RANGE:
        top.set_yscale("log")
        _mark_round_losses(top.yaxis, finite)
    else:
        top.set_ylim(bottom=0 if finite.min() >= 0 else None)
    bottom.set_ylabel("Accuracy (%)")
    known = np.concatenate(accuracies)
    lowest = float(np.min(known[np.isfinite(known)], initial=1.0))
    bottom.set_ylim(max(100 * lowest - 5, -3), 103)
    finish(figure.axes)
    figure.align_ylabels(figure.axes)
