"""ROC curves from stored predictions."""

from __future__ import annotations

from collections.abc import Iterator

from sambench.analysis.roc import MeanRoc, mean_roc
from sambench.report.figures.material import LeftOut, Material, Setting, classes_of
from sambench.report.figures.panels import panels
from sambench.report.figures.wording import number_of_runs
from sambench.report.picture import Picture
from sambench.report.style import BLUE, GREY, LINE, SMALL, plain_png

TITLE = "ROC curves"


def draw(material: Material, setting: Setting) -> Iterator[Picture | LeftOut]:
    """Draw a panel for each optimizer, the baseline's curve in grey in all of them."""
    what = f"{TITLE}, {setting.name}"
    found = {line.label: mean_roc(material.predictions(line)) for line in setting.lines}
    curves = {label: curve for label, curve in found.items() if curve is not None}
    if not curves:
        yield LeftOut(what=what, why="no completed run has stored predictions of two classes")
        return
    figure, grid = panels(list(curves), x="False positive rate", y="True positive rate")
    first = next(iter(curves))
    for ax, (label, curve) in zip(grid, curves.items(), strict=True):
        x = curve.false_positive_rates
        ax.plot([0, 1], [0, 1], color=GREY, lw=0.5, ls=(0, (1, 2)))
        if label != first:
            ax.plot(x, curves[first].mean, color=GREY, lw=0.8)
        if curve.area.n > 1:
            ax.fill_between(x, curve.mean - curve.sd, (curve.mean + curve.sd).clip(max=1),
                            color=BLUE, alpha=0.25, lw=0)  # fmt: skip
        ax.plot(x, curve.mean, color=BLUE, lw=LINE, gid="mean")
        ax.text(0.97, 0.05, _area(curve), size=SMALL, ha="right", va="bottom",
                transform=ax.transAxes)  # fmt: skip
        ax.set(xlim=(-0.02, 1), ylim=(0, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        ax.set_xticklabels(["0", ".5", "1"])
        ax.set_yticklabels(["0", ".5", "1"])
    yield Picture(
        stem=setting.stem("roc"),
        title=what,
        caption=_caption(setting, curves),
        png=plain_png(figure),
    )


def _area(curve: MeanRoc) -> str:
    area = curve.area
    return f"{area.mean:.3f}" if area.sd is None else f"{area.mean:.3f}\n± {area.sd:.3f}"


def _caption(setting: Setting, curves: dict[str, MeanRoc]) -> str:
    names = classes_of(setting.lines)
    of = f"{names[1]} against {names[0]}" if len(names) == 2 else "each class against the rest"
    average = "" if len(names) == 2 else ", averaged over classes"
    counts = number_of_runs(curve.area.n for curve in curves.values())
    several = any(curve.area.n > 1 for curve in curves.values())
    spread = "; band and ±: one standard deviation over runs" if several else ""
    first = next(iter(curves))
    return (
        f"Test images, {of}{average}: the mean over {counts} of each optimizer at each false "
        f"positive rate{spread}. Numbers are the area under the curve; grey is {first}."
    )
