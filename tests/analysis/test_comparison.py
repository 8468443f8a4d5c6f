from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from sambench.analysis.comparison import LEAST_PAIRS, Comparison, compare, with_holm
from sambench.analysis.frame import frame
from sambench.analysis.metrics import METRICS, find_metric, find_metrics
from sambench.errors import UnknownNameError
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def compared(
    baseline: list[RunRecord], candidate: list[RunRecord], metric: str = "accuracy"
) -> Comparison:
    (found,) = compare(
        frame(baseline), frame(candidate), [find_metric(metric)], names=("adam", "sam")
    )
    return found


def runs(
    make_record: RecordMaker, optimizer: str, accuracies: list[float], **settings: object
) -> list[RunRecord]:
    return [
        make_record(optimizer, seed=seed, accuracy=accuracy, **settings)
        for seed, accuracy in enumerate(accuracies)
    ]


def curved(top: float, *, converged: bool = True) -> dict[str, object]:
    return {"top": {"value": top, "converged": converged}}


def test_six_pairs_that_agree(make_record: RecordMaker) -> None:
    """Gains of 1..6 points: mean 3.5, SD sqrt(3.5), t(5) quantile 2.5706."""
    adam = runs(make_record, "adam", [0.7] * 6)
    sam = runs(make_record, "sam", [0.71, 0.72, 0.73, 0.74, 0.75, 0.76])
    found = compared(adam, sam)
    assert found.n == 6
    assert found.difference == pytest.approx(3.5)
    half = 2.570582 * math.sqrt(3.5) / math.sqrt(6)
    assert found.interval is not None
    assert found.interval.low == pytest.approx(3.5 - half, rel=1e-5)
    assert (found.p, found.smallest_p) == (2 / 64, 2 / 64)
    assert found.test == "sign-flip permutation, exact (64 flips)"
    assert found.verdict == "better"
    assert found.effect_size == pytest.approx(3.5 / math.sqrt(3.5))
    assert found.probability_of_improvement == 1.0
    assert found.pairs[0] == (adam[0].name, sam[0].name)
    assert found.wilcoxon().p == 2 / 64
    assert found.bootstrap().low > 0


def test_five_pairs_are_too_few_however_they_agree(make_record: RecordMaker) -> None:
    found = compared(runs(make_record, "adam", [0.5] * 5), runs(make_record, "sam", [0.9] * 5))
    assert found.verdict == "too few pairs"
    assert found.smallest_p == 0.0625
    assert LEAST_PAIRS == 6


def test_directions(make_record: RecordMaker) -> None:
    adam = runs(make_record, "adam", [0.8] * 6, seconds=10.0)
    sam = runs(make_record, "sam", [0.7] * 6, seconds=20.0)
    assert compared(adam, sam).verdict == "worse"
    assert compared(adam, sam, "train_seconds").verdict == "worse"
    assert compared(sam, adam, "train_seconds").verdict == "better"


def test_equal_runs_show_no_difference(make_record: RecordMaker) -> None:
    found = compared(runs(make_record, "adam", [0.8] * 6), runs(make_record, "sam", [0.8] * 6))
    assert (found.difference, found.p, found.verdict) == (0.0, 1.0, "no difference shown")
    assert found.effect_size is None
    assert found.probability_of_improvement == 0.5


def test_runs_without_a_counterpart_are_named(make_record: RecordMaker) -> None:
    adam = runs(make_record, "adam", [0.8] * 3)
    sam = [
        make_record("sam", seed=1),
        make_record("sam", seed=2, status="diverged"),
        make_record("sam", seed=9),
    ]
    found = compared(adam, sam)
    assert found.n == 1
    assert found.unpaired == (
        f"{sam[1].name}: diverged",
        f"{adam[0].name}: no counterpart",
        f"{adam[2].name}: no counterpart",
        f"{sam[2].name}: no counterpart",
    )


def test_runs_that_cannot_be_told_apart_make_no_pair(make_record: RecordMaker) -> None:
    sam = [make_record({"name": "sam", "rho": rho}) for rho in (0.05, 0.1)]
    found = compared([make_record("adam")], sam)
    assert found.n == 0
    assert f"{sam[0].name}: one of 2 runs alike" in found.unpaired
    assert (found.difference, found.p, found.verdict) == (None, None, "too few pairs")
    assert found.test == "none (no pair)"


def test_no_runs_at_all() -> None:
    assert compared([], []).n == 0


def test_what_was_not_measured_is_left_out(make_record: RecordMaker) -> None:
    adam = [make_record("adam", seed=s, hessian=curved(9.0)) for s in (0, 1)]
    sam = [make_record("sam", seed=0), make_record("sam", seed=1, hessian=curved(4.0))]
    found = compared(adam, sam, "top")
    assert (found.n, found.difference) == (1, -5.0)
    assert found.left_out == (f"{sam[0].name}: not measured",)


def test_a_collapsed_run_is_flagged_and_never_flat(make_record: RecordMaker) -> None:
    adam = [make_record("adam", seed=s, hessian=curved(9.0)) for s in range(7)]
    sam = [
        make_record("sam", seed=s, hessian=curved(0.0 if s == 0 else 5.0), collapsed=s == 0)
        for s in range(7)
    ]
    flat = compared(adam, sam, "top")
    assert (flat.n, flat.difference) == (6, -4.0)
    assert flat.left_out == (f"{sam[0].name}: collapsed, so its curvature says nothing",)
    assert flat.collapsed == (sam[0].name,)
    accuracy = compared(adam, sam)
    assert accuracy.n == 7
    assert accuracy.collapsed == (sam[0].name,)


def test_all_collapsed_says_nothing_of_flatness(make_record: RecordMaker) -> None:
    adam = [make_record("adam", seed=s, hessian=curved(9.0)) for s in range(8)]
    sam = [make_record("sam", seed=s, hessian=curved(0.0), collapsed=True) for s in range(8)]
    assert compared(adam, sam, "top").verdict == "too few pairs"


def test_what_did_not_converge_is_named(make_record: RecordMaker) -> None:
    adam = [make_record("adam", seed=s, hessian=curved(9.0)) for s in (0, 1)]
    sam = [make_record("sam", seed=s, hessian=curved(5.0, converged=s == 0)) for s in (0, 1)]
    assert compared(adam, sam, "top").unconverged == (sam[1].name,)


def folds(
    make_record: RecordMaker, optimizer: str, gains: list[float], seeds: int = 1
) -> list[RunRecord]:
    return [
        make_record(optimizer, split="kfold-5", fold=fold, seed=seed, accuracy=0.7 + gain)
        for fold, gain in enumerate(gains, start=1)
        for seed in range(seeds)
    ]


def test_folds_get_the_corrected_t(make_record: RecordMaker) -> None:
    """The records say 32 train, 8 test: differences 1..5, variance (1/5 + 1/4) 2.5."""
    found = compared(
        folds(make_record, "adam", [0.0] * 5),
        folds(make_record, "sam", [0.01, 0.02, 0.03, 0.04, 0.05]),
    )
    assert found.test == (
        "Nadeau-Bengio corrected resampled t (5 test parts, n_test / n_train = 0.25)"
    )
    assert found.difference == pytest.approx(3.0)
    assert found.interval is not None
    half = 2.776445 * math.sqrt(1.125)
    assert found.interval.high == pytest.approx(3.0 + half, rel=1e-5)
    assert (found.smallest_p, found.partitions) == (0.0, 5)


def test_seeds_of_a_fold_are_averaged_first(make_record: RecordMaker) -> None:
    once = compared(
        folds(make_record, "adam", [0.0] * 5),
        folds(make_record, "sam", [0.01, 0.02, 0.03, 0.04, 0.05]),
    )
    thrice = compared(
        folds(make_record, "adam", [0.0] * 5, seeds=3),
        folds(make_record, "sam", [0.01, 0.02, 0.03, 0.04, 0.05], seeds=3),
    )
    assert (thrice.n, thrice.partitions) == (15, 5)
    assert thrice.p == pytest.approx(once.p)
    assert once.verdict == "too few pairs"


def test_repeated_folds_are_parts_of_their_own(make_record: RecordMaker) -> None:
    def drawn(optimizer: str) -> list[RunRecord]:
        return [
            make_record(optimizer, split="kfold-2", fold=fold, split_seed=split)
            for split in (0, 1)
            for fold in (1, 2)
        ]

    assert compared(drawn("adam"), drawn("sam")).partitions == 4


def test_holm_over_each_metrics_family(make_record: RecordMaker) -> None:
    adam = runs(make_record, "adam", [0.7] * 8)
    others = {
        "sam": runs(make_record, "sam", [0.71 + 0.01 * s for s in range(8)]),
        "gcsam": runs(make_record, "gcsam", [0.72] * 6 + [0.69, 0.7]),
    }
    family = [
        found
        for name, records in others.items()
        for found in compare(
            frame(adam),
            frame(records),
            find_metrics(["accuracy", "train_seconds"]),
            names=("adam", name),
        )
    ]
    corrected = {(c.candidate, c.metric.name): c for c in with_holm(family)}
    sam, gcsam = corrected["sam", "accuracy"], corrected["gcsam", "accuracy"]
    assert sam.p_holm == pytest.approx(2 * (sam.p or 0))
    assert gcsam.p_holm == pytest.approx(max(gcsam.p or 0, 2 * (sam.p or 0)))
    assert corrected["sam", "train_seconds"].p_holm == 1.0


def test_the_verdict_follows_the_corrected_p(make_record: RecordMaker) -> None:
    adam = runs(make_record, "adam", [0.7] * 6)
    family = [
        compared(adam, runs(make_record, name, [0.8] * 6)) for name in ("sam", "gcsam", "wsam")
    ]
    assert {c.verdict for c in family} == {"better"}
    assert {c.verdict for c in with_holm(family)} == {"no difference shown"}  # 3 x 0.031


def test_comparisons_without_a_test_are_no_part_of_a_family(make_record: RecordMaker) -> None:
    adam = runs(make_record, "adam", [0.7] * 6)
    tested = compared(adam, runs(make_record, "sam", [0.8] * 6))
    untested = compared(adam, [])
    found = with_holm([tested, untested])
    assert (found[0].p_holm, found[1].p_holm) == (2 / 64, None)


def test_every_metric_has_its_own_name_and_column() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert len({metric.column for metric in METRICS}) == len(METRICS)
    higher = {metric.name for metric in METRICS if metric.higher_is_better}
    assert higher == {
        *("accuracy", "balanced_accuracy", "auroc", "sensitivity", "specificity", "f1"),
        *("robust_accuracy", "speckle_accuracy", "noise_accuracy", "gain_accuracy"),
        *("blur_accuracy", "gamma_accuracy", "zero_mass"),
    }


def test_an_unknown_metric() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        find_metric("acuracy")
