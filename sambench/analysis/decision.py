"""What a reader acts on: which optimizers may be the best, which is cheapest, what it may lose."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import NamedTuple

import numpy as np
from scipy.special import chdtri, stdtrit

from sambench.analysis import inference
from sambench.analysis.comparison import BETTER, UNDECIDED, WORSE
from sambench.analysis.groups import Group, by_key, repeat
from sambench.analysis.inference import ALPHA, FOLDS, SEEDS, Floats
from sambench.analysis.metrics import Metric, find_metric
from sambench.analysis.ranks import RankCorrelation
from sambench.analysis.study import FLATNESS, Study
from sambench.analysis.time_estimates import seconds_of
from sambench.analysis.units import rank_together, rounding_sd, summarize, tabulate, with_accuracy

COSTS = ("gradient_evaluations", "train_seconds")

SAME_COST = 1.1
"""Costs within this factor, or whose intervals are, are not called different."""

MOST_RANKED = 2_000
"""Of more runs no rank correlation is computed: it looks at every pair of runs."""

LEAST_FOR_BEST = 5
"""Units from which on a one-sided flip test can exclude an optimizer: 1 / 2^5 < 0.05."""


class Cost(NamedTuple):
    """A cost over the baseline's, and the ends of its 95 % interval."""

    estimate: float
    low: float
    high: float


Costs = tuple[Cost | None, ...]
"""Gradient evaluations and training time; None where no two runs can be compared by it."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a choice is among: the settings that it speaks of, and what it leaves out.

    It never speaks of two designs, nor of two baselines: these have no statement in common.
    """

    groups: tuple[Group, ...]  # of one design and one baseline
    labels: tuple[str, ...]  # all with runs in each of these settings; the baseline first
    apart: tuple[str, ...]  # labels of other lines, here or elsewhere
    elsewhere: tuple[str, ...]  # titles of the other settings that have completed runs


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The set that may be the best, and the choice among it.

    Nothing is excluded unless a difference to the baseline is shown at all. What is shown worse
    than another by its comparison with the baseline is excluded; of the rest each is compared with
    the best of the others, the baseline apart (Hsu 1984).
    """

    scope: Scope = field(compare=False, repr=False)
    best: tuple[str, ...]  # labels of all that are not shown worse than another
    labels: tuple[str, ...]  # all that were compared
    short: tuple[str, ...]  # of the scope, but with too few units where others have enough
    tied: tuple[str, ...]  # labels whose mean is exactly the highest, where they are several
    choice: tuple[str, ...]  # the cheapest of `best`, or several at one cost; the baseline first
    loss: float | None  # most that the first choice loses against the best, in points, at 95 %
    cost: Mapping[str, Costs]  # for each label of the scope, its costs over the baseline's


def find_scope(study: Study) -> Scope | None:
    """Return what may be chosen among: the design and baseline of most settings, or None."""
    done = [(group, [line for line in group.lines if line.completed]) for group in study.groups]
    there = [g for g, lines in done if g.first and len(lines) > 1 and g.part == 1]
    alike = by_key(there, lambda group: (group.folds, group.lines[0].label)).values()
    if not there:
        return None
    metric = find_metric(study.primary)
    options = [(groups, _shared(groups, metric)) for groups in alike]
    groups, labels = max(
        options, key=lambda one: (len(one[1]) > 1, len(one[0]), not one[0][0].folds, len(one[1]))
    )
    every = (line.label for group in study.groups for line in group.lines)
    others = (g for g in study.groups if g.completed and all(g is not one for one in groups))
    return Scope(
        groups=tuple(groups),
        labels=labels,
        apart=tuple(label for label in dict.fromkeys(every) if label not in labels),
        elsewhere=tuple(group.title for group in others),
    )


def _shared(groups: Sequence[Group], metric: Metric) -> tuple[str, ...]:
    """Return the labels that have a number in each of some settings, in order of lines."""
    there = [
        [line.label for line in g.lines if any(v is not None for v in line.numbers(metric))]
        for g in groups
    ]
    shared = tuple(label for label in there[0] if all(label in labels for labels in there))
    return shared if groups[0].lines[0].label in shared else ()


def decide(study: Study) -> Decision | None:
    """Return what may be chosen among the scope that `find_scope` finds; None for nothing.

    So it is where fewer than two optimizers have runs to compare, or where, on unequal units, each
    is shown worse than another.
    """
    scope = find_scope(study)
    if scope is None or len(scope.labels) < 2:
        return None
    gaps = _Gaps(scope, find_metric(study.primary))
    labels, short = gaps.enough()
    best = _not_worse(study, gaps, labels)
    if not best:
        return None
    means = {}
    for label in labels:  # over settings, of the means of the tables
        cells = (summarize(group, group.line(label), gaps.metric) for group in scope.groups)
        means[label] = fmean(cell.mean for cell in cells if cell.mean is not None)
    top = max(means.values())
    tied = tuple(label for label, mean in means.items() if abs(mean - top) < 1e-9)
    costs = {label: _costs(study, scope, label) for label in scope.labels}
    choice = _cheapest(best, costs, means, scope.labels[0])
    return Decision(
        scope=scope,
        best=best,
        labels=labels,
        short=short,
        tied=tied if len(tied) > 1 else (),
        choice=choice,
        loss=_loss(gaps, choice[0], labels),
        cost=costs,
    )


def _not_worse(study: Study, gaps: _Gaps, labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels that nothing in a report shows to be worse than another of them."""
    baseline = gaps.scope.labels[0]
    found = study.over(gaps.scope.groups, study.primary)
    verdicts = {one.candidate: one.verdict for one in found if one.candidate in labels}
    if not {BETTER, WORSE} & {*verdicts.values()}:
        return tuple(labels)
    beaten = {baseline: BETTER in verdicts.values()}
    others = [label for label in labels if label != baseline]
    for label in others:
        beaten[label] = verdicts.get(label) == WORSE or gaps.shown_worse(label, others)
    return tuple(label for label in labels if not beaten[label])


class _Gaps:
    """By how much optimizers differ, unit by unit, over the settings of a scope.

    Two are compared on the units that both have, whatever the others have, as with the baseline.
    """

    def __init__(self, scope: Scope, metric: Metric) -> None:
        self.scope, self.metric = scope, metric
        self._tables = [(g, tabulate(g, metric)) for g in scope.groups]
        self.ratio = sum(g.test_over_train for g in scope.groups) / len(scope.groups)
        self.design = FOLDS if scope.groups[0].folds else SEEDS
        self.least_sd = inference.sd_of_mean([rounding_sd(g, metric) for g in scope.groups])

    def of(self, labels: Sequence[str], less: str | None = None) -> Floats:
        """Return some, less one if given, (units, labels), lost units at what they count as."""
        made = []
        for group, table in self._tables:
            runs = {line.label: own for line, own in zip(group.lines, table.imputed.T, strict=True)}
            own = np.column_stack([runs[label] for label in labels])
            made.append(table.by_unit(own - runs[less][:, None] if less else own))
        joined, _ = inference.side_by_side([table.keys for _, table in self._tables], made)
        networks = [group.network for group, _ in self._tables]
        return inference.over_settings(joined, networks, self.design)[0]

    def enough(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the labels with units enough to be compared, and those without; all if none is."""
        baseline, *others = self.scope.labels
        units = np.isfinite(self.of(others, less=baseline)).sum(axis=0)
        short = tuple(itertools.compress(others, units < self.design.least_units))
        if len(short) == len(others):
            return self.scope.labels, ()
        return tuple(label for label in self.scope.labels if label not in short), short

    def shown_worse(self, label: str, among: Sequence[str]) -> bool:
        """Whether one is shown worse than the best of the others among some."""
        others = [other for other in among if other != label]
        if not others:
            return False
        gaps = self.of(others, less=label)
        found = inference.moments(gaps, self.ratio, self.least_sd)
        if self.design is FOLDS:
            many = np.flatnonzero(found.units >= FOLDS.least_units)
            p = inference.student_tail(found, found.mean, sides=1)
            return bool((p[many] * len(others) < ALPHA).any())
        many = np.flatnonzero(found.units >= LEAST_FOR_BEST)
        return bool(len(many)) and inference.largest_gap(gaps[:, many]) < ALPHA


def _loss(gaps: _Gaps, label: str, labels: Sequence[str]) -> float | None:
    """Return the upper 95 % bound of the gap to the best of the others, at least 0 (Bonferroni).

    It is no larger than the room that the optimizer's own lower bound leaves to 100 %.
    """
    others = [other for other in labels if other != label]
    both = np.column_stack([-gaps.of([label]), gaps.of(others, less=label)])
    found = inference.moments(both, gaps.ratio, gaps.least_sd)
    if found.units.min() < 2:
        return None
    errors = ALPHA / np.array([1, *[len(others)] * len(others)])
    below, *above = (found.mean + stdtrit(found.units - 1, 1 - errors) * found.error).tolist()
    return float(min(max(0.0, *above), gaps.metric.scale + min(below, 0.0)))


def _costs(study: Study, scope: Scope, label: str) -> Costs:
    """Return an optimizer's costs over the baseline's, as the tables of differences have them.

    Of a fixed number, which is not pooled over settings, it is the geometric mean of its ratios.
    """
    if label == scope.labels[0]:
        return Cost(1.0, 1.0, 1.0), Cost(1.0, 1.0, 1.0)
    costs: list[Cost | None] = []
    for name in COSTS:
        pooled = (one for one in study.over(scope.groups, name) if one.candidate == label)
        alone = [one for group in scope.groups for one in group.by(name) if one.candidate == label]
        logs = [math.log(one.estimate) for one in alone if one.estimate]
        cost = Cost(*[math.exp(fmean(logs))] * 3) if len(logs) == len(scope.groups) else None
        if (one := next(pooled, None)) and one.estimate and not one.fixed:
            cost = Cost(one.estimate, one.low or 0.0, one.high or math.inf)
        costs.append(cost)
    return tuple(costs)


def _cheapest(
    best: Sequence[str], costs: Mapping[str, Costs], means: Mapping[str, float], baseline: str
) -> tuple[str, ...]:
    """Return the cheapest: by the worse of gradient evaluations and time over the least of each.

    Also those that cost more than it by no more than times spread, which are not shown to.
    """
    known = [[cost for label in best if (cost := costs[label][place])] for place in (0, 1)]
    least = [min((cost.estimate for cost in of), default=1.0) for of in known]
    worse = {}
    for label in best:
        over = (c.estimate / x for c, x in zip(costs[label], least, strict=True) if c)
        worse[label] = max(over, default=math.inf)
    first = min(best, key=worse.__getitem__)

    def dearer(label: str) -> bool:
        both = zip(costs[label], costs[first], strict=True)
        apart = any(c.low > SAME_COST * of.high for c, of in both if c and of)
        return worse[label] > SAME_COST * worse[first] and (apart or not any(costs[label]))

    same = itertools.filterfalse(dearer, best)
    return tuple(sorted(same, key=lambda label: (label != baseline, -means[label])))


def settle(study: Study) -> tuple[int, float | None] | None:
    """Return how many seeds would show, or rule out, a difference of the margin.

    With the seconds of the missing ones, each the median runs'; None if unknown. None where nothing
    is open but for lost runs, no spread known or no seed missing, and of folds, to which seeds add
    no test images. The median of an SD is sqrt(median of chi^2(n - 1) / (n - 1)) of the true one.
    """
    family = sum(one.metric.name == study.primary and one.n > 0 for one in study.every())
    found = (one for one in study.main(study.primary) if one.design == SEEDS)
    opened = [one for one in found if one.verdict == UNDECIDED and not any(one.lost)]
    known = [(max(one.sd, one.least_sd), one.n - 1) for one in opened if one.sd is not None]
    if not known:
        return None
    spread = median(sd * math.sqrt(freedom / chdtri(freedom, 0.5)) for sd, freedom in known)
    units = inference.units_to_settle(spread, study.margin, family, SEEDS.least_units)
    there = (len(group.repeats) for group in study.groups if not group.folds)
    missing = units - max(*there, *(one.n for one in opened))
    per_seed = math.fsum(
        median(
            seconds_of(run.cost or {}) + float((run.hessian or {}).get("seconds") or 0)
            for run in line.completed
        )
        for group in study.groups
        for line in group.lines
        if line.completed
    )
    return (units, missing * per_seed or None) if missing > 0 else None


def coarse(groups: Iterable[Group], metric: Metric) -> int | None:
    """Return the fewest test images of a setting, if one of them is more points than the margin.

    All folds of a split are one set of images. An area under the curve has finer steps.
    """
    if metric.name == "auroc" or metric.margin is None:
        return None
    sizes = [
        {repeat(r)[:2]: r.data["test"] for r in group.completed if r.data and r.data.get("test")}
        for group in groups
    ]
    images = [sum(parts.values()) // len({split for split, _ in parts}) for parts in sizes if parts]
    return min(images) if images and 100 / min(images) > metric.margin else None


def flat_and_accurate(study: Study) -> tuple[RankCorrelation, RankCorrelation] | None:
    """Return how flatness, by the first measure of it that can tell, and accuracy rank together."""
    runs = (with_accuracy(study.groups, find_metric(name)) for name in FLATNESS)
    some = (list(itertools.islice(measured, MOST_RANKED + 1)) for measured in runs)
    found = (rank_together(measured) for measured in some if len(measured) <= MOST_RANKED)
    return next(filter(None, found), None)
