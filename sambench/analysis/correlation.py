"""Rank correlation of two numbers of runs: over all of them, and within optimizers."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 9_999
LEAST_REPEATS = 6
"""From so many seeds (or folds) on their bootstrap is worth printing."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RankCorrelation:
    """Kendall's tau-b with its interval."""

    tau: float | None  # between -1 and 1; None where one of the two numbers is constant
    interval: tuple[float, float] | None  # 95 %, bootstrap over repeats; None for fewer than six
    runs: int
    pairs: int  # of runs that were compared


def rank_correlation(
    first: Sequence[float],
    second: Sequence[float],
    repeats: Sequence[Hashable],
    strata: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> RankCorrelation:
    """Return Kendall's tau-b, (C - D) / sqrt((P - T_1) (P - T_2)) (Kendall 1945).

    C and D are the concordant and discordant pairs of runs, P all pairs, T those tied. With strata
    all four count pairs within a stratum only, so that differences between strata have no say.

    The bootstrap draws repeats, each with the runs of all optimizers, since runs of one seed share
    their initial weights and order of data: the interval is of the same optimizers on other seeds.

    Args:
        first: A number of each run.
        second: Another.
        repeats: Which runs are of one repeat, e.g. seed and fold.
        strata: Which runs may be compared, e.g. the optimizer; None for all.
        seed: Of the bootstrap.
        resamples: Of the bootstrap.

    Raises:
        ValueError: If the lengths differ.
    """
    if not len(first) == len(second) == len(repeats) == len(strata or first):
        raise ValueError("a rank correlation needs both numbers, and a repeat, of each run")
    one, other = _signs(first), _signs(second)
    stratum, _ = _codes(strata or [None] * len(first))
    allowed = (stratum[:, None] == stratum[None, :]).astype(np.float64)
    of_repeat, number = _codes(repeats)
    member = np.eye(number)[of_repeat]  # (runs, repeats)
    agreeing, untied_one, untied_other = (
        member.T @ (allowed * table) @ member for table in (one * other, one**2, other**2)
    )
    whole = np.ones((1, number))
    tau = float(_tau(whole, agreeing, untied_one, untied_other)[0])
    interval = None
    if number >= LEAST_REPEATS and not math.isnan(tau):
        drawn = np.random.default_rng(seed).multinomial(number, [1 / number] * number, resamples)
        taus = _tau(drawn.astype(np.float64), agreeing, untied_one, untied_other)
        low, high = np.nanpercentile(taus, [2.5, 97.5])
        interval = (float(low), float(high))
    return RankCorrelation(
        tau=None if math.isnan(tau) else tau,
        interval=interval,
        runs=len(first),
        pairs=int((allowed.sum() - len(first)) / 2),
    )


def _signs(values: Sequence[float]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    return np.asarray(np.sign(array[:, None] - array[None, :]))


def _codes(keys: Sequence[Hashable]) -> tuple[NDArray[np.int64], int]:
    known = {key: code for code, key in enumerate(dict.fromkeys(keys))}
    return np.array([known[key] for key in keys], dtype=np.int64), len(known)


def _tau(weights: Floats, agreeing: Floats, untied_one: Floats, untied_other: Floats) -> Floats:
    """Return tau-b of each row of repeats' weights; NaN where all pairs are tied."""
    agreed, one, other = (
        ((weights @ table) * weights).sum(axis=1) for table in (agreeing, untied_one, untied_other)
    )
    untied = np.sqrt(one * other)
    return np.asarray(np.divide(agreed, untied, out=np.full(len(untied), np.nan), where=untied > 0))
