from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sambench.analysis.ranks import critical_difference, friedman

DEMSAR_NAMES = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
DEMSAR = (
    (0.763, 0.768, 0.771, 0.798),
    (0.599, 0.591, 0.590, 0.569),
    (0.954, 0.971, 0.968, 0.967),
    (0.628, 0.661, 0.654, 0.657),
    (0.882, 0.888, 0.886, 0.898),
    (0.936, 0.931, 0.916, 0.931),
    (0.661, 0.668, 0.609, 0.685),
    (0.583, 0.583, 0.563, 0.625),
    (0.775, 0.838, 0.866, 0.875),
    (1.000, 1.000, 1.000, 1.000),
    (0.940, 0.962, 0.965, 0.962),
    (0.619, 0.666, 0.614, 0.669),
    (0.972, 0.981, 0.97501, 0.975),
    (0.957, 0.978, 0.946, 0.970),
)
"""AUROCs of four decision trees on 14 data sets (Demsar 2006, table 6).

Voting is printed with a tie of the last two, which the paper's ranks, of unrounded values, do not
have: they put C4.5+cf before C4.5+m+cf.
"""


def test_demsars_example() -> None:
    """His section 3.2: ranks, the statistic 9.28 (its tie correction aside), F 3.69, CD 1.25."""
    found = friedman(DEMSAR, DEMSAR_NAMES, higher_is_better=True)
    assert found.ranks == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=5e-4)
    ranks = np.array(found.ranks)
    untied = 12 * 14 / (4 * 5) * ((ranks**2).sum() - 4 * 25 / 4)
    assert untied == pytest.approx(9.28, abs=0.005)
    assert 13 * untied / (14 * 3 - untied) == pytest.approx(3.69, abs=0.005)
    assert found.statistic > untied  # ties shrink the variance of ranks
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, alpha=0.10) == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize(
    ("optimizers", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (10, 3.164)],
)
def test_nemenyis_quantiles(optimizers: int, q: float) -> None:
    """Demsar's table 5(a): CD for one block times sqrt(6 / (k (k + 1))); it has three decimals."""
    scale = math.sqrt(optimizers * (optimizers + 1) / 6)
    assert critical_difference(optimizers, 1) / scale == pytest.approx(q, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_against_scipy(seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 6, (9, 4))
    found = friedman(scores, "abcd", higher_is_better=False)
    theirs = stats.friedmanchisquare(*scores.T)
    assert found.statistic == pytest.approx(theirs.statistic, rel=1e-12)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-10)


def test_the_direction() -> None:
    scores = [[1, 2, 3]] * 6
    assert friedman(scores, "abc", higher_is_better=True).ranks == (3, 2, 1)
    assert friedman(scores, "abc", higher_is_better=False).ranks == (1, 2, 3)


def test_no_difference() -> None:
    tied = friedman([[1, 1, 1]] * 6, "abc", higher_is_better=True)
    assert (tied.statistic, tied.p) == (0.0, 1.0)
    assert tied.cliques == (("a", "b", "c"),)


def test_the_bars_of_the_diagram() -> None:
    """Ranks 1, 2, 3, 4 in every block of 14: CD 1.25 joins neighbours only."""
    found = friedman([[4, 3, 2, 1]] * 14, "abcd", higher_is_better=True)
    assert found.cliques == (("a", "b"), ("b", "c"), ("c", "d"))
