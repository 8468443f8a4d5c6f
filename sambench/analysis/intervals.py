"""Intervals: Student's t, and the bootstrap, bias-corrected and accelerated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from sambench.analysis.paired import MeanDifference

LEVEL = 0.95
RESAMPLES = 9_999


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where a quantity lies with the given confidence, and how that was found."""

    low: float
    high: float
    level: float
    method: str

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def student_interval(
    mean: MeanDifference, method: str = "Student t", level: float = LEVEL
) -> Interval | None:
    """Return estimate ± t SE; None where one value shows no spread."""
    if mean.standard_error is None:
        return None
    half = float(stdtrit(mean.degrees, (1 + level) / 2)) * mean.standard_error
    return Interval(low=mean.estimate - half, high=mean.estimate + half, level=level, method=method)


def bootstrap_interval(
    values: Sequence[float],
    statistic: Callable[..., Any] = np.mean,
    *,
    seed: int = 0,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the BCa bootstrap interval of a statistic (Efron 1987), by scipy.

    Where all resamples agree, the interval is that one point. With few values (under ten, say) any
    bootstrap interval is too narrow; Student's is the one to print then.

    Args:
        values: Independent values, at least two.
        statistic: Takes an array and `axis`.
        seed: Of the resampling.
        level: Confidence.
        resamples: Number of resamples.

    Raises:
        ValueError: If there are fewer than two values.
    """
    sample: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    if len(sample) < 2:
        raise ValueError("a bootstrap needs at least two values")
    method = f"BCa bootstrap ({resamples} resamples, seed {seed})"
    if np.ptp(sample) == 0:
        point = float(statistic(sample, axis=-1))
        return Interval(low=point, high=point, level=level, method=method)
    from scipy import stats

    found = stats.bootstrap(
        (sample,),
        statistic,
        vectorized=True,
        confidence_level=level,
        n_resamples=resamples,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(low=float(found.low), high=float(found.high), level=level, method=method)
