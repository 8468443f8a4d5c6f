"""All comparisons by one metric in a report are one family: how they are made and corrected."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sambench.analysis import inference
from sambench.analysis.comparison import Comparison
from sambench.analysis.groups import Group, by_key
from sambench.analysis.inference import ALPHA, FOLDS, SEEDS, SETTINGS, Floats, Keys
from sambench.analysis.metrics import Metric
from sambench.analysis.units import rounding_sd, tabulate, timed_alike


@dataclass(eq=False)
class _Column:
    """One hypothesis: what is said of it so far, and its units' differences."""

    made: Comparison
    keys: Keys
    values: Floats  # (units,), logarithms for a ratio
    imputed: Floats  # with lost units at what they count as; without them where that is unknown
    spoiled: tuple[bool, bool]  # sides with runs that cannot be counted and speak against them
    ratio: float  # n_test / n_train of folds, else 0
    network: str  # and data set

    @property
    def testable(self) -> bool:
        """Whether there are units enough and it is no fixed number."""
        if self.made.fixed:
            return False
        return int(np.isfinite(self.values).sum()) >= self.made.design.least_units


Pair = tuple[tuple[tuple[Comparison, ...], ...], tuple[Comparison, ...]]


def compare(groups: Sequence[Group], metric: Metric, margin: float | None = None) -> Pair:
    """Compare each further line of each group with its first by one metric: one family.

    Seeds share their sign flips over the settings, and the statement over all settings is one of
    the family; where seeds are too few, but settings enough, it is tested over settings. A family
    of seeds and folds is shared between them by the number of their comparisons. The margin is the
    metric's own if none is given. Returns for each group one comparison for each further line, if
    it has a baseline, and one over settings for each optimizer that several have.
    """
    if margin is not None:
        metric = replace(metric, margin=margin)
    within = [_columns(g, metric) if g.baseline and len(g.lines) > 1 else [] for g in groups]
    every = [column for columns in within for column in columns]
    # runs of other images or code are no further setting
    alike = (c for g, own in zip(groups, within, strict=True) if g.part == 1 for c in own)
    there = (c for c in alike if np.isfinite(c.values).any() and not c.made.fixed)
    by_label = by_key(there, lambda c: (c.made.design.unit, c.made.baseline, c.made.candidate))
    pooled = [_over_settings(columns) for columns in by_label.values() if len(columns) > 1]
    every += pooled
    family = sum(column.testable for column in every)
    for design in dict.fromkeys(column.made.design for column in every):
        _test([column for column in every if column.made.design == design], family)
    made = tuple(tuple(column.made for column in columns) for columns in within)
    return made, tuple(column.made for column in pooled)


def _columns(group: Group, metric: Metric) -> list[_Column]:
    table = tabulate(group, metric)
    # runs are subtracted seed by seed before the seeds of a fold are averaged
    of_runs = table.values[:, 1:] - table.values[:, :1]
    if metric.name == "train_seconds":  # of two devices it tells of these
        of_runs = np.where(timed_alike(group)[:, 1:], of_runs, np.nan)
    differences = imputed = table.by_unit(of_runs)
    if table.counted and table.lost.any():
        imputed = table.by_unit(table.imputed[:, 1:] - table.imputed[:, :1])
    of_result = not metric.column.startswith("cost.")  # what training came to, not what it cost
    own = table.spoiled & (not table.counted and of_result)
    paired = np.isfinite(of_runs)
    sign = 1.0 if metric.higher_is_better else -1.0
    wins = (sign * of_runs > 0) + 0.5 * (of_runs == 0)
    lost = table.by_unit(table.lost.astype(np.float64)) > 0
    counts = metric.name in ("gradient_evaluations", "peak_memory")
    # a count that is the same in all runs is no random number
    known = (column[np.isfinite(column)] for column in table.values.T)
    fixed = [counts and len(found) > 0 and bool(np.ptp(found) == 0) for found in known]
    least_sd = rounding_sd(group, metric)
    columns = []
    for place, line in enumerate(group.lines[1:]):
        made = Comparison(
            setting=group.title,
            metric=metric,
            baseline=group.lines[0].label,
            candidate=line.label,
            design=FOLDS if group.folds else SEEDS,
            wins=float(wins[:, place].sum()),
            pairs=int(paired[:, place].sum()),
            lost=(int(lost[:, 0].sum()), int(lost[:, place + 1].sum())),
            counted=table.counted,
            fixed=fixed[0] and fixed[place + 1],
            least_sd=least_sd,
        )
        columns.append(
            _Column(
                made=made,
                keys=table.keys,
                values=differences[:, place],
                imputed=imputed[:, place],
                spoiled=(bool(own[0]), bool(own[place + 1])),
                ratio=group.test_over_train,
                network=group.network,
            )
        )
    return columns


def _over_settings(columns: Sequence[_Column]) -> _Column:
    """Average differences over settings, by seed or fold; by network where these are too few."""
    every, networks = [column.made for column in columns], [column.network for column in columns]
    own = [np.column_stack([column.values, column.imputed]) for column in columns]
    table, keys = inference.side_by_side([column.keys for column in columns], own)
    both, design = inference.over_settings(table, networks, every[0].design)
    return _Column(
        made=replace(
            every[0],
            setting=f"{len(columns)} settings",
            design=design,
            settings=len(columns),
            wins=sum(made.wins for made in every),
            pairs=sum(made.pairs for made in every),
            lost=(sum(made.lost[0] for made in every), sum(made.lost[1] for made in every)),
            counted=all(made.counted for made in every),
            least_sd=inference.sd_of_mean([made.least_sd for made in every]),
        ),
        keys=tuple(sorted({*networks})) if design is SETTINGS else keys,
        values=both[:, 0],
        imputed=both[:, 1],
        spoiled=(any(c.spoiled[0] for c in columns), any(c.spoiled[1] for c in columns)),
        ratio=sum(column.ratio for column in columns) / len(columns),
        network="",
    )


def _test(columns: Sequence[_Column], family: int) -> None:
    """Give all columns of one design their numbers.

    p and intervals are corrected over a family, all that are tested, of other designs too.
    """
    design, metric = columns[0].made.design, columns[0].made.metric
    values, keys = inference.side_by_side([c.keys for c in columns], [c.values for c in columns])
    ratios = np.array([column.ratio for column in columns])
    least = np.array([column.made.least_sd for column in columns])
    found = inference.moments(values, ratios, least)
    half = inference.half_widths(found, len(columns))
    p, equal = np.full((2, len(columns)), np.nan)
    turned = np.zeros(len(columns), dtype=np.bool_)
    tested = [place for place, column in enumerate(columns) if column.testable]
    if tested:
        half[tested] = inference.half_widths(found, family)[tested]
        counted, _ = inference.side_by_side(
            [columns[place].keys for place in tested], [columns[place].imputed for place in tested]
        )
        sums = inference.moments(counted, ratios[tested], least[tested])
        share = family / len(tested)
        by_t = inference.student_tail(sums, np.abs(sums.mean), sides=2)
        p[tested] = (inference.holm(by_t) if design is FOLDS else inference.max_t(counted)) * share
        turned[tested] = np.sign(sums.mean) != np.sign(found.mean[tested])
        if metric.margin is not None:
            margin = math.log(metric.margin) if metric.ratio else metric.margin
            equal[tested] = inference.holm(inference.equivalence_p(found, margin)[tested]) * share
    low, high = found.mean - half, found.mean + half
    # what a step-down test says of a shown difference: its interval ends at none at the nearest
    cut = (p < ALPHA) & [not c.made.with_lost for c in columns] & (low * high < 0)
    low[cut & (found.mean > 0)] = high[cut & (found.mean < 0)] = 0.0
    names = _unit_names(keys)
    for place, column in enumerate(columns):
        there = np.isfinite(values[:, place])
        mean, sd = float(found.mean[place]), float(found.sd[place])
        column.made = replace(
            column.made,
            family=family if column.testable else len(columns),
            p=_known(min(p[place], 1.0)),
            turned=bool(turned[place]),
            spoiled=column.spoiled[(mean > 0) == metric.higher_is_better],
            p_equivalent=_known(min(equal[place], 1.0)),
            names=tuple(itertools.compress(names, there)),  # the same strings in all
            differences=tuple(_printed(value, metric) for value in values[there, place].tolist()),
            estimate=_known(_printed(mean, metric)),
            low=_known(_printed(low[place], metric)),
            high=_known(_printed(high[place], metric)),
            effect=_known(mean / sd) if sd else None,
            sd=_known(sd),
        )


def _known(value: float) -> float | None:
    """Return a number that there were units enough for; None else."""
    return None if math.isnan(value) else float(value)


def _printed(value: float, metric: Metric) -> float:
    return math.exp(min(value, 700.0)) if metric.ratio else value


def _unit_names(keys: Keys) -> list[str]:
    """Return how units are named: a seed, a fold and the seed of its split, or a network."""
    splits = {key[0] for key in keys if isinstance(key, tuple)}
    return [
        (f"fold {key[1]}" + (f" of split {key[0]}" if len(splits) > 1 else ""))
        if isinstance(key, tuple)
        else (key if isinstance(key, str) else f"seed {key}")
        for key in keys
    ]
