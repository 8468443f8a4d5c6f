"""Extreme eigenvalues of a symmetric operator, each with an interval that is certified."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal

from sambench.curvature.certificate import upper_bound
from sambench.curvature.krylov import BLOCK_ROWS, Floats, Lanczos, RitzValues
from sambench.curvature.memory import vectors_that_fit
from sambench.curvature.result import DeflationBasis, Eigenpairs
from sambench.curvature.vectors import (
    EIGENVALUE_STREAM,
    EndedBy,
    Progress,
    Stop,
    SymmetricOperator,
    gaussian,
    generator,
    never,
)

Which = Literal["top", "dominant"]
FAILURE_PROBABILITY = 1e-6
"""Of each certificate. A study makes ten thousand of them, one for each batch of each run."""

ROUNDING = 100.0  # times the unit round-off and the norm: an interval is never narrower


@torch.no_grad()
def eigenvalues(
    H: SymmetricOperator,
    k: int = 1,
    tol: float = 1e-2,
    max_matvecs: int = 200,
    seed: int = 0,
    *,
    which: Which = "top",
    max_basis: int | None = None,
    out_of_time: Stop = never,
    on_progress: Progress | None = None,
) -> Eigenpairs:
    r"""Return the top eigenvalues of H, or the dominant one, by Lanczos from random starts.

    A small residual proves that there is an eigenvalue, not that it is the largest, so each value
    comes with an interval. The i-th Ritz value is a lower end for the i-th eigenvalue (Cauchy). The
    upper end is `certificate.upper_bound`, which holds but for a chance of 1e-6 over the start.

    One start proves that nothing is above the first eigenvalue; of a multiple one it sees a single
    vector. For k > 1 the run therefore goes on, once the k residuals are small, from another random
    start in the complement of the basis Q. With the bound U of the part C of H in there and the
    coupling S between both,

    .. math:: \lambda_i(H) \le \lambda_i \begin{pmatrix} T & S^T \\ S & U \end{pmatrix}
              \quad\text{or } U \text{ if that is larger},

    since C is at most U times the identity. What the first start missed appears in the second.

    Args:
        H: The operator.
        k: How many eigenvalues, each counted as often as it occurs.
        tol: How wide an interval may be beside its value, and how large a residual. A value that
            is zero beside the norm of H has no relative accuracy and is not certified.
        max_matvecs: Most products to spend.
        seed: Of the random starts.
        which: "top" for the most positive eigenvalues, "dominant" for the one of largest magnitude,
            which is certified if the bounds of both ends settle its sign too; k is then 1.
        max_basis: Most Lanczos vectors kept in memory, by default what fits. A longer run with k=1
            goes on without them, and returns no vector; with k > 1 it ends there.
        out_of_time: Asked after each step; when true the run ends with what it has.
        on_progress: Called after each step with the products made and `max_matvecs`.

    Returns:
        The eigenpairs; its basis serves `trace`.

    Raises:
        CurvatureError: If a product is not finite, or H is not symmetric.
        ValueError: If several dominant eigenvalues are asked for.
    """
    if which == "dominant" and k > 1:
        raise ValueError(f"k={k}: of the dominant eigenvalue there is one; use which='top'")
    products_before = H.matvecs
    goal = _Goal(min(k, H.size), tol, which, H.size, ROUNDING * torch.finfo(H.dtype).eps)
    run, ended_by = _run(H, goal, max_matvecs, seed, max_basis, out_of_time, on_progress)
    ritz = run.ritz()
    bounds = goal.bounds(run, ritz)
    chosen, intervals = goal.choose(ritz), goal.intervals(ritz, bounds)
    certified = goal.certified(ritz, bounds)
    lowest = float(ritz.values[0])
    return Eigenpairs(
        values=torch.from_numpy(ritz.values[chosen].copy()),
        residuals=torch.from_numpy(ritz.residuals[chosen].copy()),
        intervals=torch.from_numpy(intervals),
        certified=tuple(map(bool, certified)),
        vectors=run.basis.combine(ritz.coefficients[:, chosen]) if run.complete else None,
        upper_bound=float(bounds.highs[0]),
        lower_bound=bounds.low,
        lowest=lowest,
        lowest_residual=float(ritz.residuals[0]),
        lowest_certified=goal.narrow(lowest, lowest - bounds.low, ritz.scale),
        matvecs=H.matvecs - products_before,
        ended_by=ended_by,
        basis=DeflationBasis(vectors=run.basis, projected_trace=run.projected_trace()),
    )


def _run(
    H: SymmetricOperator,
    goal: _Goal,
    max_matvecs: int,
    seed: int,
    max_basis: int | None,
    out_of_time: Stop,
    on_progress: Progress | None,
) -> tuple[Lanczos, EndedBy]:
    """Take Lanczos steps until the goal is reached or something runs out, and say which."""
    source = generator(H.device, seed, EIGENVALUE_STREAM)
    most = max(goal.k, max_matvecs)
    run = Lanczos(H, gaussian(H, source), BLOCK_ROWS if max_basis is None else max_basis)
    for left in reversed(range(most)):
        run.step()
        if max_basis is None and len(run.alphas) == 1:  # the graphs are in memory by now
            run.basis.limit = max(goal.k + 1, min(most, vectors_that_fit(H)))
        if on_progress is not None:
            on_progress(len(run.alphas), max_matvecs)
        ritz = run.ritz()
        if goal.is_reached(run, ritz):
            return run, "tolerance"
        if out_of_time() and len(run.alphas) >= goal.k:
            return run, "minutes"
        restarts = goal.needs_another_start(run, ritz)
        full = len(run.basis) == run.basis.limit < most
        if full and len(run.alphas) >= goal.k and (restarts or goal.k > 1):
            return run, "memory"
        if restarts and left:
            run.restart(gaussian(H, source))
    return run, "max_matvecs"


@dataclass(frozen=True)
class _Bounds:
    """What the spectrum is certified to stay within."""

    highs: Floats  # (k,) of the most positive eigenvalues, the first of all
    low: float


@dataclass(frozen=True)
class _Goal:
    """What is sought, and when it has been found."""

    k: int
    tol: float
    which: Which
    size: int
    rounding: float

    def choose(self, ritz: RitzValues) -> list[int]:
        """Return the positions of the wanted Ritz values, best first."""
        last = len(ritz.values) - 1
        if self.which == "dominant" and -ritz.values[0] > ritz.values[last]:
            return [0]
        return [last - i for i in range(min(self.k, last + 1))]

    def is_reached(self, run: Lanczos, ritz: RitzValues) -> bool:
        """Whether the run may end: all is certified, or rounding or the whole space ends it."""
        if run.spans_everything:
            return True
        if not self._accepts(ritz):
            return False
        bounds = self.bounds(run, ritz)
        if all(self.certified(ritz, bounds)):
            return True
        width = max(bounds.highs[0] - ritz.values[-1], 0.0)
        if self.which == "dominant":
            width = max(width, ritz.values[0] - bounds.low)
        return self.k == 1 and bool(width <= self.rounding * ritz.scale)

    def needs_another_start(self, run: Lanczos, ritz: RitzValues) -> bool:
        """Whether the bound of the present start stays above the k-th value for good."""
        if run.exhausted and (self.k > 1 or run.betas[-1] == 0):
            return True
        if self.k == 1 or not self._accepts(ritz):
            return False
        least = float(ritz.values[-self.k])
        return _ends(run, len(run.ends))[1] > least + self.tol * abs(least)

    def bounds(self, run: Lanczos, ritz: RitzValues) -> _Bounds:
        """Return the certified bounds of the spectrum, the tightest of all starts."""
        count = len(self.choose(ritz))
        if run.spans_everything:
            return _Bounds(ritz.values[::-1][:count], float(ritz.values[0]))
        found = [self._bounds_of(run, start, count) for start in range(len(run.ends) + 1)]
        return _Bounds(np.min([b.highs for b in found], 0), max(b.low for b in found))

    def _bounds_of(self, run: Lanczos, start: int, count: int) -> _Bounds:
        """Return what one start proves."""
        rows = _rows(run, start)
        alphas, betas = run.alphas[rows], run.betas[rows]
        smallest, largest = _ends(run, start)
        copies = 1 if run.complete else len(alphas)
        rest = (self.size - rows.start, FAILURE_PROBABILITY, copies)
        high = upper_bound(alphas, betas, largest, *rest)
        low = -upper_bound([-alpha for alpha in alphas], betas, -smallest, *rest)
        if not start or not math.isfinite(high - low):
            return _Bounds(np.full(count, high), low)
        above = np.linalg.eigvalsh(_coupled(run, start, high))[::-1][:count]
        below = np.linalg.eigvalsh(_coupled(run, start, low))[0]
        highs = np.maximum(np.append(above, [high] * count)[:count], high)
        return _Bounds(highs, float(min(low, below)))

    def intervals(self, ritz: RitzValues, bounds: _Bounds) -> Floats:
        """Return the intervals of the wanted eigenvalues, of shape (k, 2)."""
        chosen = self.choose(ritz)
        if chosen == [0] and self.which == "dominant":
            return np.array([[bounds.low, ritz.values[0]]])
        values = ritz.values[chosen]
        return np.stack([values, np.maximum(bounds.highs, values)], axis=1)

    def certified(self, ritz: RitzValues, bounds: _Bounds) -> list[bool]:
        """Whether each wanted value is within the tolerance of the eigenvalue that it stands for.

        Of a dominant one the sign is certified too: nothing at the other end is as large.
        """
        values = ritz.values[self.choose(ritz)]
        widths = self.intervals(ritz, bounds) @ [-1.0, 1.0]
        found = [
            self.narrow(float(value), float(width), ritz.scale)
            for value, width in zip(values, widths, strict=True)
        ]
        if self.which == "dominant":
            other = -bounds.low if values[0] > 0 else bounds.highs[0]
            found = [found[0] and bool(abs(values[0]) - self.rounding * ritz.scale >= other)]
        return found + [False] * (self.k - len(found))

    def narrow(self, value: float, width: float, scale: float) -> bool:
        """Whether an interval, rounding included, is within the tolerance of its value."""
        return width + self.rounding * scale <= self.tol * abs(value)

    def _accepts(self, ritz: RitzValues) -> bool:
        """Whether the residuals are small enough to ask for the bounds."""
        if len(ritz.values) < self.k:
            return False
        chosen = self.choose(ritz)
        allowed = np.maximum(self.tol * np.abs(ritz.values[chosen]), self.rounding * ritz.scale)
        return bool(np.all(ritz.residuals[chosen] <= allowed))


def _rows(run: Lanczos, start: int) -> slice:
    """Return the rows of T that one start has made."""
    ends = [-1, *run.ends, len(run.alphas) - 1]
    return slice(ends[start] + 1, ends[start + 1] + 1)


def _ends(run: Lanczos, start: int) -> tuple[float, float]:
    """Return the smallest and the largest Ritz value of one start alone."""
    rows = _rows(run, start)
    values = eigh_tridiagonal(run.alphas[rows], run.betas[rows][:-1], eigvals_only=True)
    return float(values[0]), float(values[-1])


def _coupled(run: Lanczos, start: int, bound: float) -> Floats:
    r"""Return T of the earlier starts, coupled to what they left out as if that were the bound.

    Each start leaves a remainder :math:`\beta_s w_s e_s^T` with :math:`|w_s| \le 1`. Of r of them
    :math:`|\sum_s \beta_s w_s x_s|^2 \le r \sum_s \beta_s^2 x_s^2`, whatever their angles.
    """
    rows = _rows(run, start).start
    matrix = bound * np.eye(rows + start)
    matrix[:rows, :rows] = run.projection(rows)
    for place, end in enumerate(run.ends[:start], start=rows):
        matrix[place, end] = matrix[end, place] = math.sqrt(start) * run.betas[end]
    return matrix
