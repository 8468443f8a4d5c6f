"""A probabilistic bound on what a Lanczos run may have missed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

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
    found by subdivision. It is the bound of van Dorsselaer, Hochstenbach & van der Vorst
    ("Computing probabilistic bounds for extreme eigenvalues of symmetric matrices with the Lanczos
    method", 2000), slightly sharpened: they use the last term alone. It is one statement on the
    start and so holds at all steps at once, and it needs no product. Not valid for a start that is
    not random.

    Args:
        alphas: Diagonal of the tridiagonal matrix, m entries.
        betas: Its off-diagonal, and the norm of the remainder as the m-th entry; where nothing but
            rounding remains, the rounding, and zero where the space has no complement.
        largest: The largest Ritz value.
        size: Dimension of H.
        failure_probability: Chance, over the random start, that the bound fails.
        copies: What the squares sum to at most: more than one where the vectors are not orthogonal.
    """
    limit = copies * least_overlap(size, failure_probability) ** -2
    unit = WIDTH * max(abs(largest), *betas)
    if unit == 0 or betas[-1] == 0:
        return largest
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
    """Whether the squared orthonormal polynomials sum to more than `limit`, at each point.

    A sum that does is left as it is, so that nothing overflows.
    """
    before, now, total = np.zeros_like(points), np.ones_like(points), np.ones_like(points)
    beta_before = 0.0
    for alpha, beta in zip(alphas, betas, strict=True):
        before, now = now, ((points - alpha) * now - beta_before * before) / beta
        beta_before = beta
        total += np.square(now)
        over = total > limit
        before[over] = now[over] = 0.0
    return total > limit
