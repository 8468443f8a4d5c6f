"""Performance profiles: how often each optimizer is within a factor of the cheapest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class Profiles:
    """Step functions, one for each optimizer.

    Attributes:
        names: Optimizers.
        factors: Where any of the functions rises, ascending, from 1 on; shape (F,).
        shares: Share of the problems that each solves at a cost of at most that factor times the
            cheapest; shape (k, F).
    """

    names: tuple[str, ...]
    factors: NDArray[np.float64]
    shares: NDArray[np.float64]

    def share(self, name: str, factor: float) -> float:
        """Return the share of problems that an optimizer solves within a factor of the cheapest."""
        place = int(np.searchsorted(self.factors, factor, side="right")) - 1
        return float(self.shares[self.names.index(name), place]) if place >= 0 else 0.0


def performance_profiles(costs: ArrayLike, names: Sequence[str]) -> Profiles:
    """Return the profiles of Dolan and More (2002).

    Args:
        costs: Shape (problems, k); infinite where an optimizer never reached the target. A problem
            that none solved counts against all.
        names: Of the k optimizers.

    Raises:
        ValueError: If a cost is not positive or NaN, or the shape does not fit.
    """
    table: NDArray[np.float64] = np.asarray(costs, dtype=np.float64)
    if table.ndim != 2 or not table.size or table.shape[1] != len(names) or not (table > 0).all():
        raise ValueError("profiles need a positive cost, or infinity, for each problem and name")
    best = table.min(axis=1, keepdims=True)
    ratios = np.divide(table, best, out=np.full_like(table, np.inf), where=np.isfinite(best))
    finite = ratios[np.isfinite(ratios)]
    factors = np.unique(np.append(finite, 1.0))
    shares = (ratios[:, :, None] <= factors).mean(axis=0)
    return Profiles(names=tuple(names), factors=factors, shares=shares)
