"""All comparisons by one metric in a report are one family: how they are made and corrected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sambench.analysis.comparison import Comparison
from sambench.analysis.groups import Group
from sambench.analysis.inference import (
    ALPHA,
    FOLDS,
    SEEDS,
    SETTINGS,
    Design,
    Floats,
    Moments,
    equivalence_p,
    half_widths,
    holm,
    max_t,
    moments,
    student_p,
)
from sambench.analysis.metrics import Metric
from sambench.analysis.units import Table, tabulate, unit_names


@dataclass(frozen=True, kw_only=True)
class Family:
    """All comparisons by one metric in a report: each setting's, and those over settings.

    Attributes:
        metric: What is compared.
        by_group: For each group, one comparison for each further line.
        pooled: One for each optimizer that several settings have.
    """

    metric: Metric
    by_group: tuple[tuple[Comparison, ...], ...]
    pooled: tuple[Comparison, ...] = ()


@dataclass
class _Column:
    """One hypothesis before it is tested."""

    made: Comparison
    keys: tuple[object, ...]
    values: Floats  # (units,), logarithms for a ratio
    imputed: Floats | None  # None where lost units count as nothing known
    ratio: float | None


def compare(groups: Sequence[Group], metric: Metric, margin: float | None = None) -> Family:
    """Compare each further line of each group with its first by one metric: one family.

    Seeds share their sign flips over the settings. Where seeds are enough to be tested, the
    statement over all settings is one of the family; where they are too few, but settings are
    enough, it is tested over settings. A family of both seeds and folds is shared between the two
    designs by the number of their comparisons.

    Args:
        groups: Only those with a baseline are compared.
        metric: What to compare by.
        margin: Of equivalence; None for the metric's own.
    """
    if margin is not None:
        metric = replace(metric, margin=margin)
    within: list[list[_Column]] = []
    for group in groups:
        usable = group.baseline and len(group.lines) > 1
        within.append(_columns(group, tabulate(group, metric)) if usable else [])
    every = [column for columns in within for column in columns]
    pooled = _pooled(every, metric)
    _test([*every, *pooled])
    return Family(
        metric=metric,
        by_group=tuple(tuple(column.made for column in columns) for columns in within),
        pooled=tuple(column.made for column in pooled),
    )


def _columns(group: Group, table: Table) -> list[_Column]:
    differences = table.differences(table.values)
    imputed = None if table.imputed is None else table.differences(table.imputed)
    of_runs = table.values[:, 1:] - table.values[:, :1]
    paired = np.isfinite(of_runs)
    sign = 1.0 if table.metric.higher_is_better else -1.0
    wins = np.where(paired, (sign * np.where(paired, of_runs, 0.0) > 0) + 0.5 * (of_runs == 0), 0)
    lost = _lost_units(table)
    fixed = _fixed(table)
    columns = []
    for place, line in enumerate(group.lines[1:]):
        made = Comparison(
            setting=group.title,
            metric=table.metric,
            baseline=group.lines[0].label,
            candidate=line.label,
            design=table.design,
            wins=float(wins[:, place].sum()),
            pairs=int(paired[:, place].sum()),
            lost=(int(lost[:, 0].sum()), int(lost[:, place + 1].sum())),
            fixed=bool(fixed[0] and fixed[place + 1]),
        )
        values = differences[:, place]
        counted = (
            values if not any(made.lost) else imputed if imputed is None else imputed[:, place]
        )
        columns.append(_Column(made, table.keys, values, counted, table.test_over_train))
    return columns


def _lost_units(table: Table) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return which units of which line have a lost run."""
    if len(table.keys) == len(table.repeats):
        return table.lost
    lost = np.zeros((len(table.keys), table.lost.shape[1]), dtype=np.bool_)
    np.logical_or.at(lost, table.unit, table.lost)
    return lost


def _fixed(table: Table) -> list[bool]:
    """Return which lines have one and the same count in all runs, which is no random number."""
    if table.metric.name not in ("gradient_evaluations", "peak_memory"):
        return [False] * table.values.shape[1]
    known = [column[np.isfinite(column)] for column in table.values.T]
    return [len(found) > 0 and bool(np.ptp(found) == 0) for found in known]


def _pooled(every: Iterable[_Column], metric: Metric) -> list[_Column]:
    """Return a column for each optimizer that several settings of one design have."""
    by_label: dict[tuple[str, str, str], list[_Column]] = {}
    for column in every:
        if np.isfinite(column.values).any() and not column.made.fixed:
            made = column.made
            by_label.setdefault((made.design.unit, made.baseline, made.candidate), []).append(
                column
            )
    found = {key: columns for key, columns in by_label.items() if len(columns) > 1}
    return [_over_settings(columns, metric) for columns in found.values()]


def _over_settings(columns: Sequence[_Column], metric: Metric) -> _Column:
    """Average an optimizer's differences over settings: of each seed (or fold), or of each setting.

    The settings are the units where the seeds are too few for any test.
    """
    first = columns[0]
    keys = tuple(dict.fromkeys(key for column in columns for key in column.keys))
    place = {key: row for row, key in enumerate(keys)}

    def table_of(values: Sequence[Floats]) -> Floats:
        table = np.full((len(keys), len(columns)), np.nan)
        for number, (column, given) in enumerate(zip(columns, values, strict=True)):
            table[[place[key] for key in column.keys], number] = given
        return table

    table = table_of([column.values for column in columns])
    known = [column.imputed for column in columns if column.imputed is not None]
    counted = table_of(known) if len(known) == len(columns) else None
    design, axis = first.made.design, 1
    units = int(np.isfinite(table).any(axis=1).sum())
    if design is SEEDS and units < SEEDS.least_units <= len(columns):
        design, axis = SETTINGS, 0
        keys = tuple(column.made.setting for column in columns)
    ratios = [column.ratio for column in columns if column.ratio is not None]
    made = replace(
        first.made,
        setting=f"{len(columns)} settings",
        metric=metric,
        design=design,
        settings=len(columns),
        wins=sum(column.made.wins for column in columns),
        pairs=sum(column.made.pairs for column in columns),
        lost=(
            sum(column.made.lost[0] for column in columns),
            sum(column.made.lost[1] for column in columns),
        ),
        fixed=False,
    )
    imputed = None if counted is None else _nanmean(counted, axis)
    ratio = sum(ratios) / len(ratios) if ratios else None
    return _Column(made, keys, _nanmean(table, axis), imputed, ratio)


def _nanmean(table: Floats, axis: int) -> Floats:
    there = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(there, table, 0.0).sum(axis=axis) / there.sum(axis=axis)
    return mean


def _test(columns: Sequence[_Column]) -> None:
    """Give every column its numbers; p and intervals are corrected over all that are tested."""
    designs: dict[Design, list[_Column]] = {}
    for column in columns:
        designs.setdefault(column.made.design, []).append(column)
    tested = {design: [c for c in found if _testable(c)] for design, found in designs.items()}
    family = sum(map(len, tested.values()))
    for design, found in designs.items():
        share = family / max(len(tested[design]), 1)
        _test_design(design, found, tested[design], max(family, 1), share)


def _testable(column: _Column) -> bool:
    """Whether a column has units enough, lost ones counted, and is no fixed number."""
    if column.imputed is None or column.made.fixed:
        return False
    return int(np.isfinite(column.values).sum()) >= column.made.design.least_units


def _test_design(
    design: Design, columns: Sequence[_Column], tested: Sequence[_Column], family: int, share: float
) -> None:
    values, keys = _aligned(columns, [column.values for column in columns])
    ratios = None
    if design is FOLDS:
        ratios = np.array([column.ratio or 0.0 for column in columns])
    found = moments(values, ratios)
    whole = half_widths(found, family)
    alone = half_widths(found, max(len(columns), 1))
    chosen = set(map(id, tested))
    places = [place for place, column in enumerate(columns) if id(column) in chosen]
    p, turned = np.empty(0), np.empty(0, dtype=np.bool_)
    if tested:
        counted, _ = _aligned(tested, [c.imputed for c in tested if c.imputed is not None])
        sums = moments(counted, None if ratios is None else ratios[places])
        p = (holm(student_p(sums)) if design is FOLDS else max_t(counted)) * share
        turned = np.sign(sums.mean) != np.sign(found.mean[places])
    equal = _equivalent(columns, found, places)
    where = {place: number for number, place in enumerate(places)}
    names = unit_names(keys)
    for place, column in enumerate(columns):
        number = where.get(place)
        numbers: Mapping[str, Any] = {} if number is None else {
            "p": _p(p[number]),
            "turned": bool(turned[number]),
            "p_equivalent": _p(equal[number]),
        }  # fmt: skip
        shown = number is not None and p[number] < ALPHA and not turned[number]
        half = float(whole[place] if number is not None else alone[place])
        column.made = _with_numbers(
            replace(column.made, family=family, **numbers),
            values[:, place],
            _part(found, [place]),
            half,
            names,
            away_from_zero=shown,
        )


def _p(value: float) -> float | None:
    return None if math.isnan(value) else min(1.0, float(value))


def _equivalent(columns: Sequence[_Column], found: Moments, places: Sequence[int]) -> Floats:
    """Return p of equivalence of the tested columns, by Holm over those that have a margin."""
    p = np.full(len(places), np.nan)
    margins = [columns[place].made.metric.margin for place in places]
    known = [number for number, margin in enumerate(margins) if margin is not None]
    if known:
        metric = columns[places[known[0]]].made.metric
        margin = metric.margin or 0.0
        on_scale = math.log(margin) if metric.ratio else margin
        p[known] = holm(equivalence_p(_part(found, [places[k] for k in known]), on_scale))
    return p


def _part(found: Moments, places: Sequence[int]) -> Moments:
    chosen = list(places)
    return Moments(
        mean=found.mean[chosen],
        sd=found.sd[chosen],
        units=found.units[chosen],
        error=found.error[chosen],
    )


def _aligned(
    columns: Sequence[_Column], values: Sequence[Floats]
) -> tuple[Floats, tuple[object, ...]]:
    """Return the columns' values side by side, a row for each unit that any of them has."""
    keys = tuple(dict.fromkeys(key for column in columns for key in column.keys))
    if all(column.keys == keys for column in columns):
        return np.column_stack(values), keys
    place: Mapping[object, int] = {key: row for row, key in enumerate(keys)}
    table = np.full((len(keys), len(columns)), np.nan)
    for number, (column, given) in enumerate(zip(columns, values, strict=True)):
        table[[place[key] for key in column.keys], number] = given
    return table, keys


def _with_numbers(
    made: Comparison,
    values: Floats,
    found: Moments,
    half: float,
    names: Sequence[str],
    *,
    away_from_zero: bool,
) -> Comparison:
    """Put estimate, interval and units on the printed scale.

    Where step-down p shows a difference, its interval ends at no difference at the nearest: that
    is what a step-down test says of it.
    """
    there = np.isfinite(values)
    if not there.any():
        return made
    mean, sd = float(found.mean[0]), float(found.sd[0])
    low, high = mean - half, mean + half
    if away_from_zero and low * high < 0:
        low, high = (0.0, high) if mean > 0 else (low, 0.0)
    ratio = made.metric.ratio

    def scaled(value: float) -> float:
        return math.exp(min(value, 700.0)) if ratio else value

    several = int(there.sum()) > 1
    return replace(
        made,
        names=tuple(name for name, known in zip(names, there, strict=True) if known),
        differences=tuple(scaled(float(value)) for value in values[there]),
        estimate=scaled(mean),
        low=scaled(low) if several else None,
        high=scaled(high) if several else None,
        effect=mean / sd if several and sd else None,
        sd=sd if several else None,
    )
