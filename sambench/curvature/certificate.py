"""What a Lanczos run has found and what it may have missed: bounds, intervals, certificates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.special import betaincinv

from sambench.curvature.krylov import Floats, Lanczos, RitzValues

Which = Literal["top", "dominant"]
FAILURE_PROBABILITY = 1e-6
"""Of each certificate. A study makes ten thousand of them, one for each batch of each run."""

WIDTH, DOUBLINGS = 1e-12, 80  # the first bracket, beside the largest entry, and its growth
POINTS, SUBDIVISIONS = 64, 3  # of the bracket, each time


def least_overlap(size: int, failure_probability: float) -> float:
    r"""Return the overlap that a random direction has with a fixed one, but for a small chance.

    For x uniform on the sphere of :math:`R^n`, :math:`x_1^2` is Beta(1/2, (n-1)/2) distributed; for
    large n the result is :math:`\epsilon \sqrt{\pi / 2n}`.
    """
    if size == 1:
        return 1.0
    return math.sqrt(betaincinv(0.5, 0.5 * (size - 1), failure_probability))


def upper_bound(
    alphas: Sequence[float],
    betas: Sequence[float],
    largest: float,
    size: int,
    failure_probability: float,
    copies: int = 1,
) -> float:
    r"""Return a bound that no eigenvalue of H exceeds, but for the given probability.

    The Lanczos vectors are :math:`q_{j+1} = p_j(H) q_1`, with :math:`p_j` the orthonormal
    polynomials of the recurrence. The top eigenvector u has the components
    :math:`u^T q_{j+1} = p_j(\lambda_{\max}) u^T q_1`, whose squares sum to at most one, and
    :math:`|u^T q_1| \ge \delta` with probability :math:`1-\epsilon` if the start was random, hence

    .. math:: \sum_{j=0}^{m} p_j(\lambda_{\max})^2 \le 1 / \delta^2 .

    The left side grows beyond the largest Ritz value, so the bound is where it meets the right one,
    found by subdivision. This is the bound of van Dorsselaer, Hochstenbach & van der Vorst
    ("Computing probabilistic bounds for extreme eigenvalues of symmetric matrices with the Lanczos
    method", 2000), slightly sharpened: they use only the last term. As a single statement about the
    start, it holds at all steps at once. It needs a random start, and no further product.

    The matrix has the diagonal `alphas` and beside it `betas`. The last of these is the norm of the
    remainder: that of rounding where nothing else remains, and zero where the space has no
    complement. The squares sum to at most `copies`, which is more than one where the vectors are
    not orthogonal.
    """
    limit = copies * least_overlap(size, failure_probability) ** -2
    if betas[-1] == 0:
        return largest
    unit = WIDTH * max(abs(largest), *betas)
    low, points = 0.0, unit * np.exp2(np.arange(DOUBLINGS, dtype=np.float64))
    for _ in range(SUBDIVISIONS + 1):
        beyond = _exceeds(largest + points, alphas, betas, limit)
        if not beyond.any():
            return math.inf
        first = int(beyond.argmax())
        low, high = (points[first - 1] if first else low), points[first]
        points = np.linspace(low, high, POINTS + 1)[1:]
    return float(largest + high)


def _exceeds(
    points: NDArray[np.float64], alphas: Sequence[float], betas: Sequence[float], limit: float
) -> NDArray[np.bool_]:
    """Whether the squared orthonormal polynomials sum to more than `limit`, at each point."""
    before, now, total = np.zeros_like(points), np.ones_like(points), np.ones_like(points)
    beta_before = 0.0
    for alpha, beta in zip(alphas, betas, strict=True):
        before, now = now, ((points - alpha) * now - beta_before * before) / beta
        beta_before = beta
        total += np.square(now)
        over = total > limit
        before[over] = now[over] = 0.0  # such a sum is left as it is: nothing overflows
    return total > limit


Bounds = tuple[Floats, float]
"""Upper ones of the k most positive eigenvalues, the first of all, and the lower one of all."""


@dataclass(frozen=True)
class Goal:
    """What is sought of an operator, and when it has been found."""

    k: int
    tol: float
    which: Which
    size: int  # of the operator

    def choose(self, ritz: RitzValues) -> list[int]:
        """Return the positions of the wanted Ritz values, best first."""
        if self.which == "dominant" and -ritz.values[0] > ritz.values[-1]:
            return [0]
        return [-1 - i for i in range(min(self.k, len(ritz.values)))]

    def is_reached(self, run: Lanczos, ritz: RitzValues) -> bool:
        """Whether the run may end: all is certified, or rounding or the whole space ends it."""
        if run.spans_everything:
            return True
        if not self._accepts(ritz):
            return False
        highs, low = self.bounds(run, ritz)
        if all(self.certified(ritz, (highs, low))):
            return True
        width = max(highs[0] - ritz.values[-1], 0.0)
        if self.which == "dominant":
            width = max(width, ritz.values[0] - low)
        return self.k == 1 and bool(width <= ritz.rounding)

    def needs_another_start(self, run: Lanczos, ritz: RitzValues) -> bool:
        """Whether the bound of the present start stays above the k-th value for good."""
        if run.exhausted and self.k > 1:
            return True
        if self.k == 1 or not self._accepts(ritz):
            return False
        least = float(ritz.values[-self.k])
        return _ends(run, len(run.ends))[1] > least + self.tol * abs(least)

    def bounds(self, run: Lanczos, ritz: RitzValues) -> Bounds:
        """Return the certified bounds of the spectrum, the tightest of all starts."""
        count = len(self.choose(ritz))
        if run.spans_everything:
            return ritz.values[::-1][:count], float(ritz.values[0])
        found = [self._bounds_of(run, start, count) for start in range(len(run.ends) + 1)]
        return np.min([highs for highs, _ in found], 0), max(low for _, low in found)

    def _bounds_of(self, run: Lanczos, start: int, count: int) -> Bounds:
        """Return what one start proves."""
        rows = _rows(run, start)
        alphas, betas = run.alphas[rows], run.betas[rows]
        smallest, largest = _ends(run, start)
        copies = 1 if run.complete else len(alphas)
        rest = (self.size - rows.start, FAILURE_PROBABILITY, copies)
        high = upper_bound(alphas, betas, largest, *rest)
        low = -upper_bound([-alpha for alpha in alphas], betas, -smallest, *rest)
        if not start or not math.isfinite(high - low):
            return np.full(count, high), low
        above = np.linalg.eigvalsh(_coupled(run, start, high))[::-1][:count]
        below = np.linalg.eigvalsh(_coupled(run, start, low))[0]
        highs = np.maximum(np.append(above, [high] * count)[:count], high)
        return highs, float(min(low, below))

    def intervals(self, ritz: RitzValues, bounds: Bounds) -> Floats:
        """Return the intervals of the wanted eigenvalues, of shape (k, 2)."""
        values = ritz.values[self.choose(ritz)]
        if self.which == "dominant" and values[0] < 0:
            return np.array([[bounds[1], values[0]]])
        return np.stack([values, np.maximum(bounds[0], values)], axis=1)

    def certified(self, ritz: RitzValues, bounds: Bounds) -> list[bool]:
        """Whether each wanted value, and the sign of a dominant one, is within the tolerance."""
        values = ritz.values[self.choose(ritz)]
        widths = self.intervals(ritz, bounds) @ [-1.0, 1.0]
        found = [self.narrow(*pair, ritz.rounding) for pair in zip(values, widths, strict=True)]
        if self.which == "dominant":  # nothing at the other end is as large
            other = -bounds[1] if values[0] > 0 else bounds[0][0]
            found = [found[0] and bool(abs(values[0]) - ritz.rounding >= other)]
        return found + [False] * (self.k - len(found))

    def narrow(self, value: float, width: float, rounding: float) -> bool:
        """Whether an interval, rounding included, is within the tolerance of its value."""
        return bool(width + rounding <= self.tol * abs(value))

    def _accepts(self, ritz: RitzValues) -> bool:
        """Whether the residuals are small enough to ask for the bounds."""
        if len(ritz.values) < self.k:
            return False
        chosen = self.choose(ritz)
        allowed = np.maximum(self.tol * np.abs(ritz.values[chosen]), ritz.rounding)
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
