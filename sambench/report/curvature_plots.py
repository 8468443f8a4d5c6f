"""Figures of one run's minimum, drawn from the numbers in its folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm, Normalize
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from sambench.analysis.inference import Floats
from sambench.errors import StoreError
from sambench.files.arrays import Arrays, read_arrays
from sambench.files.atomic import write_bytes
from sambench.report.figures.layout import asinh_axis, log_axis, round_numbers, short
from sambench.report.style import BLUE, GREY, LINE, SMALL, TEXT, VERMILION, bare, column_figure, png
from sambench.store.record import RunRecord

Section = Mapping[str, Any]
Draw = Callable[[RunRecord, Section, Arrays], bytes]
ARRAYS: Mapping[str, Mapping[str, str]] = {
    "density": {"grid": "g", "density": "g", "density_stderr": "g", "resolved": "*", "scale": ""},
    "line": {"x": "x", "loss": "X", "accuracy": "X"},
    "plane": {"x": "x", "y": "y", "loss": "YX"},
    "interpolation": dict.fromkeys(
        ("alphas", "loss", "accuracy", "kept_loss", "kept_accuracy"), "A"
    ),
}
"""What each study's pictures are drawn from, and its axes, as `read_arrays` is told."""
FAINTEST = 0.1
"""Where the density's axis begins, in peaks of a single eigenvalue at the far end."""
WIDE_RANGE = 20.0
LEVELS = 15  # of loss, at which the colour changes
BRIGHT = 0.6  # of the colour scale, from where on white cannot be read
HALO = withStroke(linewidth=1.8, foreground="white")
LOSS = "Cross-entropy loss (nats)"
MODES = {"eval": "BatchNorm eval", "recalibrate": "BatchNorm recalibrated"}


def write_figures(record: RunRecord, folder: Path) -> tuple[list[Path], list[str]]:
    """Draw what a run's record says was studied, in the run's folder.

    Returns the pictures, and a message for each file of arrays that is missing or damaged. A
    StoreError is raised if the folder cannot be written.
    """
    hessian = record.hessian or {}
    landscape = hessian.get("landscape", {})
    studies: list[tuple[str, str, str, Section | None, Draw]] = [  # no kind: as the section says
        ("density", "spectral density", "density", hessian.get("density"), density_png),
        ("landscape-line", "", "line", landscape.get("line"), line_png),
        ("landscape-plane", "", "plane", landscape.get("plane"), plane_png),
        ("landscape-eigenvectors", "", "plane", landscape.get("eigenvectors"), eigenvectors_png),
        ("landscape-surface", "", "plane", landscape.get("plane"), surface_png),
    ]
    for id, section in landscape.get("interpolations", {}).items():
        name, kind = f"interpolation-{id}", "interpolation"
        studies.append((name, kind, kind, section, interpolation_png))
    written, damaged = [], []
    for name, kind, what, section, draw in studies:
        if section is None:
            continue
        path, of = folder / section["file"], kind or section["kind"]
        try:
            arrays = read_arrays(path, of, ARRAYS[what], section.get("sha256"))
        except StoreError as error:
            damaged.append(str(error))
            continue
        written.append(folder / f"{name}.png")
        write_bytes(written[-1], draw(record, section, arrays))
    return written, list(dict.fromkeys(damaged))  # a plane has two pictures


def _titled(figure: Figure, record: RunRecord, section: Section, what: str) -> bytes:
    """Name data, model, optimizer and seed, what is shown, on which images, and how evaluated."""
    config, optimizer = record.config, record.config.optimizer
    rho = f" (rho={optimizer['rho']:g})" if "rho" in optimizer else ""
    title = f"{config.dataset}, {config.model}, {optimizer['name']}{rho}, seed {config.seed}"
    mode = MODES.get(section["batch_norm"], section["batch_norm"])
    return png(figure, title, f"{what}; {section['samples']} training images, {mode}")


def density_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw the spectral density: logarithmic, with a band of one standard error over probes."""
    figure, (ax,) = column_figure(2.9)
    grid, scale = arrays["grid"], float(arrays["scale"])
    floor = density_floor(section, grid)
    curve, marks = draw_density(ax, arrays, floor, floor)
    curve.set_label(f"mean ± SE of {section['probes']} probes")
    marks.set_label(f"{len(arrays['resolved'])} single eigenvalues")
    asinh_axis(ax, float(grid[0]), float(grid[-1]), scale)
    ax.set_ylim(floor, 5 * float(arrays["density"].max()))
    ax.set_xlabel(r"Eigenvalue $\lambda$ of the Hessian (nats per unit weight$^2$)")
    ax.set_ylabel(r"Density (per unit $\lambda$)")
    for what, share in (
        (f"|λ| ≤ {short(scale)}", section["zero_mass"]),
        (f"λ < −{short(scale)}", section["negative_mass"]),
    ):
        value, error = 100 * share["value"], 100 * share["stderr"]
        digits = min(4, max(1, 1 - math.floor(math.log10(error)))) if error > 0 else 1
        ax.plot([], [], " ", label=f"{what}: {value:.{digits}f} ± {error:.{digits}f} %")
    figure.legend(fontsize=SMALL, frameon=False, loc="outside lower center", ncols=2,
                  handlelength=1.2)  # fmt: skip
    bare(ax)
    return _titled(figure, record, section, "Hessian spectral density")


def density_floor(section: Section, grid: Floats) -> float:
    """Return the density that drowns in the kernels' tails."""
    single: float = 1 / (section["parameters"] * section["kernel_width"] * math.sqrt(2 * math.pi))
    return FAINTEST * single / float(np.abs(grid[[0, -1]]).max())


def draw_density(ax: Axes, arrays: Arrays, floor: float, own: float) -> tuple[Line2D, Line2D]:
    """Draw a density above its own floor, and its single eigenvalues; return curve and marks.

    The band of one standard error ends at the floor of the axes, which is logarithmic.
    """
    x, mean, error, resolved, _ = (arrays[name] for name in ARRAYS["density"])
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda value, _: short(value))
    ax.fill_between(x, np.maximum(mean - error, floor), np.maximum(mean + error, floor),
                    color=BLUE, alpha=0.3, lw=0)  # fmt: skip
    (curve,) = ax.plot(x, np.where(mean > own, mean, np.nan), color=BLUE, lw=LINE, gid="density")
    low = np.full(len(resolved), 3 * floor)
    (marks,) = ax.plot(resolved, low, "|", color=VERMILION, ms=4, mew=0.6)
    return curve, marks


def line_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw loss and accuracy along a random direction."""
    figure, (top, bottom) = column_figure(3.0, (2, 1))
    x = arrays["x"]
    top.plot(x, arrays["loss"], color=BLUE, lw=LINE)  # which ends where the loss overflows
    bottom.plot(x, 100 * arrays["accuracy"], color=VERMILION, lw=LINE)
    for ax in (top, bottom):
        ax.axvline(0, color=GREY, lw=0.6, ls=":")
    _set_axes(figure, [arrays["loss"]], [arrays["accuracy"]])
    bottom.set(xlabel="Step along a random direction (filter norms)", xlim=(x[0], x[-1]))
    return _titled(figure, record, section, "filter-normalised line")


def plane_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw contours of the loss on a plane of two random directions."""
    figure, ax = _contours(arrays)
    ax.set_xlabel("Step along direction 1 (filter norms)")
    ax.set_ylabel("Step along direction 2 (filter norms)")
    return _titled(figure, record, section, "filter-normalised plane")


def eigenvectors_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw contours on the plane of the top two eigenvectors, and the circles of second order."""
    figure, ax = _contours(arrays)
    angle = np.linspace(0, 2 * math.pi, 200)
    for radius in range(1, math.ceil(float(arrays["x"][-1]))):
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), color="black", lw=0.9,
                ls=(0, (2, 2)), path_effects=[HALO])  # fmt: skip
        ax.annotate(f"+{0.5 * radius**2:g}", (0, -radius), size=SMALL, ha="center", va="center",
                    path_effects=[HALO])  # fmt: skip
    for axis, number in ((ax.xaxis, 1), (ax.yaxis, 2)):
        value = short(float(f"{section['eigenvalues'][number - 1]:.3g}"))
        unit = rf"$1/\sqrt{{\lambda_{number}}}$, $\lambda_{number}$ = {value}"
        axis.set_label_text(f"Step along $v_{number}$ ({unit})")
    doubt = "" if section["converged"] else " (not converged)"
    what = f"top two eigenvectors{doubt}, dashed: rise by second order"
    return _titled(figure, record, section, what)


def surface_png(record: RunRecord, section: Section, arrays: Arrays) -> bytes:
    """Draw the loss on a plane of two random directions as a surface."""
    figure, (flat,) = column_figure(3.0)
    flat.remove()
    ax = figure.add_subplot(projection="3d")
    low, high = loss_range([arrays["loss"]])
    loss = _clipped(arrays["loss"], low, high)
    x, y = np.meshgrid(arrays["x"], arrays["y"])
    fine = {"rcount": 60, "ccount": 60, "lw": 0.1, "edgecolor": "#00000030"}
    ax.plot_surface(x, y, np.log10(loss) if is_wide(low, high) else loss, cmap="viridis", **fine)
    if is_wide(low, high):
        ticks = round_numbers(low, high)
        ax.set_zticks(np.log10(ticks), [short(tick) for tick in ticks])
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
    recomputed = section["batch_norm"] == "recalibrate"
    label = "BatchNorm statistics recomputed" if recomputed else "loss"
    drawn: dict[str, dict[str, Any]] = {"": {"label": label, "color": BLUE}}
    if recomputed:
        drawn["kept_"] = {"label": "statistics interpolated", "color": VERMILION, "ls": "--"}
    for kind, style in drawn.items():
        top.plot(arrays["alphas"], arrays[f"{kind}loss"], lw=LINE, **style)
        bottom.plot(arrays["alphas"], 100 * arrays[f"{kind}accuracy"], lw=LINE, **style)
    if recomputed:
        top.legend(fontsize=SMALL, frameon=False, loc="best")
    losses = [arrays[f"{kind}loss"] for kind in drawn]
    _set_axes(figure, losses, [arrays["accuracy"], arrays["kept_accuracy"]])
    bottom.set(xlabel=r"$\alpha$ in $(1-\alpha)\,w_{0} + \alpha\,w_{1}$", xlim=(0, 1))
    subtitle = f"to {section['with']}, {section['samples']} training images"
    return png(figure, f"interpolation from {record.name}", subtitle)


def _contours(arrays: Arrays) -> tuple[Figure, Axes]:
    """Fill contours of a plane's loss with a colour bar, label some, and mark the weights."""
    figure, (ax,) = column_figure(3.2)
    low, high = loss_range([arrays["loss"]])
    filled: Any = fill_contours(ax, arrays, low, high)
    drawn = filled.levels[1:-1:2]
    colors = ["white" if filled.norm(level) < BRIGHT else "black" for level in drawn]
    loss = _clipped(arrays["loss"], low, high)
    lines = ax.contour(arrays["x"], arrays["y"], loss, drawn, colors=colors, linewidths=0.5)
    ax.clabel(lines, fmt=lambda value: f"{value:.2g}", fontsize=SMALL)
    if not np.isfinite(arrays["loss"]).all():
        beyond = (~np.isfinite(arrays["loss"])).astype(float)
        ax.contourf(arrays["x"], arrays["y"], beyond, [0.5, 1.5], colors="none", hatches=["////"])
    ax.set_aspect("equal")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2.5, 5, 10]))
    bar = figure.colorbar(filled, ax=ax, fraction=0.06, pad=0.03)
    bar.set_label(LOSS, size=TEXT)
    number_bar(bar, low, high)
    bare(ax)
    return figure, ax


def fill_contours(ax: Axes, arrays: Arrays, low: float, high: float) -> ContourSet:
    """Fill contours of a plane's loss, and mark the weights; return the contours."""
    scale, space = (LogNorm, np.geomspace) if is_wide(low, high) else (Normalize, np.linspace)
    loss, norm = _clipped(arrays["loss"], low, high), scale(low, high)
    filled = ax.contourf(
        arrays["x"], arrays["y"], loss, space(low, high, LEVELS), cmap="viridis", norm=norm
    )
    ax.plot(0, 0, "+", color="white", ms=5, mew=1.6, zorder=4)
    ax.plot(0, 0, "+", color="black", ms=4.5, mew=0.8, zorder=4)
    return filled


def number_bar(bar: Colorbar, low: float, high: float) -> None:
    """Write round losses beside a bar of colours."""
    if is_wide(low, high):
        ticks = round_numbers(low, high)
        bar.set_ticks(ticks, labels=[short(tick) for tick in ticks])
        bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=SMALL, width=0.5, length=2, pad=1.5)


def loss_range(losses: Iterable[Floats]) -> tuple[float, float]:
    """Return the least and the largest finite loss, apart."""
    every = np.concatenate([np.ravel(loss) for loss in losses])
    every = every[np.isfinite(every)]
    low, high = float(every.min()), float(every.max())
    return low, high if high > low else low + max(abs(low), 1.0) * 1e-6


def _clipped(loss: Floats, low: float, high: float) -> Floats:
    """Return losses that can be drawn, infinite ones as the largest finite one."""
    return np.clip(np.nan_to_num(loss, nan=high), low, high)


def is_wide(low: float, high: float) -> bool:
    """Whether losses differ by so large factors that a logarithmic scale shows more."""
    return low > 0 and high / low > WIDE_RANGE


def _set_axes(figure: Figure, losses: list[Floats], accuracies: list[Floats]) -> None:
    """Set the y axes of a panel of losses above one of accuracies."""
    top, bottom = figure.axes
    low, high = loss_range(losses)
    if is_wide(low, high):
        log_axis(top, "y", low, high, most=4)
    else:
        top.set_ylim(bottom=0 if low >= 0 else None)
    known = np.concatenate(accuracies)
    lowest = float(np.min(known[np.isfinite(known)], initial=1.0))
    bottom.set_ylim(max(100 * lowest - 5, -3), 103)
    for ax, name in ((top, LOSS), (bottom, "Accuracy (%)")):
        ax.set_ylabel(name)
        bare(ax)
    figure.align_ylabels(figure.axes)
