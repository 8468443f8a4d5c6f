"""Two sides compared by one metric: pairs, difference, interval, test, effect and verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sambench.analysis import paired
from sambench.analysis.effects import cohens_dz, probability_of_improvement
from sambench.analysis.frame import (
    COLLAPSED,
    FOLD,
    NAME,
    SEED,
    SPLIT_SEED,
    STATUS,
    TEST,
    TRAIN,
    Columns,
)
from sambench.analysis.inference import infer
from sambench.analysis.intervals import Interval, bootstrap_interval
from sambench.analysis.metrics import Metric
from sambench.analysis.multiplicity import holm
from sambench.analysis.pairing import Pairing, pair
from sambench.analysis.statistics import Summary

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05
LEAST_PAIRS = 6
"""With fewer pairs no sign-flip or signed-rank test can reach p < 0.05, and none is marked."""

REPEATS = (SPLIT_SEED, FOLD, SEED)
BETTER, WORSE = "better", "worse"
NO_DIFFERENCE, TOO_FEW = "no difference shown", "too few pairs"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the runs say of a candidate against a baseline. Numbers are on the printed scale.

    Attributes:
        baseline: Name of the one side.
        candidate: Name of the other.
        setting: What both share, e.g. "small-cnn on phantom".
        metric: What is compared.
        baseline_values: Of the pairs' baseline runs.
        candidate_values: Of their counterparts, in the same order.
        pairs: Names of the two runs of each pair.
        difference: Mean of candidate minus baseline; None without a pair.
        interval: 95 % interval of the difference; None for fewer than two pairs.
        test: Which test `p` is of.
        p: Two-sided; None where there is no test.
        smallest_p: The least that p can be with so many pairs; 0 for t tests, which have no bound.
        p_holm: p corrected for the other comparisons of its family; None if it is in none.
        partitions: Number of different test parts among the pairs.
        unpaired: Runs that were not used, each with the reason.
        left_out: Pairs without this metric, or whose curvature a collapsed run makes meaningless.
        collapsed: Runs among the pairs and those left out that predict one class for every image.
        unconverged: Runs among the pairs whose measurement did not converge.
    """

    baseline: str
    candidate: str
    setting: str
    metric: Metric
    baseline_values: tuple[float, ...]
    candidate_values: tuple[float, ...]
    pairs: tuple[tuple[str, str], ...]
    difference: float | None
    interval: Interval | None
    test: str
    p: float | None
    smallest_p: float | None
    p_holm: float | None = None
    partitions: int = 1
    unpaired: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    collapsed: tuple[str, ...] = ()
    unconverged: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.pairs)

    @property
    def differences(self) -> tuple[float, ...]:
        """Candidate minus baseline, for each pair."""
        both = zip(self.candidate_values, self.baseline_values, strict=True)
        return tuple(candidate - baseline for candidate, baseline in both)

    @property
    def baseline_summary(self) -> Summary | None:
        """Mean, SD and n of the baseline's runs in pairs."""
        return Summary.of(self.baseline_values)

    @property
    def candidate_summary(self) -> Summary | None:
        """Mean, SD and n of the candidate's runs in pairs."""
        return Summary.of(self.candidate_values)

    @property
    def effect_size(self) -> float | None:
        """Cohen's dz of the differences; None without spread."""
        return cohens_dz(self.differences)

    @property
    def probability_of_improvement(self) -> float | None:
        """Probability that a run of the candidate beats a run of the baseline."""
        if not self.pairs:
            return None
        return probability_of_improvement(
            self.candidate_values,
            self.baseline_values,
            higher_is_better=self.metric.higher_is_better,
        )

    @property
    def verdict(self) -> str:
        """One of "better", "worse", "no difference shown" and "too few pairs" (under six)."""
        p = self.p if self.p_holm is None else self.p_holm
        if self.n < LEAST_PAIRS or p is None or self.difference is None:
            return TOO_FEW
        if p >= ALPHA or self.difference == 0:
            return NO_DIFFERENCE
        return BETTER if (self.difference > 0) == self.metric.higher_is_better else WORSE

    def wilcoxon(self) -> paired.PairedTest:
        """Return the signed-rank test of the same pairs, a second opinion without a say.

        Raises:
            ValueError: If there is no pair.
        """
        return paired.wilcoxon(self.differences)

    def bootstrap(self, *, seed: int = 0) -> Interval:
        """Return the BCa bootstrap interval of the mean difference.

        Raises:
            ValueError: If there are fewer than two pairs.
        """
        return bootstrap_interval(self.differences, seed=seed)


def compare(
    baseline: pd.DataFrame | Columns,
    candidate: pd.DataFrame | Columns,
    metrics: Sequence[Metric],
    *,
    names: tuple[str, str],
    setting: str = "",
    on: Sequence[str] = REPEATS,
) -> tuple[Comparison, ...]:
    """Compare two sides by each metric, run by run.

    On one test part the test is the sign-flip permutation over the pairs. Over several test parts
    (folds, resampled splits), whose training parts overlap, it is Nadeau and Bengio's corrected
    resampled t over the parts, the seeds of each part averaged first.

    Args:
        baseline: Runs of the one side, as a frame or as the `columns_of` the metrics.
        candidate: Likewise of the other.
        metrics: What to compare them by.
        names: Of baseline and candidate.
        setting: What they share.
        on: Columns in which the runs of a pair agree.
    """
    wanted = (*columns_of(metrics), *on)
    left, right = (
        side if isinstance(side, Columns) else Columns.of(side, wanted)
        for side in (baseline, candidate)
    )
    pairing = pair(left, right, on)
    return tuple(_compared(pairing, metric, names, setting) for metric in metrics)


def columns_of(metrics: Sequence[Metric]) -> tuple[str, ...]:
    """Return the columns that comparing runs by these metrics, paired by repeats, looks at."""
    sure = [metric.converged for metric in metrics if metric.converged is not None]
    always = (NAME, STATUS, *REPEATS, COLLAPSED, TRAIN, TEST)
    return tuple(dict.fromkeys([*always, *(metric.column for metric in metrics), *sure]))


def with_holm(comparisons: Iterable[Comparison]) -> tuple[Comparison, ...]:
    """Return comparisons with p corrected over one family for each metric.

    The family is every given comparison of the metric that has a p: all optimizers of one table
    against its baseline.
    """
    family = list(comparisons)
    for name in {comparison.metric.name for comparison in family}:
        tested = [
            place
            for place, comparison in enumerate(family)
            if comparison.metric.name == name and comparison.p is not None
        ]
        adjusted = holm([family[place].p or 0.0 for place in tested])
        for place, p in zip(tested, adjusted, strict=True):
            family[place] = replace(family[place], p_holm=p)
    return tuple(family)


def _compared(pairing: Pairing, metric: Metric, names: tuple[str, str], setting: str) -> Comparison:
    values, runs, flat = pairing.both(metric.column), pairing.names, pairing.collapsed
    used = [
        place
        for place, (before, after) in enumerate(values)
        if before is not None and after is not None and not (metric.curvature and any(flat[place]))
    ]
    unused = sorted(set(range(len(values))).difference(used))
    old, new = (tuple(metric.scale * float(values[i][side]) for i in used) for side in (0, 1))
    differences = [after - before for before, after in zip(old, new, strict=True)]
    tested = infer(differences, *pairing.parts(used))
    return Comparison(
        baseline=names[0],
        candidate=names[1],
        setting=setting,
        metric=metric,
        baseline_values=old,
        candidate_values=new,
        pairs=tuple(runs[place] for place in used),
        difference=tested.difference,
        interval=tested.interval,
        test=tested.test,
        p=tested.p,
        smallest_p=tested.smallest_p,
        partitions=tested.partitions,
        unpaired=pairing.unpaired,
        left_out=tuple(_reason(runs[i], values[i], flat[i]) for i in unused),
        collapsed=_flagged(runs, flat),
        unconverged=_unconverged(pairing, metric, used),
    )


def _reason(
    names: tuple[str, str], values: tuple[object, object], collapsed: tuple[object, object]
) -> str:
    lacking = [name for name, value in zip(names, values, strict=True) if value is None]
    if lacking:
        return f"{' and '.join(lacking)}: not measured"
    flat = [name for name, flag in zip(names, collapsed, strict=True) if flag]
    return f"{' and '.join(flat)}: collapsed, so its curvature says nothing"


def _flagged(
    runs: Sequence[tuple[str, str]], flags: Sequence[tuple[object, object]]
) -> tuple[str, ...]:
    return tuple(
        name
        for names, marks in zip(runs, flags, strict=True)
        for name, mark in zip(names, marks, strict=True)
        if mark
    )


def _unconverged(pairing: Pairing, metric: Metric, used: list[int]) -> tuple[str, ...]:
    if metric.converged is None:
        return ()
    sides = (pairing.baseline, pairing.candidate)
    marks = [(side[NAME], side[metric.converged]) for side in sides]
    return tuple(
        str(names[place]) for names, sure in marks for place in used if sure[place] is False
    )
