from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sambench.analysis.intervals import Interval, bootstrap_interval, student_interval
from sambench.analysis.paired import mean_difference


@pytest.mark.parametrize("seed", range(5))
def test_student_against_scipy(seed: int) -> None:
    values = np.random.default_rng(seed).normal(1, 2, 7)
    ours = student_interval(mean_difference(values))
    assert ours is not None
    low, high = stats.t.interval(0.95, 6, values.mean(), stats.sem(values))
    assert (ours.low, ours.high) == (pytest.approx(low), pytest.approx(high))
    assert ours.method == "Student t"


def test_one_value_has_no_interval() -> None:
    assert student_interval(mean_difference([1.0])) is None


def test_an_interval_contains_its_inside() -> None:
    interval = Interval(low=-1.0, high=2.0, level=0.95, method="by hand")
    assert 0 in interval
    assert 2.1 not in interval


def test_bootstrap_is_seeded_and_states_its_method() -> None:
    values = np.random.default_rng(0).exponential(1, 20).tolist()
    first = bootstrap_interval(values)
    assert first == bootstrap_interval(values)
    assert first != bootstrap_interval(values, seed=1)
    assert first.method == "BCa bootstrap (9999 resamples, seed 0)"


def test_bootstrap_of_many_normal_values_is_student() -> None:
    """With 400 normal values both intervals agree to a tenth of their width."""
    values = np.random.default_rng(3).normal(5, 2, 400)
    student = student_interval(mean_difference(values))
    ours = bootstrap_interval(values)
    assert student is not None
    width = student.high - student.low
    assert abs(ours.low - student.low) < 0.1 * width
    assert abs(ours.high - student.high) < 0.1 * width


def test_bootstrap_covers() -> None:
    """Of 300 samples of 30, a few less than 95 % of the intervals hold the mean (SE 1.3 %)."""
    generator = np.random.default_rng(0)
    samples = generator.normal(0, 1, (300, 30))
    inside = [0.0 in bootstrap_interval(sample, resamples=999) for sample in samples]
    assert 0.89 < np.mean(inside) < 0.99


def test_degenerate_bootstraps() -> None:
    point = bootstrap_interval([3.0, 3.0, 3.0])
    assert (point.low, point.high) == (3.0, 3.0)
    with pytest.raises(ValueError, match="at least two"):
        bootstrap_interval([1.0])
