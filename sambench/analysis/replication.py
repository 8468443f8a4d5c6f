"""Our runs beside the papers' single printed numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from scipy.special import stdtr, stdtrit

from sambench.analysis.comparison import ALPHA, LEAST_PAIRS
from sambench.analysis.frame import COLLAPSED, DATASET, MODEL, NAME, OPTIMIZER, STATUS, column
from sambench.analysis.intervals import LEVEL, Interval
from sambench.analysis.metrics import Metric
from sambench.analysis.published import PAPER, TABLE, family
from sambench.analysis.statistics import Summary
from sambench.store.record import COMPLETED

WITHIN, ABOVE, BELOW, TOO_FEW = "within our runs", "above", "below", "too few runs"


@dataclass(frozen=True, kw_only=True)
class Replication:
    """One printed number beside our runs of the same model, optimizer and data set.

    The paper ran each cell once, so the question is whether its number could be one more run of
    ours. Time depends on the machine, and curvature on its definition, which the paper leaves open.

    Attributes:
        paper: Of the number.
        table: Where it is printed.
        dataset: Ours.
        model: The papers' name.
        optimizer: Its name.
        metric: What is compared.
        published: The printed number, on the printed scale.
        ours: Mean, SD and n of our runs.
        interval: 95 % prediction interval of one further run of ours; None for fewer than two.
        p: That one further run lies at least as far out; None for fewer than two.
        runs: Names of our runs.
        collapsed: Those that predict one class for every image.
    """

    paper: str
    table: str
    dataset: str
    model: str
    optimizer: str
    metric: Metric
    published: float
    ours: Summary
    interval: Interval | None
    p: float | None
    runs: tuple[str, ...]
    collapsed: tuple[str, ...]

    @property
    def difference(self) -> float:
        """Our mean minus the printed number."""
        return self.ours.mean - self.published

    @property
    def verdict(self) -> str:
        """Where the printed number lies: within our runs, above or below them, or too few runs."""
        if self.ours.n < LEAST_PAIRS or self.p is None:
            return TOO_FEW
        if self.p >= ALPHA:
            return WITHIN
        return ABOVE if self.published > self.ours.mean else BELOW


def replications(
    runs: pd.DataFrame, published: pd.DataFrame, metrics: Sequence[Metric]
) -> tuple[Replication, ...]:
    """Put each printed number beside our completed runs of its data set, model and optimizer.

    Args:
        runs: Our frame.
        published: From `published_frame`.
        metrics: What to compare; those that were not printed are passed over.
    """
    done = runs.iloc[[row for row, s in enumerate(column(runs, STATUS)) if s == COMPLETED]]
    models = [family(str(model)) for model in column(done, MODEL)]
    places = list(zip(column(done, DATASET), models, column(done, OPTIMIZER), strict=True))
    found: list[Replication] = []
    for row in range(len(published)):
        printed = published.iloc[[row]]
        place = tuple(column(printed, name)[0] for name in (DATASET, MODEL, OPTIMIZER))
        ours = done.iloc[[number for number, p in enumerate(places) if p == place]]
        for metric in metrics:
            made = _replication(ours, printed, metric)
            if made is not None:
                found.append(made)
    return tuple(found)


def prediction_interval(values: Sequence[float]) -> Interval | None:
    """Return where one further value of the same kind lies: mean ± t s sqrt(1 + 1 / n).

    None for fewer than two values.
    """
    summary = Summary.of(values)
    if summary is None or summary.sd is None:
        return None
    reach = summary.sd * math.sqrt(1 + 1 / summary.n)
    half = float(stdtrit(summary.n - 1, (1 + LEVEL) / 2)) * reach
    return Interval(
        low=summary.mean - half,
        high=summary.mean + half,
        level=LEVEL,
        method="Student t prediction of one further run",
    )


def _replication(ours: pd.DataFrame, printed: pd.DataFrame, metric: Metric) -> Replication | None:
    published = column(printed, metric.column)[0]
    flat = column(ours, COLLAPSED)
    names = column(ours, NAME)
    values = {
        str(name): metric.scale * float(value)
        for name, value, collapsed in zip(names, column(ours, metric.column), flat, strict=True)
        if value is not None and not (metric.curvature and collapsed)
    }
    summary = Summary.of(list(values.values()))
    if published is None or summary is None:
        return None
    scaled = metric.scale * float(published)
    place = {name: str(column(printed, name)[0]) for name in (DATASET, MODEL, OPTIMIZER)}
    return Replication(
        paper=str(column(printed, PAPER)[0]),
        table=str(column(printed, TABLE)[0]),
        dataset=place[DATASET],
        model=place[MODEL],
        optimizer=place[OPTIMIZER],
        metric=metric,
        published=scaled,
        ours=summary,
        interval=prediction_interval(list(values.values())),
        p=_surprise(scaled, summary),
        runs=tuple(values),
        collapsed=tuple(str(n) for n, mark in zip(names, flat, strict=True) if mark),
    )


def _surprise(value: float, summary: Summary) -> float | None:
    """Two-sided p of one further run as far from the mean as `value`."""
    if summary.sd is None:
        return None
    gap = abs(value - summary.mean)
    reach = summary.sd * math.sqrt(1 + 1 / summary.n)
    if reach == 0:
        return float(gap == 0)
    return float(2 * stdtr(summary.n - 1, -gap / reach))
