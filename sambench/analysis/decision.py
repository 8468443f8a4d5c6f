"""What a reader acts on: which optimizers may be the best, which is cheapest, what it may lose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from scipy.special import stdtr, stdtrit

from sambench.analysis import inference
from sambench.analysis.comparison import UNDECIDED
from sambench.analysis.groups import Group
from sambench.analysis.inference import ALPHA, FOLDS, SEEDS, SETTINGS, Design, Floats, Keys
from sambench.analysis.metrics import Metric, find_metric, find_metrics
from sambench.analysis.ranks import RankCorrelation
from sambench.analysis.study import FLATNESS, Study
from sambench.analysis.time_estimates import seconds_of
from sambench.analysis.units import rank_together, tabulate, with_accuracy

SAME_COST = 1.1
"""Costs within this factor are called the same."""

MOST_RANKED = 2_000
"""Of more runs no rank correlation is computed: it looks at every pair of runs."""

LEAST_FOR_BEST = 5
"""Units from which on a one-sided flip test can exclude an optimizer: 1 / 2^5 < 0.05."""


Costs = tuple[float | None, ...]
"""Gradient evaluations and training time; None where a run lacks it."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The set that may be the best, and the choice among it.

    Each optimizer is compared with the best of the others (Hsu 1984), and nothing is excluded
    unless a difference to the baseline is shown at all.
    """

    best: tuple[str, ...]  # labels of all that are not shown worse than another
    labels: tuple[str, ...]  # all that were compared
    tied: tuple[str, ...]  # labels whose mean is exactly the highest, where they are several
    choice: tuple[str, ...]  # the cheapest of `best`, or several at one cost; the baseline first
    loss: float | None  # most that the first choice loses against the best, in points, at 95 %
    cost: Mapping[str, Costs]  # for each label, its costs over those of the choice


def decide(study: Study) -> Decision | None:
    """Return what may be chosen; None where fewer than two optimizers have runs to compare."""
    groups, labels = _choices(study)
    if len(labels) < 2:
        return None
    units, design, factor = _unit_means(groups, labels, find_metric(study.primary))
    if not units.size:
        return None
    best = labels
    if any(one.shown for one in study.every() if one.metric.name == study.primary):
        beaten = [_beaten(units, place, design, factor) for place in range(len(labels))]
        best = tuple(label for label, worse in zip(labels, beaten, strict=True) if not worse)
    means = dict(zip(labels, inference.moments(units).mean, strict=True))
    top = float(np.nanmax([*means.values()]))
    tied = tuple(label for label, mean in means.items() if abs(mean - top) < 1e-9)
    costs = {label: _costs(groups, label) for label in labels}
    choice = _cheapest(study, best or labels, costs, means)
    return Decision(
        best=best,
        labels=labels,
        tied=tied if len(tied) > 1 else (),
        choice=choice,
        loss=_loss(units, labels.index(choice[0]), factor),
        cost={
            label: tuple(
                c / d if c and d else None for c, d in zip(own, costs[choice[0]], strict=True)
            )
            for label, own in costs.items()
        },
    )


def _choices(study: Study) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the settings of one design that leave a choice, and the labels that each of them has.

    A setting with one optimizer alone is none of them.
    """
    done = {id(g): {line.label for line in g.lines if line.completed} for g in study.groups}
    there = [group for group in study.groups if len(done[id(group)]) > 1]
    groups = tuple(group for group in there if not group.folds) or tuple(there)
    lines = groups[0].lines if groups else ()
    shared = [line.label for line in lines if all(line.label in done[id(g)] for g in groups)]
    return groups, tuple(shared)


def _unit_means(
    groups: Sequence[Group], labels: Sequence[str], metric: Metric
) -> tuple[Floats, Design, float | None]:
    """Return the unit means of some optimizers over settings, their design, and its test/train."""
    tables = [_centred(group, metric, labels) for group in groups]
    table, keys = inference.side_by_side(*zip(*tables, strict=True))
    factors = [found for group in groups if (found := group.test_over_train) is not None]
    if factors:
        return inference.mean_over(table, 1), FOLDS, sum(factors) / len(factors)
    if len(keys) < LEAST_FOR_BEST <= len(groups):
        return inference.mean_over(table, 0), SETTINGS, None
    return inference.mean_over(table, 1), SEEDS, None


def _centred(group: Group, metric: Metric, labels: Sequence[str]) -> tuple[Keys, Floats]:
    """Return units and their values, each unit less its mean over the optimizers that are there.

    Only gaps between optimizers matter; without the unit's own level, settings can be averaged.
    """
    table = tabulate(group, metric)
    places = [[line.label for line in group.lines].index(label) for label in labels]
    values = table.by_unit(table.values if table.imputed is None else table.imputed)[:, places]
    complete = np.asarray(np.isfinite(values).all(axis=1))
    if complete.any():
        values = np.where(complete[:, None], values, np.nan)
    return table.keys, values - inference.mean_over(values, 1)[:, None]


def _gaps(units: Floats, place: int, factor: float | None) -> tuple[Floats, inference.Moments]:
    """Return the others less one optimizer, unit by unit."""
    gaps = np.delete(units, place, axis=1) - units[:, [place]]
    return gaps, inference.moments(gaps, factor)


def _beaten(units: Floats, place: int, design: Design, factor: float | None) -> bool:
    """Whether an optimizer is shown worse than the best of the others."""
    gaps, found = _gaps(units, place, factor)
    if design is FOLDS:
        enough = np.flatnonzero(found.units >= FOLDS.least_units)
        with np.errstate(invalid="ignore", divide="ignore"):
            p: Floats = stdtr(np.maximum(found.units - 1, 1), -found.mean / found.error)
        return bool((p[enough] * gaps.shape[1] < ALPHA).any())
    many = np.flatnonzero(found.units >= LEAST_FOR_BEST)
    return bool(len(many)) and inference.largest_gap(gaps[:, many]) < ALPHA


def _loss(units: Floats, place: int, factor: float | None) -> float | None:
    """Return the upper 95 % bound of the gap to the best of the others, at least 0 (Bonferroni)."""
    gaps, found = _gaps(units, place, factor)
    if not (found.units > 1).all():
        return None
    quantile = stdtrit(found.units - 1, 1 - ALPHA / gaps.shape[1])
    return max(0.0, float((found.mean + quantile * found.error).max()))


def _costs(groups: Sequence[Group], label: str) -> Costs:
    """Return geometric means over the settings, in each over the runs, of an optimizer's costs."""

    def mean(metric: Metric) -> float | None:
        lines = [group.line(label) for group in groups]
        runs = [[math.log(v) for _, v, _ in line.read(metric) if v > 0] for line in lines]
        logs = [math.fsum(found) / len(found) for found in runs if found]
        return math.exp(math.fsum(logs) / len(logs)) if len(logs) == len(lines) else None

    return tuple(map(mean, find_metrics(["gradient_evaluations", "train_seconds"])))


def _cheapest(
    study: Study, best: Sequence[str], costs: Mapping[str, Costs], means: Mapping[str, float]
) -> tuple[str, ...]:
    """Return the cheapest: by the worse of gradient evaluations and time over the least of each."""
    least = [
        min((cost for label in best if (cost := costs[label][place]) is not None), default=1.0)
        for place in (0, 1)
    ]
    worse = {
        label: max((c / low for c, low in zip(costs[label], least, strict=True) if c), default=1.0)
        for label in best
    }
    limit = SAME_COST * min(worse.values())
    same = [label for label in best if worse[label] <= limit]
    first = {group.lines[0].label for group in study.groups if group.baseline}
    return tuple(sorted(same, key=lambda label: (label not in first, -means[label])))


@dataclass(frozen=True, kw_only=True)
class Settling:
    """What would show, or rule out, a difference of the margin of the primary metric."""

    units: int  # how many would
    present: int  # how many there are
    margin: float
    seconds: float | None  # of the missing ones at the pace of these runs; None if unknown


def settle(study: Study) -> Settling | None:
    """Return what would settle the primary comparison; None where nothing is open, or for folds.

    More seeds of the same folds add no test images, so nothing is said of folds.
    """
    opened = [
        one
        for one in study.main(study.primary)
        if one.verdict == UNDECIDED and one.design not in (FOLDS, SETTINGS)
    ]
    if not opened:
        return None
    first, present = opened[0], max(one.n for one in opened)
    margin = study.margins.get(study.primary, first.metric.margin or 1.0)
    spreads = [one.sd for one in opened if one.sd is not None]
    units = SEEDS.least_units
    if spreads:
        units = inference.units_to_settle(median(spreads), margin, max(first.family, 1), units)
    runs: dict[object, list[float]] = {}
    for group in study.groups:
        for record in group.completed:
            took = seconds_of(record.cost or {}) + float((record.hessian or {}).get("seconds") or 0)
            runs.setdefault(record.config.seed, []).append(took)
    per_seed = max((math.fsum(found) for found in runs.values()), default=0.0)
    return Settling(
        units=units,
        present=present,
        margin=margin,
        seconds=max(0, units - present) * per_seed if per_seed else None,
    )


def flat_and_accurate(study: Study) -> tuple[RankCorrelation, RankCorrelation] | None:
    """Return how flatness, by the first measure of it that can tell, and accuracy rank together."""
    runs = (with_accuracy(study.groups, find_metric(name)) for name in FLATNESS)
    found = (rank_together(measured) for measured in runs if len(measured) <= MOST_RANKED)
    return next(filter(None, found), None)
