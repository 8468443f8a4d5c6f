"""From runs to units: one optimizer's numbers, unit by unit, and what became of the others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sambench.analysis.groups import LOST, Group, Line, Unit, by_key, repeat
from sambench.analysis.inference import Floats, Keys, t_quantile
from sambench.analysis.metrics import Metric, find_metric
from sambench.analysis.ranks import RankCorrelation, rank_correlation
from sambench.store.record import DIVERGED, RunRecord

LEAST_RANKED = 3
"""Runs from which on their ranks are compared."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One metric of all runs of a group: a row for each of R repeats, a column for each line."""

    keys: Keys  # the units, in order
    unit: NDArray[np.intp]  # place among the keys of the unit of each row, (R,)
    values: Floats  # logarithms for a ratio, (R, lines); NaN where a run has none to compare
    lost: NDArray[np.bool_]  # which runs ended without a result of their own, (R, lines)
    spoiled: NDArray[np.bool_]
    """Which lines have runs that diverged, collapsed or are at no minimum, and so no number."""
    imputed: Floats  # with lost runs at what they count as, as far as that is known
    counted: bool  # whether it is known, or no run was lost

    def by_unit(self, of_runs: Floats) -> Floats:
        """Average the runs of each unit, shape (R, H) to (units, H); NaN where a unit has none."""
        there = np.isfinite(of_runs)
        sums, numbers = np.zeros((2, len(self.keys), of_runs.shape[1]))
        np.add.at(sums, self.unit, np.where(there, of_runs, 0.0))
        np.add.at(numbers, self.unit, there)
        with np.errstate(invalid="ignore"):
            return np.asarray(sums / numbers)


def tabulate(group: Group, metric: Metric) -> Table:
    """Return one metric of all runs of a group, unit by unit."""
    rows = {found: row for row, found in enumerate(group.repeats)}
    of_rows = [found[:2] if group.folds else found[2] for found in rows]
    keys = {key: place for place, key in enumerate(dict.fromkeys(of_rows))}
    shape = (len(rows), len(group.lines))
    values, lost, spoiled = np.full(shape, np.nan), *np.zeros((2, *shape), dtype=np.bool_)
    for column, line in enumerate(group.lines):
        for record in line.records:
            lost[rows[repeat(record)], column] = record.status in LOST
            spoiled[rows[repeat(record)], column] = record.status == DIVERGED
        for record, value, _, _, comparable in line.read(metric):
            if comparable:
                values[rows[repeat(record)], column] = math.log(value) if metric.ratio else value
            else:  # measured, but of no minimum or of a collapsed run
                lost[rows[repeat(record)], column] = spoiled[rows[repeat(record)], column] = True
    of_lost = None if metric.ratio or metric.curvature else metric.of_lost(group.completed)
    return Table(
        keys=tuple(keys),
        unit=np.array([keys[key] for key in of_rows], dtype=np.intp),
        values=values,
        lost=lost,
        spoiled=np.asarray(spoiled.any(axis=0)),
        imputed=values if of_lost is None else np.where(lost, of_lost, values),
        counted=of_lost is not None or not lost.any(),
    )


def rounding_sd(group: Group, metric: Metric) -> float:
    """Return the SD that a unit of a group has by rounding to whole test images (printed scale).

    0 for a metric that is no share of them.
    """
    counted = metric.unit == "points" and metric.column.startswith("final.")
    return metric.scale * group.rounding_sd if counted else 0.0


def device_of(record: RunRecord) -> str:
    """Return what a run was timed on; empty where that is unknown."""
    environment = record.environment or {}
    return str(environment.get("gpu") or environment.get("cpu") or "")


def timed_alike(group: Group) -> NDArray[np.bool_]:
    """Return which runs were timed on the device of the first line's, shape (R, lines)."""
    devices = [{repeat(run): device_of(run) for run in line.records} for line in group.lines]
    return np.array(
        [[own.get(found) == devices[0].get(found) for own in devices] for found in group.repeats],
        dtype=np.bool_,
    )


class Summary(NamedTuple):
    """What the completed runs of one optimizer say of one metric, on the printed scale."""

    records: tuple[RunRecord, ...]  # the runs that count
    values: tuple[float, ...]  # of these runs
    units: tuple[float, ...]  # mean of each unit; geometric for a ratio
    mean: float | None  # of the units
    spread: float | None  # SD; for a ratio a factor, exp of the SD of logarithms; None for one unit
    low: float | None  # of the 95 % interval of the mean; None for one unit
    high: float | None
    source: str  # setting/optimizer/metric
    no_minimum: int = 0  # runs with a curvature of zero or below, which are not counted
    collapsed: int = 0  # runs that predict one class for every image
    unconverged: int = 0  # runs whose measurement did not converge

    @property
    def n(self) -> int:
        """Number of units."""
        return len(self.units)

    @property
    def sure(self) -> bool:
        """Whether the mean may be called the best of several."""
        return not (self.no_minimum or self.collapsed or self.unconverged)


def summarize(group: Group, line: Line, metric: Metric) -> Summary:
    """Summarize the completed runs of a line of a group, once.

    Where the group has several test parts, seeds of a fold are averaged first and the interval is
    the corrected resampled t's.
    """
    if metric.name not in line.cells:
        line.cells[metric.name] = _summarized(group, line, metric)
    found: Summary = line.cells[metric.name]
    return found


def _summarized(group: Group, line: Line, metric: Metric) -> Summary:
    done = list(line.read(metric))
    used = [(run.record, run.value) for run in done if run.comparable]
    there, back = (math.log, math.exp) if metric.ratio else (float, float)
    units = [
        math.fsum(there(value) for _, value in runs) / len(runs)
        for runs in by_key(used, lambda run: group.unit(run[0])).values()
    ]
    mean = spread = low = high = None
    number = len(units)
    if units:
        middle = math.fsum(units) / number
        mean = back(middle)
        if number > 1:
            sd = math.sqrt(math.fsum((unit - middle) ** 2 for unit in units) / (number - 1))
            spread = back(sd)
            surely = max(sd, rounding_sd(group, metric))
            half = t_quantile(number - 1) * surely * math.sqrt(1 / number + group.test_over_train)
            low = max(back(middle - half), metric.range[0])
            high = min(back(middle + half), metric.range[1])
    collapsed = sum(map(attrgetter("collapsed"), done))
    return Summary(
        records=tuple(record for record, _ in used),
        values=tuple(value for _, value in used),
        units=tuple(map(back, units)),
        mean=mean,
        spread=spread,
        low=low,
        high=high,
        source=f"{group.title}/{line.label}/{metric.name}",
        no_minimum=len(done) - len(used) - (collapsed if metric.curvature else 0),
        collapsed=collapsed,
        unconverged=sum(run.comparable and not run.converged for run in done),
    )


class Measured(NamedTuple):
    """A run that has a curvature and a test accuracy."""

    sharpness: float
    accuracy: float
    unit: Unit
    setting: str  # title of its group
    line: str  # label
    sound: bool  # neither collapsed nor of a measurement that did not converge
    minimum: bool  # no measure of its curvature is zero or negative, and it did not collapse


def with_accuracy(groups: Iterable[Group], metric: Metric) -> Iterator[Measured]:
    """Yield the completed runs that have both a curvature and a test accuracy."""
    accuracy = find_metric("accuracy")
    return (
        Measured(value, score, group.unit(run), group.title, line.label, sure and not flat, minimum)
        for group in groups
        for line in group.lines
        for run, value, flat, sure, minimum in line.read(metric)
        if (score := accuracy.of(run)) is not None
    )


def rank_together(runs: Iterable[Measured]) -> tuple[RankCorrelation, RankCorrelation] | None:
    """Return how sharpness and accuracy rank together within settings, and within optimizers.

    Runs that collapsed, or whose curvature is of no minimum or did not converge, are left out;
    None where fewer than three are left.
    """
    counted = [run for run in runs if run.sound and run.minimum]
    if len(counted) < LEAST_RANKED:
        return None
    sharpness, accuracy, units, settings, lines, *_ = zip(*counted, strict=True)
    within = [*zip(settings, lines, strict=True)]
    numbers = (sharpness, accuracy, units)
    return rank_correlation(*numbers, settings), rank_correlation(*numbers, within)
