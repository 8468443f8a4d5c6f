"""Figures of the loss around one run's weights and between two runs."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from sambench.files.arrays import Arrays
from sambench.report.captions import Section, significant, subtitle, title
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
LOSS = "Cross-entropy loss (nats)"
WIDE_RANGE = 20.0
"""Largest over smallest loss from which a logarithmic axis shows more."""
LEVELS = 15
EDGE = "#00000030"
BRIGHT = 0.6  # of the colour scale, from where on white cannot be read
HALO = withStroke(linewidth=1.8, foreground="white")


def line_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw loss and accuracy along a random direction."""
    figure, (top, bottom) = column_figure(3.0, (2, 1))
    x = arrays["x"]
    _curve(top, x, arrays["loss"], BLUE)
    bottom.plot(x, 100 * arrays["accuracy"], color=VERMILION, lw=LINE)
    for ax in (top, bottom):
        ax.axvline(0, color=GREY, lw=0.6, ls=":")
    _loss_axis(top, [arrays["loss"]])
    _accuracy_axis(bottom, [arrays["accuracy"]])
    bottom.set_xlabel("Step along a random direction (filter norms)")
    bottom.set_xlim(x[0], x[-1])
    finish([top, bottom])
    figure.align_ylabels([top, bottom])
    return png(figure, title(record), subtitle(section, "filter-normalised line"))


def plane_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw contours of the loss on a plane of two random directions."""
    figure, (ax,) = column_figure(3.2)
    _contours(figure, ax, arrays)
    ax.set_xlabel("Step along direction 1 (filter norms)")
    ax.set_ylabel("Step along direction 2 (filter norms)")
    finish([ax])
    return png(figure, title(record), subtitle(section, "filter-normalised plane"))


def eigenvectors_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw contours on the plane of the top two eigenvectors, and the circles of second order."""
    figure, (ax,) = column_figure(3.2)
    _contours(figure, ax, arrays)
    angle = np.linspace(0, 2 * math.pi, 200)
    for radius in range(1, math.ceil(float(arrays["x"][-1]))):
        ax.plot(
            radius * np.cos(angle),
            radius * np.sin(angle),
            color="black",
            lw=0.9,
            ls=(0, (2, 2)),
            path_effects=[HALO],
        )
        ax.annotate(
            f"+{0.5 * radius**2:g}",
            (0, -radius),
            size=SMALL,
            ha="center",
            va="center",
            path_effects=[HALO],
        )
    for axis, number in ((ax.xaxis, 1), (ax.yaxis, 2)):
        value = significant(section["eigenvalues"][number - 1])
        axis.set_label_text(
            rf"Step along $v_{number}$ ($1/\sqrt{{\lambda_{number}}}$, "
            rf"$\lambda_{number} = {value}$)"
        )
    finish([ax])
    doubt = "" if section["converged"] else " (not converged)"
    what = f"top two eigenvectors{doubt}, dashed: rise by second order"
    return png(figure, title(record), subtitle(section, what))


def surface_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw the loss on a plane of two random directions as a surface."""
    figure, (flat,) = column_figure(3.0)
    flat.remove()
    ax = figure.add_subplot(projection="3d")
    loss, norm = _clipped(arrays["loss"])
    height = np.log10(loss) if isinstance(norm, LogNorm) else loss
    x, y = np.meshgrid(arrays["x"], arrays["y"])
    ax.plot_surface(
        x, y, height, cmap="viridis", rcount=60, ccount=60, lw=0.1, edgecolor="#00000030"
    )
    if isinstance(norm, LogNorm):
        ax.zaxis.set_major_locator(FixedLocator(_log_ticks(loss)))
        ax.zaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{10**v:.2g}"))
    ax.set_xlabel("Direction 1", size=TEXT, labelpad=-4)
    ax.set_ylabel("Direction 2", size=TEXT, labelpad=-4)
    ax.set_zlabel("Loss (nats)", size=TEXT, labelpad=-2)
    ax.tick_params(labelsize=SMALL, pad=-1)
    ax.view_init(28, -55)
    ax.set_box_aspect((1, 1, 0.8), zoom=1.02)
    return png(figure, title(record), subtitle(section, "filter-normalised plane"))


def interpolation_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw loss and accuracy between two runs' weights, with both kinds of statistics."""
    figure, (top, bottom) = column_figure(3.2, (2, 1))
    alphas = arrays["alphas"]
    recomputed = section["batch_norm"] == "recalibrate"
    label = "BatchNorm statistics recomputed" if recomputed else "loss"
    _curve(top, alphas, arrays["loss"], BLUE, label)
    bottom.plot(alphas, 100 * arrays["accuracy"], color=BLUE, lw=LINE)
    losses = [arrays["loss"]]
    if recomputed:
        losses.append(arrays["kept_loss"])
        _curve(top, alphas, arrays["kept_loss"], VERMILION, "statistics interpolated", "--")
        bottom.plot(alphas, 100 * arrays["kept_accuracy"], color=VERMILION, lw=LINE, ls="--")
        top.legend(fontsize=SMALL, frameon=False, loc="best")
    _loss_axis(top, losses)
    _accuracy_axis(bottom, [arrays["accuracy"], arrays["kept_accuracy"]])
    bottom.set_xlim(0, 1)
    bottom.set_xlabel(r"$\alpha$ in $(1-\alpha)\,w_{0} + \alpha\,w_{1}$")
    finish([top, bottom])
    figure.align_ylabels([top, bottom])
    subtitle = f"to {section['with']}, {section['samples']} training images"
    return png(figure, f"interpolation from {record.name}", subtitle)


def _contours(figure: Figure, ax: Axes, arrays: Arrays) -> None:
    """Fill contours of a plane's loss with a colour bar, label some, and mark the weights."""
    loss, norm = _clipped(arrays["loss"])
    assert norm.vmin is not None
    assert norm.vmax is not None
    if isinstance(norm, LogNorm):
        levels = np.geomspace(norm.vmin, norm.vmax, LEVELS)
    else:
        levels = np.linspace(norm.vmin, norm.vmax, LEVELS)
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
        bar.set_ticks([10**tick for tick in _log_ticks(loss)])
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.3g}"))
        bar.ax.yaxis.set_minor_locator(NullLocator())


def _clipped(loss: Floats) -> tuple[Floats, Normalize]:
    """Return losses that can be drawn, infinite ones as the largest finite one, and their scale."""
    finite = loss[np.isfinite(loss)]
    low, high = float(finite.min()), float(finite.max())
    if high == low:
        high = low + max(abs(low), 1.0) * 1e-6
    drawn = np.clip(np.nan_to_num(loss, posinf=high), low, high)
    if low > 0 and high / low > WIDE_RANGE:
        return drawn, LogNorm(low, high)
    return drawn, Normalize(low, high)


def _log_ticks(loss: Floats) -> list[float]:
    """Return the decimal logarithms of round numbers within the losses' range."""
    low, high = math.log10(loss.min()), math.log10(loss.max())
    steps = (1,) if high - low > 3 else (1, 3) if high - low > 1.5 else (1, 2, 5)
    ticks = [
        decade + math.log10(step)
        for decade in range(math.floor(low), math.ceil(high) + 1)
        for step in steps
    ]
    return [tick for tick in ticks if low <= tick <= high]


def _curve(
    ax: Axes, x: Floats, loss: Floats, color: str, label: str | None = None, ls: str = "-"
) -> None:
    """Draw a loss; where it overflows the curve leaves the picture."""
    ax.plot(x, np.where(np.isfinite(loss), loss, np.nan), color=color, lw=LINE, ls=ls, label=label)


def _loss_axis(ax: Axes, losses: list[Floats]) -> None:
    ax.set_ylabel(LOSS)
    finite = np.concatenate([loss[np.isfinite(loss)] for loss in losses])
    if finite.min() > 0 and finite.max() / finite.min() > WIDE_RANGE:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(FixedLocator([10**tick for tick in _log_ticks(finite)]))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.3g}"))
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.set_ylim(bottom=0 if finite.min() >= 0 else None)


def _accuracy_axis(ax: Axes, accuracies: list[Floats]) -> None:
    ax.set_ylabel("Accuracy (%)")
    known = np.concatenate(accuracies)
    lowest = float(np.min(known[np.isfinite(known)], initial=1.0))
    ax.set_ylim(max(100 * lowest - 5, -3), 103)
