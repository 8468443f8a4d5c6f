"""What each optimizer differs by from the baseline, as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from sambench.analysis.comparison import Comparison
from sambench.analysis.groups import Group, setting_text
from sambench.analysis.inference import FOLDS
from sambench.analysis.study import Study
from sambench.report.notes import notes, of_equivalence
from sambench.report.table import MISSING, Cell, Table, amount, counted, interval, listed, p_value

ACCURACIES = ("accuracy",), ("auroc", "robust_accuracy")
COSTS = ("train_seconds", "top", "trace")
MOST_VALUES = 4
"""Of a hyperparameter that differs between settings; of more the number is given."""
HEADINGS = ("Optimizer", "95 % interval", "n", "p", "Cohen's dz", "Runs won", "Verdict")


def difference_tables(study: Study, names: Sequence[str]) -> tuple[Table, ...]:
    """Return a table of differences to the baseline by each metric: over settings, then in each."""
    pooled = [study.pooled.get(name, ()) for name in names]
    alone = (group.by(name) for group in study.groups for name in names)
    every = (*pooled, *(found for found in alone if any(one.n for one in found)))
    return tuple(_difference_table(found, study) for found in every if found)


def _difference_table(found: Sequence[Comparison], study: Study) -> Table:
    """Return what each optimizer differs by, the best first."""
    metric, baseline = found[0].metric, study.title_of(found[0].baseline)
    where, pooled = found[0].setting, found[0].settings > 1
    sign = -1 if metric.higher_is_better else 1
    ordered = sorted(found, key=lambda c: math.inf if c.estimate is None else sign * c.estimate)
    what = "ratio to" if metric.ratio else "difference to"
    head = ("Ratio" if metric.ratio else f"Difference ({metric.unit})", *HEADINGS[1:])
    groups = [group for group in study.groups if pooled or group.title == where]
    return Table(
        title=f"{'Over ' * pooled}{where}: {metric.heading}, {what} {baseline}",
        headings=(HEADINGS[0], *head),
        rows=tuple((study.title_of(one.candidate), difference_cells(one)) for one in ordered),
        notes=(
            *lost_units(ordered, study),
            *filter(None, [unlike(study, ordered)]),
            *of_equivalence(ordered, groups),
            *(untimed(*groups) if metric.name == "train_seconds" and not pooled else ()),
        ),
        setting="" if pooled else where,
        keys=tuple(one.candidate for one in ordered),
    )


def untimed(group: Group) -> tuple[str, ...]:
    """Say of which optimizers no run was timed on the device of its counterpart's."""
    paired = {one.candidate for one in group.by("gradient_evaluations") if one.n}
    found = (one.candidate for one in group.by("train_seconds") if not one.n)
    names = [group.line(label).title for label in found if label in paired]
    return notes("untimed", baseline=group.lines[0].title, untimed=names)


def lost_units(found: Sequence[Comparison], study: Study) -> tuple[str, ...]:
    """Say how many units each side lost by one metric, and what they count in; nothing if none.

    Also what is not called equivalent for that alone.
    """
    first, unit = found[0], found[0].design.unit
    numbers = {first.baseline: max(one.lost[0] for one in found)}
    numbers |= {one.candidate: one.lost[1] for one in found}
    told = [f"{study.title_of(k)} lost {counted(n, unit)}" for k, n in numbers.items() if n]
    if not told:
        return ()
    inside = all(one.counted for one in found)
    barred = [study.title_of(one.candidate) for one in found if one.barred]
    return notes("lost_units", told=told, inside=inside, unit=unit, barred=barred)


def unlike(study: Study, found: Iterable[Comparison]) -> str:
    """Say which hyperparameters of a line differ between the settings that statements pool."""
    told: dict[str, None] = {}
    for one in (one for one in found if one.settings > 1):
        sides = (one.baseline, one.candidate, one.design is FOLDS)
        groups = [
            group
            for group in study.groups
            for own in group.by(one.metric.name)
            if own.n and (own.baseline, own.candidate, group.folds) == sides
        ]
        for label in sides[:2]:
            own = (one for group in groups for one in group.line(label).optimizers)
            lines = [*{repr(one): one for one in own}.values()]
            for key in lines[0] if len({line["name"] for line in lines}) == 1 else ():
                values = list(dict.fromkeys(setting_text(line.get(key)) for line in lines))
                if len(values) > 1:
                    told[f"{study.title_of(label)}'s {key} ({listed(values, MOST_VALUES)})"] = None
    return f"Pooled, though not the same in each setting: {listed([*told])}." if told else ""


def difference_cells(one: Comparison) -> tuple[Cell, ...]:
    """Return estimate, interval, units, p, effect, share of runs won and verdict."""
    source = f"{one.setting}/{one.candidate}/{one.metric.name}" if one.settings == 1 else ""
    won = one.wins / one.pairs if one.pairs else None
    return (
        Cell(text=amount(one), numbers={"estimate": one.estimate}, bold=one.verdict == "better",
             source=source),
        Cell(text=interval(one), numbers={"low": one.low, "high": one.high}),
        Cell(text=str(one.n), numbers={"count": one.n}),
        Cell(text="no test" if one.fixed else p_value(one.p), numbers={"p": one.p}),
        Cell(text=MISSING if one.effect is None else f"{one.effect:+.2f}",
             numbers={"dz": one.effect}),
        Cell(text=f"{one.wins:g} of {one.pairs}", numbers={"share": won}),
        Cell(text=one.verdict if one.n else MISSING),
    )  # fmt: skip
