"""Loss landscapes of several optimizers, where they were studied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from sambench.files.arrays import Arrays
from sambench.report.figures.axes import log_axis, round_numbers, short
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.figures.panels import panels
from sambench.report.landscape_plots import LEVELS, WIDE_RANGE
from sambench.report.style import BLUE, GREY, LINE, SMALL, Picture, place

TITLE = "Loss landscapes"
KINDS = {"line": ("x", "loss"), "plane": ("x", "y", "loss")}
BAR = 0.56
"""Room for the bar of colours in inches."""


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw lines, then planes, a panel for each optimizer, on one scale."""
    what = f"{TITLE}, {setting.name}"
    lines, planes = (_studied(material, setting, kind) for kind in KINDS)
    if not lines and not planes:
        why = "no run has one; `sambench hessian RUN --landscape` computes it"
        yield LeftOut(what=what, why=why)
    if lines:
        first = next(iter(lines))
        yield Picture(
            stem=setting.stem("landscape-lines"),
            title=f"{TITLE}, lines, {setting.name}",
            caption=(
                "Training loss along a random direction scaled to the norm of each filter, one "
                f"run of each optimizer. Grey is {first}."
            ),
            figure=_lines(lines),
        )
    if planes:
        yield Picture(
            stem=setting.stem("landscape-planes"),
            title=f"{TITLE}, planes, {setting.name}",
            caption=(
                "Training loss on a plane of two random directions scaled to the norm of each "
                "filter, one run of each optimizer, on one scale of colours; the cross marks the "
                "run's weights."
            ),
            figure=_planes(planes),
        )


def _studied(material: Material, setting: Setting, kind: str) -> dict[str, Arrays]:
    """Return the arrays of the first studied run of each optimizer."""
    found: dict[str, Arrays] = {}
    for line in setting.lines:
        for record in line.completed:
            landscape = (record.hessian or {}).get("landscape")
            section = landscape.get(kind) if isinstance(landscape, Mapping) else None
            if isinstance(section, Mapping) and "file" in section:
                named = str(section.get("kind"))
                arrays = material.arrays(record, section["file"], named, KINDS[kind])
                if arrays and np.isfinite(arrays["loss"]).any():
                    found[line.title] = arrays
                    break
    return found


def _lines(lines: Mapping[str, Arrays]) -> Figure:
    figure, grid = panels(
        list(lines), x="Step (filter norms)", y="Loss (nats)", shape=0.8, left=0.5
    )
    first = next(iter(lines.values()))
    low, high = _range(lines)
    for ax, arrays in zip(grid, lines.values(), strict=True):
        if arrays is not first:
            _line(ax, first, GREY, 0.8)
        _line(ax, arrays, BLUE, LINE)
        ax.axvline(0, color=GREY, lw=0.5, ls=(0, (1, 2)))
        if low > 0 and high / low > WIDE_RANGE:
            log_axis(ax, "y", low, high, most=4)
        ax.set_ylim(low / 1.2 if low > 0 else low, high * 1.1)
    return figure


def _line(ax: Axes, arrays: Arrays, colour: str, width: float) -> None:
    loss = arrays["loss"]
    ax.plot(arrays["x"], np.where(np.isfinite(loss), loss, np.nan), color=colour, lw=width)


def _planes(planes: Mapping[str, Arrays]) -> Figure:
    figure, grid = panels(
        list(planes), x="Direction 1 (filter norms)", y="Direction 2", left=0.42, right=BAR
    )
    low, high = _range(planes)
    logarithmic = low > 0 and high / low > WIDE_RANGE
    norm = LogNorm(low, high) if logarithmic else Normalize(low, high)
    levels = np.geomspace(low, high, LEVELS) if logarithmic else np.linspace(low, high, LEVELS)
    for ax, arrays in zip(grid, planes.values(), strict=True):
        loss = np.clip(np.nan_to_num(arrays["loss"], posinf=high, nan=high), low, high)
        ax.contourf(arrays["x"], arrays["y"], loss, levels, cmap="viridis", norm=norm)
        ax.plot(0, 0, "+", color="white", ms=5, mew=1.6)
        ax.plot(0, 0, "+", color="black", ms=4.5, mew=0.8)
        for axis, coordinates in ((ax.xaxis, arrays["x"]), (ax.yaxis, arrays["y"])):
            half = float(f"{coordinates[-1] / 2:.1g}")
            axis.set_major_locator(FixedLocator([-half, 0, half]))
            axis.set_major_formatter(FuncFormatter(lambda value, _: _brief(value)))
    _bar(figure, norm, levels, logarithmic=logarithmic)
    return figure


def _brief(value: float) -> str:
    return f"{value:g}".replace("0.", ".").replace("-", "−")


def _bar(figure: Figure, norm: Normalize, levels: object, *, logarithmic: bool) -> None:
    wide, tall = figure.get_size_inches()
    high = min(2.0, tall - 0.9)
    ax = place(figure, wide - BAR + 0.14, (tall - 0.4 - high) / 2 + 0.1, 0.09, high)
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), cax=ax)
    bar.outline.set_linewidth(0.4)
    if logarithmic and norm.vmin is not None and norm.vmax is not None:
        ticks = round_numbers(norm.vmin, norm.vmax)
        bar.set_ticks(ticks, labels=[short(tick) for tick in ticks])
        bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=SMALL, width=0.5, length=2, pad=1.5)
    bar.ax.set_title("Loss", size=SMALL, pad=4)


def _range(studied: Mapping[str, Arrays]) -> tuple[float, float]:
    """Return the least and the largest finite loss, apart."""
    every = np.concatenate([np.ravel(arrays["loss"]) for arrays in studied.values()])
    every = every[np.isfinite(every)]
    low, high = float(every.min()), float(every.max())
    return low, high if high > low else low + max(abs(low), 1.0) * 1e-6
