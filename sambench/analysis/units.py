"""From runs to units: one optimizer's numbers, unit by unit, and what became of the others."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sambench.analysis.groups import LOST, Group, Line, Repeat, repeat
from sambench.analysis.inference import ALPHA, FOLDS, SEEDS, Design, Floats, student_quantile
from sambench.analysis.metrics import Metric, collapsed
from sambench.store.record import COMPLETED, RunRecord

Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class Table:
    """One metric of all runs of a group.

    Attributes:
        metric: Which.
        repeats: Split seed, fold and seed of each row.
        keys: The units, in order: a seed, or split seed and fold.
        unit: Place among the keys of the unit that each row belongs to, shape (R,).
        values: Of the runs, logarithms for a ratio, shape (R, lines); NaN where a run has none that
            can be compared.
        lost: Which runs ended without a result of their own, shape (R, lines).
        imputed: The values, with the lost runs at what they count as; None where that is unknown.
        test_over_train: Mean n_test / n_train of the runs; None on one test part.
    """

    metric: Metric
    repeats: tuple[Repeat, ...]
    keys: tuple[object, ...]
    unit: np.ndarray[tuple[int], np.dtype[np.intp]]
    values: Floats
    lost: np.ndarray[tuple[int, int], np.dtype[np.bool_]]
    imputed: Floats | None
    test_over_train: float | None

    @property
    def design(self) -> Design:
        """Which test differences get."""
        return SEEDS if self.test_over_train is None else FOLDS

    def by_unit(self, of_runs: Floats) -> Floats:
        """Average the runs of each unit, shape (R, H) to (units, H); NaN where a unit has none."""
        if len(self.keys) == len(self.repeats):
            return of_runs
        there = np.isfinite(of_runs)
        sums = np.zeros((len(self.keys), of_runs.shape[1]))
        counts = np.zeros_like(sums)
        np.add.at(sums, self.unit, np.where(there, of_runs, 0.0))
        np.add.at(counts, self.unit, there)
        with np.errstate(invalid="ignore"):
            means: Floats = sums / counts
        return means

    def differences(self, values: Floats) -> Floats:
        """Return each further line minus the first, unit by unit, shape (units, lines - 1).

        Runs are subtracted seed by seed before the seeds of a fold are averaged.

        Args:
            values: Of this table, shape (R, lines).
        """
        return self.by_unit(values[:, 1:] - values[:, :1])


def tabulate(group: Group, metric: Metric) -> Table:
    """Return one metric of all runs of a group, unit by unit."""
    places, keys, unit = _frame_of(group)
    shape = (len(places), len(group.lines))
    values, lost = np.full(shape, np.nan), np.zeros(shape, dtype=np.bool_)
    for column, line in enumerate(group.lines):
        for record in line.records:
            row = places[repeat(record)]
            if record.status != COMPLETED:
                lost[row, column] = record.status in LOST
                continue
            value = metric.comparable(record)
            if value is not None:
                values[row, column] = math.log(value) if metric.ratio else value
            elif metric.of(record) is not None:
                lost[row, column] = True  # measured, of no minimum or of a collapsed run
    imputed: Floats | None = values
    if lost.any():
        counted = None if metric.ratio or metric.curvature else metric.of_lost(group.completed)
        imputed = None if counted is None else np.where(lost, counted, values)
    return Table(
        metric=metric,
        repeats=tuple(places),
        keys=keys,
        unit=unit,
        values=values,
        lost=lost,
        imputed=imputed,
        test_over_train=group.test_over_train,
    )


@functools.lru_cache(maxsize=512)
def _rows(
    repeats: tuple[Repeat, ...], folds: bool
) -> tuple[tuple[object, ...], np.ndarray[tuple[int], np.dtype[np.intp]]]:
    keys = [(r[0], r[1]) if folds else r[2] for r in repeats]
    known = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return tuple(known), np.array([known[key] for key in keys], dtype=np.intp)


def _frame_of(
    group: Group,
) -> tuple[dict[Repeat, int], tuple[object, ...], np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Return the row of each repeat, the units, and the unit of each row."""
    repeats = sorted({repeat(r) for r in group.records}, key=lambda r: (r[0], r[1] or 0, r[2]))
    keys, unit = _rows(tuple(repeats), group.folds)
    return {found: place for place, found in enumerate(repeats)}, keys, unit


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What the completed runs of one optimizer say of one metric, on the printed scale.

    Attributes:
        records: The runs that count.
        values: Of these runs.
        units: Mean of each unit; geometric for a ratio.
        mean: Of the units.
        spread: SD of the units; for a ratio a factor, exp of the SD of logarithms. None for one.
        low: Of the 95 % interval of the mean; None for one unit.
        high: Likewise.
        unit: What is counted.
        no_minimum: Runs with a curvature of zero or below, which are not counted.
        collapsed: Runs that predict one class for every image.
        unconverged: Runs whose measurement did not converge.
    """

    records: tuple[RunRecord, ...]
    values: tuple[float, ...]
    units: tuple[float, ...]
    mean: float | None
    spread: float | None
    low: float | None
    high: float | None
    unit: str
    no_minimum: int = 0
    collapsed: int = 0
    unconverged: int = 0

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.units)

    @property
    def sure(self) -> bool:
        """Whether the mean may be called the best of several."""
        return not (self.no_minimum or self.collapsed or self.unconverged)


def summarize(line: Line, metric: Metric, folds: float | None = None) -> Cell:
    """Summarize the completed runs of a line.

    Args:
        line: The runs.
        metric: What to look at.
        folds: n_test / n_train where the runs have several test parts, whose seeds are averaged
            first and whose interval is the corrected resampled t's; None for one test part.
    """
    done = [record for record in line.completed if metric.of(record) is not None]
    used = [(record, value) for record in done if (value := metric.comparable(record)) is not None]
    values = [math.log(value) if metric.ratio else value for _, value in used]
    by_unit: dict[object, list[float]] = {}
    for (record, _), value in zip(used, values, strict=True):
        key = repeat(record)[:2] if folds is not None else repeat(record)
        by_unit.setdefault(key, []).append(value)
    units = [math.fsum(found) / len(found) for found in by_unit.values()]
    back: Callable[[float], float] = math.exp if metric.ratio else float
    mean = spread = low = high = None
    number = len(units)
    if units:
        middle = math.fsum(units) / number
        mean = back(middle)
        if number > 1:
            sd = math.sqrt(math.fsum((unit - middle) ** 2 for unit in units) / (number - 1))
            spread = back(sd)
            half = _quantile(number - 1) * sd * math.sqrt(1 / number + (folds or 0.0))
            low, high = back(middle - half), back(middle + half)
    flat = sum(map(collapsed, done))
    return Cell(
        records=tuple(record for record, _ in used),
        values=tuple(value for _, value in used),
        units=tuple(map(back, units)),
        mean=mean,
        spread=spread,
        low=low,
        high=high,
        unit=(SEEDS if folds is None else FOLDS).unit,
        no_minimum=len(done) - len(used) - (flat if metric.curvature else 0),
        collapsed=flat,
        unconverged=sum(not metric.trusted(record) for record, _ in used),
    )


@functools.cache
def _quantile(degrees: int) -> float:
    return float(student_quantile(degrees, 1 - ALPHA / 2))


def cell_of(group: Group, line: Line, metric: Metric) -> Cell:
    """Summarize a line of a group, fold by fold where the group has several test parts."""
    return summarize(line, metric, group.test_over_train)


def unit_names(keys: Sequence[object]) -> list[str]:
    """Return how units are named: a seed, or a fold and the seed of its split."""
    splits = {key[0] for key in keys if isinstance(key, tuple)}
    return [
        (f"fold {key[1]}" + (f" of split {key[0]}" if len(splits) > 1 else ""))
        if isinstance(key, tuple)
        else f"seed {key}"
        for key in keys
    ]


def in_words(lost: Counter[str], of: str) -> str:
    """Return e.g. "diverged in 4 and collapsed in 1 of 10 seeds"."""
    parts = [f"{how} in {number}" for how, number in lost.items()]
    return f"{' and '.join(parts)} of {of}"
