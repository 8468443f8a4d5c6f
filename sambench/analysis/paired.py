"""Tests of paired differences: exact sign flips, signed ranks, and the corrected resampled t.

Every result says which test it is, and the smallest p that this test can reach with so many pairs.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

EXACT_PAIRS = 20
"""Up to so many pairs all 2^n sign flips are counted (half a million sums, by symmetry)."""

FIRST_PAIRS = 10
"""Of so many the signs are kept as a matrix; each further pair doubles the sums."""

FLIPS = 99_999
"""Random sign flips drawn beyond that."""


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """A two-sided test that paired differences have no direction.

    Attributes:
        name: Which test, and how its distribution was had.
        p: Two-sided p value.
        smallest_p: The least that p can be with so many pairs.
        pairs: Number of differences given.
    """

    name: str
    p: float
    smallest_p: float
    pairs: int


def sign_flip(differences: Sequence[float], *, seed: int = 0) -> PairedTest:
    """Test whether differences are symmetric about zero, by flipping their signs.

    If the two learners are exchangeable within a pair, each of the 2^n signs is equally likely
    (Fisher 1935); p is the share of them whose |sum| is at least the observed one. Counted in full
    up to 20 pairs; beyond, 99,999 flips are drawn and p = (1 + hits) / (1 + draws), which keeps the
    test valid (Phipson and Smyth 2010).

    Args:
        differences: One for each pair.
        seed: Of the draws beyond 20 pairs.

    Raises:
        ValueError: If there is no pair.
    """
    values = _checked(differences)
    number = len(values)
    if number <= EXACT_PAIRS:
        p = _share_of_flips(values)
        name = f"sign-flip permutation, exact ({2**number} flips)"
        return PairedTest(name=name, p=p, smallest_p=2.0 ** (1 - number), pairs=number)
    p = _drawn_share(values, _drawn_flips(number, seed))
    name = f"sign-flip permutation, Monte Carlo ({FLIPS} draws, seed {seed})"
    return PairedTest(name=name, p=p, smallest_p=1 / (1 + FLIPS), pairs=number)


def wilcoxon(differences: Sequence[float], *, seed: int = 0) -> PairedTest:
    """Test whether the signed ranks of differences are symmetric about zero (Wilcoxon 1945).

    Without zeros and ties the distribution is scipy's exact one. With them it is that of the sign
    flips of the midranks at hand, exact up to 20 pairs; zeros keep their ranks and have no sign
    (Pratt 1959), so that the smallest p stays honest.

    Args:
        differences: One for each pair.
        seed: Of the draws beyond 20 pairs with ties.

    Raises:
        ValueError: If there is no pair.
    """
    values = _checked(differences)
    sizes = np.abs(values)
    if len(np.unique(sizes)) == len(sizes) and (sizes > 0).all():
        from scipy import stats

        p = float(stats.wilcoxon(values, method="exact").pvalue)
        return PairedTest(
            name="Wilcoxon signed-rank, exact",
            p=p,
            smallest_p=2.0 ** (1 - len(values)),
            pairs=len(values),
        )
    from scipy.stats import rankdata

    flipped = sign_flip((np.sign(values) * rankdata(_rounded(sizes))).tolist(), seed=seed)
    how = flipped.name.partition(", ")[2]
    return PairedTest(
        name=f"Wilcoxon signed-rank with ties, {how}",
        p=flipped.p,
        smallest_p=flipped.smallest_p,
        pairs=flipped.pairs,
    )


@dataclass(frozen=True, kw_only=True)
class MeanDifference:
    """A mean of paired differences with its standard error.

    Attributes:
        estimate: The mean.
        standard_error: None where one difference shows no spread.
        degrees: Degrees of freedom of its t distribution.
    """

    estimate: float
    standard_error: float | None
    degrees: int

    @property
    def p(self) -> float | None:
        """Two-sided p of Student's t; 1 where all differences are zero."""
        if self.standard_error is None:
            return None
        if self.standard_error == 0:
            return 1.0 if self.estimate == 0 else 0.0
        return float(2 * stdtr(self.degrees, -abs(self.estimate) / self.standard_error))


def mean_difference(differences: Sequence[float]) -> MeanDifference:
    """Return the mean of independent differences; its variance is s^2 / n.

    Raises:
        ValueError: If there is no difference.
    """
    return _mean_difference(_checked(differences), 1 / len(differences))


def resampled_difference(differences: Sequence[float], test_over_train: float) -> MeanDifference:
    """Return the mean of differences over folds or resampled splits, which share training images.

    The variance is (1/n + n_test / n_train) s^2 (Nadeau and Bengio 2003, the corrected resampled
    t); with s^2 / n alone, five times five folds reject two equal learners 4 times in 10.

    Args:
        differences: One for each fold; mean over the seeds of a fold.
        test_over_train: n_test / n_train; 1 / (k - 1) for k folds.

    Raises:
        ValueError: If there is no difference or the ratio is not positive.
    """
    if not test_over_train > 0:
        raise ValueError(f"n_test / n_train must be positive, not {test_over_train}")
    return _mean_difference(_checked(differences), 1 / len(differences) + test_over_train)


def _mean_difference(values: NDArray[np.float64], factor: float) -> MeanDifference:
    number = len(values)
    estimate = math.fsum(values) / number
    error = None
    if number > 1:
        variance = math.fsum((values - estimate) ** 2) / (number - 1)
        spread = math.sqrt(factor * variance)
        error = 0.0 if spread <= 1e-12 * float(np.abs(values).max()) else spread
    return MeanDifference(estimate=estimate, standard_error=error, degrees=number - 1)


def _share_of_flips(values: NDArray[np.float64]) -> float:
    """Share of all sign flips with a sum as large as the observed; the first sign stays (symmetry).

    Sums that differ by rounding alone count as equal.
    """
    sums = _first_flips(min(len(values), FIRST_PAIRS)) @ values[:FIRST_PAIRS]
    for value in values[FIRST_PAIRS:]:
        sums = np.concatenate([sums + value, sums - value])
    return int(np.count_nonzero(np.abs(sums) >= _threshold(values))) / len(sums)


@functools.cache
def _first_flips(number: int) -> NDArray[np.float64]:
    """All signs of so many values, the first one's fixed, shape (2^(n - 1), n)."""
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=number - 1)))
    return np.column_stack([np.ones(len(signs)), signs.reshape(len(signs), number - 1)])


def _drawn_share(values: NDArray[np.float64], flips: NDArray[np.uint8]) -> float:
    """Share of the drawn flips with a sum as large as the observed, that one counted too.

    A table for each eight values holds their 2^8 signed sums, so that a flip costs an addition for
    eight values in place of a product for each.

    Args:
        values: Shape (n,).
        flips: Of `_drawn_flips`.
    """
    eights = np.zeros(8 * len(flips))
    eights[: len(values)] = values
    tables = eights.reshape(-1, 8) @ (2.0 * _BITS.T - 1.0)  # (n / 8, 256)
    sums = np.zeros(FLIPS)
    for table, bits in zip(tables, flips, strict=True):
        sums += table.take(bits)
    hits = int(np.count_nonzero(np.abs(sums) >= _threshold(values)))
    return (1 + hits) / (1 + FLIPS)


_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)  # (256, 8)


@functools.lru_cache(maxsize=2)
def _drawn_flips(number: int, seed: int) -> NDArray[np.uint8]:
    """Draw signs of so many values, a bit each: row i, of `FLIPS` bytes, has values 8i to 8i + 7.

    All comparisons of so many pairs share the draw, which takes longer than its use.
    """
    generator = np.random.default_rng(seed)
    drawn = [
        np.packbits(generator.integers(0, 2, size=(count, number), dtype=np.int8), axis=1).T
        for count in (min(10_000, FLIPS - start) for start in range(0, FLIPS, 10_000))
    ]
    flips = np.concatenate(drawn, axis=1)
    flips.flags.writeable = False
    return flips


def _threshold(values: NDArray[np.float64]) -> float:
    return abs(math.fsum(values.tolist())) - 1e-12 * float(np.abs(values).sum())


def _rounded(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make sizes that differ by rounding alone equal, so that they tie."""
    largest = float(sizes.max())
    return np.round(sizes / largest, 12) if largest else sizes


def _checked(differences: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("a paired test needs at least one difference, all of them finite")
    return values
