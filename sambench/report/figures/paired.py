"""Every seed's difference from the baseline."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sambench.analysis.comparison import ALPHA, LEAST_PAIRS, Comparison
from sambench.report.figures.axes import focus
from sambench.report.figures.material import LeftOut, Material, Setting
from sambench.report.figures.rows import RUNS_BELOW, beyond_edge, rows
from sambench.report.figures.wording import number_of_runs
from sambench.report.picture import Picture
from sambench.report.style import BLUE, GREY, SMALL, VERMILION, plain_png

TITLE = "Paired differences"


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw test accuracy minus the baseline's, seed by seed."""
    what = f"{TITLE}, {setting.name}"
    compared = material.against_baseline(setting)
    found = [one for one in compared.values() if one.n]
    if setting.baseline is None:
        yield LeftOut(what=what, why="the baseline has no completed run")
        return
    if not found:
        yield LeftOut(what=what, why=f"no run has a counterpart of {setting.baseline}")
        return
    found.sort(key=lambda one: -(one.difference or 0.0))
    made = rows([one.candidate for one in found], right=0.5)
    (ax,) = made.panels
    ax.set_xlim(_limits(found))
    ax.axvline(0, color=GREY, lw=0.7, ls=(0, (3, 2)), zorder=1)
    for y, one in enumerate(found):
        _row(ax, y, one)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.set_xlabel(f"Test accuracy minus {setting.baseline}'s (points)")
    yield Picture(
        stem=setting.stem("paired"),
        title=what,
        caption=_caption(setting, found),
        png=plain_png(made.figure),
    )


def _limits(found: list[Comparison]) -> tuple[float, float]:
    """Return limits that show the pairs without a collapsed run, where there are any."""
    sound = [one for one in found if not one.collapsed] or found
    ends = [
        end
        for one in sound
        if one.interval is not None and one.n > 2
        for end in (one.interval.low, one.interval.high)
    ]
    return focus([0.0, *ends, *(value for one in sound for value in one.differences)])


def _row(ax: Axes, y: int, one: Comparison) -> None:
    low, high = ax.get_xlim()
    gone, mean = set(one.collapsed), one.difference or 0.0
    flat = [bool(gone & set(pair)) for pair in one.pairs]
    for mark, style, colour in ((False, "o", GREY), (True, "x", VERMILION)):
        values = [value for value, f in zip(one.differences, flat, strict=True) if f == mark]
        ax.plot(values, [y + RUNS_BELOW] * len(values), style, color=colour, alpha=0.6 + 0.4 * mark,
                ms=3 if mark else 2, mew=0.8 if mark else 0, zorder=2,
                gid="collapsed" if mark else "pairs")  # fmt: skip
    if low <= mean <= high:
        if one.interval is not None:
            ax.hlines(y, one.interval.low, one.interval.high, color=BLUE, lw=1.1, zorder=3)
        ax.plot(mean, y, "o", color=BLUE, ms=4, mew=0.9, zorder=4, gid="mean",
                mfc=BLUE if _marked(one) else "white")  # fmt: skip
    else:
        beyond_edge(ax, y, mean, bool(gone))
    ax.annotate(_p(one), (1.02, y), xycoords=ax.get_yaxis_transform(), size=SMALL, va="center",
                annotation_clip=False)  # fmt: skip


def _marked(one: Comparison) -> bool:
    p = one.p if one.p_holm is None else one.p_holm
    return one.n >= LEAST_PAIRS and p is not None and p < ALPHA


def _p(one: Comparison) -> str:
    """Return the corrected p as printed; nothing where so few pairs can show no difference."""
    p = one.p if one.p_holm is None else one.p_holm
    if p is None or one.n < LEAST_PAIRS:
        return f"n = {one.n}"
    if p >= 0.9995:
        return "p = 1"
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")


def _caption(setting: Setting, found: list[Comparison]) -> str:
    counts = number_of_runs(one.n for one in found).replace("runs", "pairs").replace("run", "pair")
    text = (
        f"Test accuracy of each run minus that of {setting.baseline} with the same seed and fold "
        f"(dots, {counts} of each optimizer), their mean, and its 95 % interval."
    )
    if any(one.n >= LEAST_PAIRS for one in found):
        tests = "; ".join(dict.fromkeys(one.test for one in found))
        text += (
            f" p after Holm's correction over {len(found)} optimizers ({tests}); filled: p < 0.05."
        )
    else:
        text += f" Fewer than {LEAST_PAIRS} pairs can show no difference, so none is tested."
    if any(one.collapsed for one in found):
        text += (
            " Crosses: pairs with a collapsed run; a triangle and a number stand for a mean beyond "
            "the edge."
        )
    return text
