from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from sambench.analysis import paired
from sambench.analysis.paired import (
    FLIPS,
    mean_difference,
    resampled_difference,
    sign_flip,
    wilcoxon,
)


def counted(differences: list[float]) -> float:
    """The definition: every sign vector, one at a time."""
    observed = abs(sum(differences))
    signs = list(itertools.product([1, -1], repeat=len(differences)))
    hits = sum(
        abs(sum(s * d for s, d in zip(flip, differences, strict=True))) >= observed - 1e-9
        for flip in signs
    )
    return hits / len(signs)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([5.0], 1.0),
        ([1.0, 2.0], 0.5),
        ([1.0, 2.0, 3.0], 0.25),
        ([1.0, 2.0, 3.0, -1.0], 0.375),  # 7 once, 5 twice, and their mirrors: 6 of 16
        ([0.0, 0.0, 0.0], 1.0),
        ([1.0, -1.0], 1.0),
        ([1.0] * 6, 2 / 64),
    ],
)
def test_sign_flips_counted_by_hand(differences: list[float], p: float) -> None:
    found = sign_flip(differences)
    assert found.p == p == counted(differences)


def test_darwins_maize() -> None:
    """Fisher (1935, section 21): 863 of 32,768 one-sided, of Darwin's 15 pairs of maize plants."""
    inches = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    found = sign_flip(inches)
    assert found.p == 2 * 863 / 2**15
    assert mean_difference(inches).p == pytest.approx(0.0497, abs=1e-4)  # t = 2.148, 14 degrees


@pytest.mark.parametrize("number", [3, 6, 9, 12])
@pytest.mark.parametrize("seed", range(3))
def test_sign_flips_against_scipy(number: int, seed: int) -> None:
    differences = np.random.default_rng(seed).normal(0.5, 1, number).round(1)
    theirs = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(differences).p == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize("number", range(1, 21))
def test_the_smallest_p_is_reached_and_stated(number: int) -> None:
    found = sign_flip([1.0 + k for k in range(number)])
    assert found.p == found.smallest_p == 2.0 ** (1 - number)
    assert found.name == f"sign-flip permutation, exact ({2**number} flips)"


def test_five_pairs_cannot_reach_significance_and_six_can() -> None:
    assert sign_flip([1.0] * 5).smallest_p == 0.0625
    assert sign_flip([1.0] * 6).smallest_p == 0.03125


def test_equal_sums_that_differ_by_rounding_count_as_equal() -> None:
    accuracies = [395 / 481 - 390 / 481, 391 / 481 - 386 / 481, 380 / 481 - 385 / 481]
    assert sign_flip(accuracies).p == sign_flip([5, 5, -5]).p == 1.0


def test_many_pairs_are_drawn() -> None:
    generator = np.random.default_rng(1)
    differences = generator.normal(0.3, 1, 21)
    found = sign_flip(differences)
    assert found.name == f"sign-flip permutation, Monte Carlo ({FLIPS} draws, seed 0)"
    assert found == sign_flip(differences)
    exact = counted_by_halves(differences)
    sd = math.sqrt(exact * (1 - exact) / FLIPS)
    assert abs(found.p - exact) < 4 * sd + 1 / FLIPS
    assert sign_flip([1.0] * 40).p == pytest.approx(found.smallest_p) == 1 / (1 + FLIPS)


def counted_by_halves(values: np.ndarray) -> float:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return float((np.abs(sums) >= abs(values.sum()) - 1e-12).mean())


@pytest.mark.parametrize(
    ("number", "rank_sum", "p"),
    [(6, 0, 0.03125), (7, 2, 0.046875), (8, 3, 0.0390625), (9, 5, 0.0390625), (10, 8, 0.048828125)],
)
def test_wilcoxons_table(number: int, rank_sum: int, p: float) -> None:
    """Critical values of the signed-rank statistic at a two-sided 5 %, as in every textbook."""
    negative: set[int] = set()
    left = rank_sum
    for rank in range(number, 0, -1):
        if rank <= left:
            negative.add(rank)
            left -= rank
    found = wilcoxon([-r if r in negative else r for r in range(1, number + 1)])
    assert found.p == p
    assert found.name == "Wilcoxon signed-rank, exact"
    assert found.smallest_p == 2.0 ** (1 - number)


def test_signed_ranks_with_ties_and_zeros_are_counted() -> None:
    found = wilcoxon([2, 2, -1, 0, 3])
    assert found.p == counted([3.5, 3.5, -2.0, 5.0])
    assert found.name == "Wilcoxon signed-rank with ties, exact (32 flips)"
    assert wilcoxon([0.0, 0.0]).p == 1.0


def test_signed_ranks_do_not_see_the_scale() -> None:
    assert wilcoxon([1, 2, 3, 4, 5, -6]).p == wilcoxon([0.1, 9, 50, 700, 8000, -1e6]).p


def test_corrected_resampled_t_by_hand() -> None:
    """Differences 1, 2, 3, 4, 5 over 5 folds: s^2 = 2.5, variance (1/5 + 1/4) 2.5 = 1.125."""
    found = resampled_difference([1, 2, 3, 4, 5], 1 / 4)
    assert found.estimate == 3
    assert found.standard_error == pytest.approx(math.sqrt(1.125), rel=1e-14)
    assert found.degrees == 4
    assert found.p == pytest.approx(2 * stats.t.sf(3 / math.sqrt(1.125), 4), rel=1e-12)
    plain = mean_difference([1, 2, 3, 4, 5])
    assert plain.standard_error == pytest.approx(math.sqrt(0.5), rel=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_plain_mean_against_scipys_paired_t(seed: int) -> None:
    generator = np.random.default_rng(seed)
    before, after = generator.normal(0, 1, 8), generator.normal(0.4, 1, 8)
    theirs = stats.ttest_rel(after, before)
    assert mean_difference(after - before).p == pytest.approx(theirs.pvalue, rel=1e-10)


@pytest.mark.parametrize(("runs", "folds"), [(1, 5), (5, 5), (3, 10)])
def test_corrected_resampled_t_against_baycomp(runs: int, folds: int) -> None:
    baycomp = pytest.importorskip("baycomp", reason="baycomp is not installed")
    values = np.random.default_rng(runs).normal(0.5, 1, runs * folds)
    theirs = baycomp.CorrelatedTTest(values, np.zeros_like(values), runs=runs)
    ours = resampled_difference(values, 1 / (folds - 1))
    left, right = theirs.probs()
    assert ours.p == pytest.approx(2 * min(left, right), rel=1e-6)


def test_degenerate_differences() -> None:
    assert mean_difference([2.0]).standard_error is None
    assert mean_difference([2.0]).p is None
    assert mean_difference([0.0, 0.0]).p == 1.0
    assert mean_difference([0.1] * 10).p == 0.0
    for wrong in ([], [math.nan], [math.inf, 1.0]):
        for test in (sign_flip, wilcoxon, mean_difference):
            with pytest.raises(ValueError, match="at least one difference, all of them finite"):
                test(wrong)
    with pytest.raises(ValueError, match="must be positive"):
        resampled_difference([1.0, 2.0], 0.0)


def fold_differences(generator: np.random.Generator, repeats: int, folds: int) -> np.ndarray:
    """Accuracy differences of two equally good learners over repeated folds of 100 images.

    The learners are nearest-mean classifiers on the same six features, three each.
    """
    labels = np.arange(100) % 2
    features = generator.normal(0, 1, (100, 6)) + 0.4 * labels[:, None]
    found = []
    for _ in range(repeats):
        for test in np.array_split(generator.permutation(100), folds):
            train = np.setdiff1d(np.arange(100), test)
            accuracies = []
            for own in (slice(0, 3), slice(3, 6)):
                x = features[:, own]
                one, zero = (x[train][labels[train] == k].mean(axis=0) for k in (1, 0))
                guess = x[test] @ (one - zero) > (one + zero) @ (one - zero) / 2
                accuracies.append((guess == labels[test]).mean())
            found.append(accuracies[1] - accuracies[0])
    return np.array(found)


def test_type_one_error_over_repeated_folds() -> None:
    """Of 300 pairs of equal learners, the plain t finds many "better", the corrected few.

    Nominal 5 %; the upper bound 9.5 % is five standard errors of 300 draws above it, the plain
    test's lower bound 20 % half of what is known of it (about 40 %).
    """
    generator = np.random.default_rng(0)
    studies = [fold_differences(generator, 5, 5) for _ in range(300)]
    plain = np.mean([(mean_difference(study).p or 0) < 0.05 for study in studies])
    corrected = np.mean([(resampled_difference(s, 1 / 4).p or 0) < 0.05 for s in studies])
    assert plain > 0.20
    assert corrected < 0.095


@pytest.mark.parametrize("number", [21, 24, 40, 61])
def test_drawn_flips_are_those_of_the_generator(number: int) -> None:
    differences = np.random.default_rng(number).normal(0.3, 1, number)
    generator = np.random.default_rng(3)
    signs = generator.integers(0, 2, size=(FLIPS, number), dtype=np.int8) * 2.0 - 1.0
    hits = int((np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9).sum())
    assert sign_flip(differences.tolist(), seed=3).p == (1 + hits) / (1 + FLIPS)


def test_comparisons_of_as_many_pairs_share_one_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    generator = np.random.default_rng
    paired._drawn_flips.cache_clear()
    monkeypatch.setattr(
        np.random, "default_rng", lambda seed: drawn.append(seed) or generator(seed)
    )
    for scale in (1.0, 2.0, -3.0):
        sign_flip([scale * (k - 9.0) for k in range(30)])
    assert drawn == [0]
    sign_flip([k - 9.0 for k in range(31)])
    assert drawn == [0, 0]


def test_type_one_error_of_sign_flips() -> None:
    """Over 4,000 symmetric samples of 8 the exact test rejects what 256 flips allow, 4.7 %."""
    generator = np.random.default_rng(0)
    samples = generator.standard_t(3, (4000, 8))
    rejected = np.mean([sign_flip(sample).p < 0.05 for sample in samples])
    attainable = 12 / 256  # the largest even count of 256 below 5 %
    assert abs(rejected - attainable) < 4 * math.sqrt(attainable / 4000)
