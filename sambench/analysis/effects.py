"""How large a difference is, whatever its p value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sambench.analysis.statistics import Summary


def cohens_dz(differences: Sequence[float]) -> float | None:
    """Mean of paired differences over their SD (Cohen 1988); None without spread."""
    summary = Summary.of(differences)
    if summary is None or not summary.sd:
        return None
    return summary.mean / summary.sd


def cliffs_delta(candidate: Sequence[float], baseline: Sequence[float]) -> float:
    """P(candidate > baseline) - P(candidate < baseline) over all pairs of runs (Cliff 1993).

    Raises:
        ValueError: If a side is empty.
    """
    if not len(candidate) or not len(baseline):
        raise ValueError("Cliff's delta needs a value on each side")
    signs = np.sign(np.subtract.outer(np.asarray(candidate), np.asarray(baseline)))
    return float(signs.mean())


def probability_of_improvement(
    candidate: Sequence[float], baseline: Sequence[float], *, higher_is_better: bool
) -> float:
    """Probability that a run of the candidate beats a run of the baseline, ties counting half.

    The Mann-Whitney U statistic over the number of pairs of runs (Agarwal et al. 2021); it is
    (1 + Cliff's delta) / 2 in the better direction.

    Raises:
        ValueError: If a side is empty.
    """
    delta = cliffs_delta(candidate, baseline)
    return (1 + (delta if higher_is_better else -delta)) / 2
