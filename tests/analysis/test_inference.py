"""The engine against scipy, brute force, and the papers' own statements."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from sambench.analysis.inference import (
    FOLDS,
    SEEDS,
    equivalence_p,
    half_widths,
    holm,
    largest_gap,
    max_t,
    moments,
    sign_flips,
    student_tail,
    units_to_settle,
)

Floats = NDArray[np.float64]


def draws(units: int, columns: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0.4, 1.0, (units, columns))


def brute_force(differences: Floats) -> Floats:
    """Step-down max-T, flip by flip, in plain loops over scipy's t."""
    units, columns = differences.shape
    observed = np.abs(stats.ttest_1samp(differences, 0).statistic)
    order = np.argsort(-observed)
    hits = np.zeros(columns)
    for signs in itertools.product((1, -1), repeat=units):
        t = np.abs(stats.ttest_1samp(differences * np.array(signs)[:, None], 0).statistic)
        for rank in range(columns):
            hits[rank] += max(t[order[rank:]]) >= observed[order[rank]] - 1e-9
    p = np.empty(columns)
    p[order] = np.maximum.accumulate(hits / 2**units)
    return p


@pytest.mark.parametrize("seed", range(3))
def test_max_t_is_its_definition(seed: int) -> None:
    differences = draws(7, 4, seed)
    np.testing.assert_allclose(max_t(differences), brute_force(differences), atol=1e-12)


def test_one_column_is_scipys_permutation_test() -> None:
    values = draws(9, 1, 3)
    theirs = stats.permutation_test(
        (values[:, 0],), np.mean, permutation_type="samples", n_resamples=math.inf
    )
    assert max_t(values)[0] == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize("columns", [1, 5, 17])
def test_six_units_are_enough_for_any_number_of_optimizers(columns: int) -> None:
    sure = np.abs(draws(6, columns)) + 5
    assert (max_t(sure) == 2 / 2**6).all()
    assert SEEDS.least_units == 6
    assert (max_t(sure[:5]) == 2 / 2**5).all()  # 0.0625: five can never show anything


def test_ties_and_zeros() -> None:
    assert max_t(np.zeros((8, 2))).tolist() == [1.0, 1.0]
    assert max_t(np.array([[1.0, 0.0]] * 8)).tolist() == [2 / 2**8, 1.0]
    tenths = np.array([[0.1], [0.2], [0.3], [-0.6]])  # three of eight flips sum to zero as well
    assert max_t(tenths)[0] == 1.0


def test_a_missing_unit_leaves_the_others() -> None:
    differences = draws(8, 2)
    differences[3, 1] = math.nan
    alone = max_t(np.delete(differences[:, [1]], 3, axis=0))
    assert 0 < alone[0] <= max_t(differences)[1]


def test_beyond_twelve_units_flips_are_drawn_once_and_never_give_zero() -> None:
    values = draws(30, 1) + 10
    assert max_t(values)[0] == pytest.approx(1 / 10_001)
    assert (sign_flips(14)[0] == 1).all()
    exact = stats.ttest_1samp(draws(14, 1), 0).pvalue[0]
    assert max_t(draws(14, 1))[0] == pytest.approx(exact, abs=0.03)  # two tests, nearly normal data


def test_the_family_error_of_max_t() -> None:
    """Under no difference any p is under 0.05 in 5 of 100 families."""
    source = np.random.default_rng(1)
    false = 0
    for _ in range(400):
        runs = source.normal(size=(8, 6))
        false += bool((max_t(runs[:, 1:] - runs[:, :1]) < 0.05).any())
    assert false / 400 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_what_rounding_leaves_of_a_mean_of_zero_is_zero() -> None:
    """0.1 + 0.2 - 0.3 is 5.6e-17 in binary; a report would print the difference "+2e-17"."""
    differences = np.array([[0.1, 1.0], [0.2, 2.0], [-0.3, 3.0]])
    assert differences[:, 0].sum() != 0
    assert moments(differences).mean.tolist() == [0.0, 2.0]


def test_student_over_folds_by_the_corrected_variance() -> None:
    """Nadeau and Bengio: SE^2 = (1/n + n_test / n_train) s^2, which one line of arithmetic has."""
    values = draws(5, 1)
    found = moments(values, 0.25)
    se = math.sqrt((1 / 5 + 0.25) * values.var(ddof=1))
    t = values.mean() / se
    size = np.abs(found.mean)
    assert student_tail(found, size, sides=2)[0] == pytest.approx(
        2 * stats.t.sf(abs(t), 4), rel=1e-12
    )
    assert student_tail(moments(values), size, sides=2)[0] == pytest.approx(
        stats.ttest_1samp(values[:, 0], 0).pvalue, rel=1e-12
    )
    assert FOLDS.least_units == 3


def test_holm_is_the_definition() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])


def test_intervals_of_one_comparison_are_students() -> None:
    values = draws(9, 1)
    half = half_widths(moments(values), 1)[0]
    low, high = stats.ttest_1samp(values[:, 0], 0).confidence_interval()
    assert (values.mean() - half, values.mean() + half) == pytest.approx((low, high))


def test_intervals_of_a_family_hold_all_at_once() -> None:
    source, held = np.random.default_rng(2), 0
    for _ in range(300):
        runs = source.normal(size=(8, 6))
        found = moments(runs[:, 1:] - runs[:, :1])
        held += bool((np.abs(found.mean) <= half_widths(found, 5)).all())
    assert held / 300 > 0.95 - 3 * math.sqrt(0.05 * 0.95 / 300)


def test_equivalence_is_two_one_sided_tests() -> None:
    values = 0.3 * draws(12, 1)
    below = stats.ttest_1samp(values[:, 0], -1, alternative="greater").pvalue
    above = stats.ttest_1samp(values[:, 0], 1, alternative="less").pvalue
    assert equivalence_p(moments(values), 1.0)[0] == pytest.approx(max(below, above), rel=1e-10)
    assert equivalence_p(moments(np.zeros((6, 1))), 1.0)[0] == 0.0


def test_the_best_is_not_beaten_and_the_worst_is() -> None:
    source = np.random.default_rng(4)
    runs = source.normal(size=(10, 3)) * 0.1 + [0.0, 1.0, 2.0]
    gaps = [np.delete(runs, k, axis=1) - runs[:, [k]] for k in range(3)]
    assert largest_gap(gaps[2]) == 1.0
    assert largest_gap(gaps[0]) == largest_gap(gaps[1]) == 1 / 2**10


@pytest.mark.parametrize("family", [1, 5])
def test_units_to_settle_have_the_power_that_is_asked_for(family: int) -> None:
    units = units_to_settle(1.0, 1.0, family, 6)
    source, alpha = np.random.default_rng(0), 0.05 / family
    values = source.normal(1.0, 1.0, (units, 4000))
    power = (stats.ttest_1samp(values, 0).pvalue < alpha).mean()
    assert 0.77 < power < 0.87  # 80 %; n is a whole number, so a little more
