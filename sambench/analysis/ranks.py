"""Several optimizers on several data sets: Friedman's test, Nemenyi's critical difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

LEAST_BLOCKS = 6
"""From so many data sets on, ranks are worth a diagram."""


@dataclass(frozen=True, kw_only=True)
class Friedman:
    """Friedman's test and what a critical-difference diagram shows."""

    names: tuple[str, ...]  # optimizers, in the given order
    ranks: tuple[float, ...]  # their average ranks; 1 is best
    blocks: int  # number of data sets (or other blocks)
    statistic: float  # Friedman's chi-square, corrected for ties
    p: float  # of the chi-square with k - 1 degrees of freedom
    critical_difference: float  # Nemenyi: average ranks further apart differ at `alpha`
    alpha: float
    cliques: tuple[tuple[str, ...], ...]  # largest sets that do not differ, best first


def friedman(
    scores: ArrayLike, names: Sequence[str], *, higher_is_better: bool, alpha: float = 0.05
) -> Friedman:
    """Test whether optimizers rank alike over blocks (Friedman 1937; Demsar 2006).

    Args:
        scores: Shape (blocks, k); a block is a data set, or any setting in which all were run.
        names: Of the k optimizers.
        higher_is_better: Whether the highest score has rank 1.
        alpha: Level of the critical difference.

    Raises:
        ValueError: If there are fewer than two blocks or optimizers, or a score is missing.
    """
    table: NDArray[np.float64] = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or table.shape[1] != len(names):
        raise ValueError("Friedman's test needs scores of two optimizers in two blocks at least")
    if not np.isfinite(table).all():
        raise ValueError("Friedman's test needs a score of every optimizer in every block")
    from scipy.stats import rankdata

    ranked: NDArray[np.float64] = rankdata(-table if higher_is_better else table, axis=1)
    blocks, count = table.shape
    average, middle = ranked.mean(axis=0), (count + 1) / 2
    within = float(((ranked - middle) ** 2).sum())  # which accounts for ties
    between = float(((average - middle) ** 2).sum())
    statistic = blocks**2 * (count - 1) * between / within if within else 0.0
    difference = critical_difference(count, blocks, alpha)
    return Friedman(
        names=tuple(names),
        ranks=tuple(average.tolist()),
        blocks=blocks,
        statistic=statistic,
        p=float(chdtrc(count - 1, statistic)),
        critical_difference=difference,
        alpha=alpha,
        cliques=_cliques(average, names, difference),
    )


def critical_difference(optimizers: int, blocks: int, alpha: float = 0.05) -> float:
    """Return Nemenyi's critical difference of average ranks, q sqrt(k (k + 1) / (6 N)).

    q is the upper alpha quantile of the studentized range of k values with infinite degrees of
    freedom, over sqrt(2).
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - alpha, optimizers, np.inf)) / math.sqrt(2)
    return q * math.sqrt(optimizers * (optimizers + 1) / (6 * blocks))


def _cliques(
    ranks: NDArray[np.float64], names: Sequence[str], difference: float
) -> tuple[tuple[str, ...], ...]:
    order = np.argsort(ranks, kind="stable")
    found: list[tuple[int, int]] = []
    for start in range(len(order)):
        end = start
        while end + 1 < len(order) and ranks[order[end + 1]] - ranks[order[start]] <= difference:
            end += 1
        if end > start and (not found or end > found[-1][1]):
            found.append((start, end))
    return tuple(tuple(names[place] for place in order[a : b + 1]) for a, b in found)
