from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import kendalltau, t

from sambench.analysis.claims import examine
from sambench.analysis.decision import flat_and_accurate
from sambench.analysis.ranks import LEAST_REPEATS, rank_correlation
from sambench.analysis.study import build_study
from sambench.config.suite import ReportSettings

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

SOURCE = np.random.default_rng(3)
OPTIMIZERS, SEEDS = 5, 8
LABELS = [f"o{k}" for k in range(OPTIMIZERS) for _ in range(SEEDS)]
REPEATS = [seed for _ in range(OPTIMIZERS) for seed in range(SEEDS)]
SHARPNESS = (SOURCE.normal(size=40) + np.repeat(SOURCE.normal(size=5) * 3, SEEDS)).tolist()
ACCURACY = SOURCE.integers(70, 80, size=40).astype(float).tolist()  # with ties, as accuracies have


def test_over_all_runs_it_is_scipys_tau_b() -> None:
    found = rank_correlation(SHARPNESS, ACCURACY, REPEATS)
    expected = kendalltau(SHARPNESS, ACCURACY, variant="b").statistic
    assert found.tau == pytest.approx(expected, abs=1e-12)
    assert (found.runs, found.pairs) == (40, 40 * 39 // 2)


def test_within_strata_by_counting_pairs() -> None:
    agreeing = one = other = pairs = 0
    for i in range(40):
        for j in range(i):
            if LABELS[i] == LABELS[j]:
                a = np.sign(SHARPNESS[i] - SHARPNESS[j])
                b = np.sign(ACCURACY[i] - ACCURACY[j])
                agreeing, one, other = agreeing + a * b, one + a * a, other + b * b
                pairs += 1
    found = rank_correlation(SHARPNESS, ACCURACY, REPEATS, LABELS)
    assert found.tau == pytest.approx(agreeing / np.sqrt(one * other), abs=1e-12)
    assert found.pairs == pairs


def test_one_stratum_is_all() -> None:
    whole = rank_correlation(SHARPNESS, ACCURACY, REPEATS)
    assert rank_correlation(SHARPNESS, ACCURACY, REPEATS, ["one"] * 40) == whole


def test_strata_do_not_see_what_lies_between_them() -> None:
    """Simpson: flatter is better within each optimizer, and worse between them."""
    sharpness = [1.0, 2.0, 3.0, 11.0, 12.0, 13.0]
    accuracy = [0.3, 0.2, 0.1, 0.9, 0.8, 0.7]
    names, seeds = ["a"] * 3 + ["b"] * 3, [0, 1, 2] * 2
    assert rank_correlation(sharpness, accuracy, seeds, names).tau == -1.0
    assert rank_correlation(sharpness, accuracy, seeds).tau == pytest.approx((9 - 6) / 15)


def test_the_interval_is_that_of_leaving_out_seeds() -> None:
    """Against scipy's tau-b without one seed after another: t, and the jackknife's error."""
    found = rank_correlation(SHARPNESS, ACCURACY, REPEATS)
    table = np.arange(40).reshape(OPTIMIZERS, SEEDS)
    taus = []
    for seed in range(SEEDS):
        rows = np.delete(table, seed, axis=1).ravel()
        taus.append(kendalltau(np.array(SHARPNESS)[rows], np.array(ACCURACY)[rows]).statistic)
    error = np.sqrt((SEEDS - 1) / SEEDS * ((np.array(taus) - np.mean(taus)) ** 2).sum())
    half = t.ppf(0.975, SEEDS - 1) * error
    tau = found.tau or 0.0
    assert found.interval == pytest.approx((tau - half, tau + half))


@pytest.mark.parametrize("seeds", [6, 10])
def test_no_correlation_is_called_one_in_five_of_a_hundred_studies(seeds: int) -> None:
    """The percentiles of a bootstrap called it one in eight to eleven."""
    source, called = np.random.default_rng(seeds), 0
    repeats = [seed for _ in range(6) for seed in range(seeds)]
    for _ in range(400):
        sides = (source.normal(size=(6, seeds)) + 0.7 * source.normal(size=seeds) for _ in "ab")
        found = rank_correlation(*(side.ravel().tolist() for side in sides), repeats)
        assert found.interval is not None
        called += not found.interval[0] <= 0 <= found.interval[1]
    assert called / 400 < 0.07


def test_what_hangs_on_one_seed_has_no_interval() -> None:
    """All but one run are right in every image: without that one all pairs are tied."""
    found = rank_correlation([9.0, 1.0, 2.0, 3.0, 4.0, 5.0], [0.9, *[1.0] * 5], range(6))
    assert found.tau is not None
    assert found.interval is None


def test_few_seeds_have_no_interval() -> None:
    few = [k for k, repeat in enumerate(REPEATS) if repeat < LEAST_REPEATS - 1]
    sides = [[values[k] for k in few] for values in (SHARPNESS, ACCURACY)]
    found = rank_correlation(*sides, [REPEATS[k] for k in few])
    assert found.tau is not None
    assert found.interval is None


def test_a_constant_has_no_rank_correlation() -> None:
    found = rank_correlation([1.0, 2.0, 3.0], [0.5, 0.5, 0.5], [0, 1, 2])
    assert (found.tau, found.interval) == (None, None)
    assert rank_correlation([1.0], [0.5], [0]).tau is None


@pytest.mark.parametrize(("folds", "seeds", "has_interval"), [(3, 2, False), (6, 1, True)])
def test_the_seeds_of_a_fold_are_one_unit(
    make_record: RecordMaker, folds: int, seeds: int, has_interval: bool
) -> None:
    runs = [
        make_record(name, accuracy=0.7 + fold / 50 + seed / 90, fold=fold, seed=seed,
                    split=f"kfold-{folds}", hessian={"top": {"value": 10.0 - fold + seed}})
        for name in ("adam", "sam")
        for fold in range(folds)
        for seed in range(seeds)
    ]  # fmt: skip
    found = flat_and_accurate(build_study(runs, ReportSettings(baseline="adam")))
    assert found is not None
    assert (found[0].runs, found[0].interval is not None) == (2 * folds * seeds, has_interval)


def test_claims_rank_the_runs_that_the_answer_ranks(make_record: RecordMaker) -> None:
    """Neither counts a measurement that did not converge, or a curvature of no minimum."""
    tops = [(10.0 - s, True) for s in range(6)] + [(1e6, False), (-5.0, True)]
    runs = [
        make_record(dataset="bus", image_size=256, stop="train-accuracy", batch_size=16,
                    model="resnet50", seed=seed, accuracy=0.7 + seed / 90,
                    hessian={"top": {"value": value, "converged": converged}})
        for seed, (value, converged) in enumerate(tops)
    ]  # fmt: skip
    study = build_study(runs, ReportSettings(baseline="adam"))
    claim = next(one for one in examine(study.groups) if one.name == "flatter-generalizes")
    found = flat_and_accurate(study)
    assert found is not None
    assert (claim.evidence[0].correlation, claim.evidence[0].within) == found
    assert (found[0].tau, found[0].runs) == (-1.0, 6)
