"""Every unit's difference from the baseline, with the simultaneous interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sambench.analysis.comparison import Comparison
from sambench.report.figures.axes import focus
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.figures.rows import RUNS_BELOW, beyond_edge, rows
from sambench.report.style import BLUE, GREY, SMALL, Picture
from sambench.report.table import p_value

TITLE = "Paired differences"


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw test accuracy minus the baseline's, unit by unit."""
    what, baseline = f"{TITLE}, {setting.name}", setting.baseline
    found = [one for one in setting.panel.by("accuracy") if one.n]
    if baseline is None:
        yield LeftOut(what=what, why="the baseline has no completed run")
        return
    if not found:
        yield LeftOut(what=what, why=f"no run has a counterpart of {baseline.title}")
        return
    found.sort(key=lambda one: -(one.estimate or 0.0))
    titles = {line.label: line.title for line in setting.lines}
    made = rows([titles[one.candidate] for one in found], right=0.55)
    (ax,) = made.panels
    ax.set_xlim(_limits(found))
    ax.axvline(0, color=GREY, lw=0.7, ls=(0, (3, 2)), zorder=1)
    for y, one in enumerate(found):
        _row(ax, y, one)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.set_xlabel(f"Test accuracy minus {baseline.title}'s (points)")
    design = found[0].design
    text = (
        f"Test accuracy of each {design.unit} minus that of {baseline.title} (dots), their mean, "
        "and its 95 % interval, which holds for all comparisons of the report at once."
    )
    text += (
        f" p of the {design.test}, corrected ({design.correction}); filled: p < 0.05."
        if any(one.enough for one in found)
        else f" Fewer than {design.least_units} {design.unit}s can show no difference."
    )
    yield Picture(stem=setting.stem("paired"), title=what, caption=text, figure=made.figure)


def _limits(found: Sequence[Comparison]) -> tuple[float, float]:
    """Return limits that show all units but those far away, such as of collapsed runs."""
    values = [value for one in found for value in one.differences]
    low, high = focus([0.0, *values])
    near = [one for one in found if low <= (one.estimate or 0.0) <= high and one.n > 2]
    ends = [end for one in near for end in (one.low, one.high) if end is not None]
    return focus([low, high, *ends])


def _row(ax: Axes, y: int, one: Comparison) -> None:
    low, high = ax.get_xlim()
    mean = one.estimate or 0.0
    ax.plot(one.differences, [y + RUNS_BELOW] * one.n, "o", color=GREY, alpha=0.6, ms=2, mew=0,
            zorder=2, gid="units")  # fmt: skip
    if low <= mean <= high:
        if one.low is not None and one.high is not None:
            ax.hlines(y, one.low, one.high, color=BLUE, lw=1.1, zorder=3)
        ax.plot(mean, y, "o", color=BLUE, ms=4, mew=0.9, zorder=4, gid="mean",
                mfc=BLUE if one.shown else "white")  # fmt: skip
    else:
        beyond_edge(ax, y, mean, collapsed=False)
    text = p_value(one.p) if one.p is not None else f"n = {one.n}"
    text = text if "n" in text else f"p {text}" if text.startswith("<") else f"p = {text}"
    ax.annotate(text, (1.02, y), xycoords=ax.get_yaxis_transform(), size=SMALL, va="center",
                annotation_clip=False)  # fmt: skip
