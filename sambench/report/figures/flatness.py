"""Accuracy against sharpness: whether flatness predicts generalization here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sambench.analysis.groups import Line, Repeat, repeat
from sambench.analysis.metrics import Metric, collapsed, find_metric, find_metrics
from sambench.analysis.ranks import RankCorrelation, rank_correlation
from sambench.report.figures.axes import asinh_axis, focus, log_axis
from sambench.report.figures.labels import height_for, label_points
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.style import (
    BLUE,
    COLUMN,
    PALE,
    SMALL,
    VERMILION,
    Picture,
    bare,
    place,
    sheet,
    text_width,
)

TITLE = "Accuracy against sharpness"
ACCURACY = find_metric("accuracy")
LEAST_RUNS = 3
RUN: dict[str, Any] = {"ls": "", "marker": "o", "color": PALE, "ms": 2.4, "mew": 0, "zorder": 1}
UNTRUSTED: dict[str, Any] = {
    "ls": "", "marker": "x", "color": VERMILION, "ms": 3.5, "mew": 0.9, "zorder": 2,
}  # fmt: skip
LEFT, ABOVE, BELOW = 0.52, 0.36, 0.42


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run: whose it is, its sharpness and test accuracy, and whether both can be trusted."""

    label: str
    repeat: Repeat
    sharpness: float
    accuracy: float
    trusted: bool
    collapsed: bool


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw the top eigenvalue above, the trace below."""
    what = f"{TITLE}, {setting.name}"
    drawn = []
    for metric in find_metrics(["top", "trace"]):
        runs = [run for line in setting.lines for run in _runs(line, metric)]
        if sum(run.trusted for run in runs) >= LEAST_RUNS:
            drawn.append((metric, runs))
    if not drawn:
        yield LeftOut(what=what, why=f"fewer than {LEAST_RUNS} runs have a measured curvature")
        return
    names = list(dict.fromkeys(run.label for _, runs in drawn for run in runs if run.trusted))
    high = height_for(len(names))
    figure = sheet(len(drawn) * (ABOVE + high + BELOW))
    right = 0.32 + max(text_width(figure, name) for name in names)
    for number, (metric, runs) in enumerate(drawn):
        top = number * (ABOVE + high + BELOW) + ABOVE
        ax = place(figure, LEFT, top, COLUMN - LEFT - right, high)
        _panel(ax, metric, runs)
    yield Picture(
        stem=setting.stem("flatness"),
        title=what,
        caption=_caption([run for _, runs in drawn for run in runs]),
        figure=figure,
    )


def correlations(runs: Sequence[Measured]) -> tuple[RankCorrelation, RankCorrelation]:
    """Return the rank correlation of sharpness and accuracy over all runs, within optimizers."""
    sound = [run for run in runs if run.trusted]
    sharpness, accuracy = [run.sharpness for run in sound], [run.accuracy for run in sound]
    repeats, labels = [run.repeat for run in sound], [run.label for run in sound]
    return (
        rank_correlation(sharpness, accuracy, repeats),
        rank_correlation(sharpness, accuracy, repeats, labels),
    )


def _runs(line: Line, metric: Metric) -> Iterator[Measured]:
    for record in line.completed:
        sharpness, accuracy = metric.of(record), ACCURACY.of(record)
        if sharpness is not None and accuracy is not None:
            yield Measured(
                label=line.title,
                repeat=repeat(record),
                sharpness=sharpness,
                accuracy=accuracy,
                trusted=metric.counts(record) and metric.trusted(record),
                collapsed=collapsed(record),
            )


def _panel(ax: Axes, metric: Metric, runs: Sequence[Measured]) -> None:
    sound = [run for run in runs if run.trusted]
    low, high = focus([run.accuracy for run in sound], (-1.0, 101.0))
    ax.set_ylim(low, high)
    shown = [r for r in runs if not r.trusted and (r.sharpness > 0 or _any_negative(sound))]
    for gid, some, style in (("runs", sound, RUN), ("untrusted", shown, UNTRUSTED)):
        edge = np.clip([run.accuracy for run in some], low + 0.015 * (high - low), high)
        ax.plot([run.sharpness for run in some], edge, gid=gid, clip_on=False, **style)
    labels = list(dict.fromkeys(run.label for run in sound))
    of_label = [[run for run in sound if run.label == label] for label in labels]
    x = [float(np.median([run.sharpness for run in of])) for of in of_label]
    y = [max(low, float(np.mean([run.accuracy for run in of]))) for of in of_label]
    ax.plot(x, y, "o", color=BLUE, ms=4, mew=0, zorder=3)
    _scale(ax, [run.sharpness for run in (*sound, *shown)])
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.set_xlabel(metric.title if "Hessian" in metric.title else f"{metric.title} of the Hessian")
    ax.set_ylabel("Test accuracy (%)")
    everywhere, within = correlations(runs)
    text = f"all runs: {_said(everywhere)}\nwithin optimizers: {_said(within)}"
    ax.set_title(text, size=SMALL, loc="left", pad=3)
    bare([ax])
    label_points(ax, x, y, labels)


def _any_negative(runs: Sequence[Measured]) -> bool:
    return any(run.sharpness <= 0 for run in runs)


def _scale(ax: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    if low > 0:
        room = (high / low) ** 0.05 if high > low else 1.5
        log_axis(ax, "x", low / room, high * room, most=4)
        ax.set_xlim(low / room, high * room)
    else:
        width = float(np.median(np.abs(values))) / 10 or 1.0
        asinh_axis(ax, 1.3 * low - width, 1.3 * high + width, width)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _said(found: RankCorrelation) -> str:
    if found.tau is None:
        return "τ is not defined" if found.pairs else "no τ (one run each)"
    text = f"τ = {_signed(found.tau)}"
    if found.interval is not None:
        text += f" [{_signed(found.interval[0])}, {_signed(found.interval[1])}]"
    return text


def _caption(runs: Sequence[Measured]) -> str:
    text = (
        "Test accuracy against the curvature of the training loss at the selected weights. Grey "
        "dots are runs; blue ones are optimizers (median curvature, mean accuracy). Kendall's "
        "tau-b: −1 would be that flatter always is more accurate, 0 that flatness says nothing. "
        "Within optimizers only runs of the same optimizer are compared. What has a far lower "
        "accuracy than the others stands on the lower edge."
    )
    if len({run.repeat for run in runs}) >= 6:
        text += " Brackets: 95 % bootstrap interval over seeds, with these optimizers."
    else:
        text += " Fewer than six seeds give no interval."
    untrusted = sum(not run.trusted for run in runs)
    if untrusted:
        text += (
            " Crosses: collapsed runs and measurements that did not converge; neither is counted."
        )
    return text
