"""Ranks: of two numbers of runs (Kendall), of optimizers over data sets (Friedman, Nemenyi)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

from sambench.analysis.inference import ALPHA, Floats, t_quantile

LEAST_BLOCKS, LEAST_REPEATS = 6, 6
"""From so many data sets on ranks are worth a diagram, from so many units an interval."""


@dataclass(frozen=True, kw_only=True)
class RankCorrelation:
    """Kendall's tau-b with its interval."""

    tau: float | None  # between -1 and 1; None where one of the two numbers is constant
    interval: tuple[float, float] | None
    """95 %, jackknife over repeats; None for fewer than six, or where all hangs on one."""
    runs: int
    pairs: int  # of runs that were compared


def rank_correlation(
    first: Sequence[float],
    second: Sequence[float],
    repeats: Sequence[Hashable],
    strata: Sequence[Hashable] | None = None,
) -> RankCorrelation:
    """Return Kendall's tau-b of two numbers of runs, (C - D) / sqrt((P - T_1) (P - T_2)).

    C and D are the concordant and discordant pairs of runs, P all pairs, T those tied (Kendall
    1945). With strata, such as optimizers, all four count pairs within a stratum only.

    The jackknife leaves out one repeat, seed or fold, after another; the interval tau ± t(n - 1) SE
    (Tukey 1958) is of the same optimizers on other seeds. It excludes no correlation in 3 to 6 of
    100 studies, a bootstrap's percentiles in 6 to 11.
    """
    one, other = (np.sign(np.subtract.outer(values, values)) for values in (first, second))
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
        taus = _tau(1 - np.eye(number), agreeing, untied_one, untied_other)
        half = t_quantile(number - 1) * math.sqrt((number - 1) * taus.var())
        interval = None if math.isnan(half) else (max(tau - half, -1.0), min(tau + half, 1.0))
    return RankCorrelation(
        tau=None if math.isnan(tau) else tau,
        interval=interval,
        runs=len(first),
        pairs=int((allowed.sum() - len(first)) / 2),
    )


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


@dataclass(frozen=True, kw_only=True)
class Friedman:
    """Friedman's test and what a critical-difference diagram shows."""

    names: tuple[str, ...]  # optimizers, in the given order
    ranks: tuple[float, ...]  # their average ranks; 1 is best
    blocks: int  # number of data sets (or other blocks)
    statistic: float  # Friedman's chi-square, corrected for ties
    p: float  # of the chi-square with k - 1 degrees of freedom
    critical_difference: float  # Nemenyi: average ranks further apart differ
    cliques: tuple[tuple[str, ...], ...]  # largest sets that do not differ, best first


def friedman(scores: ArrayLike, names: Sequence[str], *, higher_is_better: bool) -> Friedman:
    """Test whether optimizers rank alike over blocks (Friedman 1937; Demsar 2006).

    The scores have the shape (blocks, optimizers); a block is a data set, or any setting in which
    all were run: two or more of either.
    """
    table: Floats = np.asarray(scores, dtype=np.float64)
    from scipy.stats import rankdata

    ranked: Floats = rankdata(-table if higher_is_better else table, axis=1)
    blocks, count = table.shape
    average, middle = ranked.mean(axis=0), (count + 1) / 2
    within = float(((ranked - middle) ** 2).sum())  # which accounts for ties
    between = float(((average - middle) ** 2).sum())
    statistic = blocks**2 * (count - 1) * between / within if within else 0.0
    difference = critical_difference(count, blocks)
    return Friedman(
        names=tuple(names),
        ranks=tuple(average.tolist()),
        blocks=blocks,
        statistic=statistic,
        p=float(chdtrc(count - 1, statistic)),
        critical_difference=difference,
        cliques=_cliques(average, names, difference),
    )


def critical_difference(optimizers: int, blocks: int, alpha: float = ALPHA) -> float:
    """Return Nemenyi's critical difference of average ranks, q sqrt(k (k + 1) / (6 N)).

    q is the upper alpha quantile of the studentized range of k values with infinite degrees of
    freedom, over sqrt(2).
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - alpha, optimizers, np.inf)) / math.sqrt(2)
    return q * math.sqrt(optimizers * (optimizers + 1) / (6 * blocks))


def _cliques(ranks: Floats, names: Sequence[str], difference: float) -> tuple[tuple[str, ...], ...]:
    order = np.argsort(ranks, kind="stable")
    found: list[tuple[int, int]] = []
    for start in range(len(order)):
        end = start
        while end + 1 < len(order) and ranks[order[end + 1]] - ranks[order[start]] <= difference:
            end += 1
        if end > start and (not found or end > found[-1][1]):
            found.append((start, end))
    return tuple(tuple(names[place] for place in order[a : b + 1]) for a, b in found)
