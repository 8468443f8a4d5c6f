"""One optimizer's runs by one metric: their values, their mean, its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sambench.analysis.inference import Part
from sambench.analysis.intervals import Interval, student_interval
from sambench.analysis.metrics import Metric
from sambench.analysis.paired import mean_difference, resampled_difference
from sambench.store.record import RunRecord


@dataclass(frozen=True, kw_only=True)
class CellMean:
    """What the completed runs of one optimizer say of one metric, on the printed scale.

    Attributes:
        values: Of each run that has the metric.
        records: These runs, in the same order.
        mean: Of the values.
        interval: 95 % interval of the mean: Student's over the runs of one test part, the corrected
            resampled t's over several; None for one value.
    """

    values: tuple[float, ...]
    records: tuple[RunRecord, ...]
    mean: float
    interval: Interval | None


def cell_mean(records: Iterable[RunRecord], metric: Metric) -> CellMean | None:
    """Return the mean over runs, or None where none that counts (`Metric.counts`) has the metric.

    Args:
        records: Runs of one optimizer under one setting.
        metric: What to look at.
    """
    known = [
        (record, value)
        for record in records
        if metric.counts(record) and (value := metric.of(record)) is not None
    ]
    if not known:
        return None
    runs, values = zip(*known, strict=True)
    mean, interval = _mean(values, runs)
    return CellMean(values=values, records=runs, mean=mean, interval=interval)


def _mean(values: Sequence[float], records: Sequence[RunRecord]) -> tuple[float, Interval | None]:
    by_part: dict[Part, list[float]] = {}
    for record, value in zip(records, values, strict=True):
        part = (record.config.split_seed, record.config.fold)
        by_part.setdefault(part, []).append(value)
    if len(by_part) == 1:
        mean = mean_difference(values)
        return mean.estimate, student_interval(mean)
    sizes = [(data.get("test"), data.get("train")) for r in records if (data := r.data)]
    ratios = [test / train for test, train in sizes if test and train]
    ratio = math.fsum(ratios) / len(ratios) if ratios else 1 / (len(by_part) - 1)
    means = [math.fsum(found) / len(found) for found in by_part.values()]
    mean = resampled_difference(means, ratio)
    return mean.estimate, student_interval(mean, "corrected resampled t")
