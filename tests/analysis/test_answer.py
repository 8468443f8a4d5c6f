"""The answer of a study, from runs made so that it is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from sambench.analysis.answer import (
    ALL_COLLAPSED,
    ALONE,
    NO_BASELINE,
    NO_PAIR,
    NO_RUN,
    NOT_SHOWN,
    OUT_OF_REACH,
    SHOWN,
    Answer,
    answers,
)
from sambench.analysis.panels import build_panels
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def runs(
    make_record: RecordMaker,
    optimizer: str,
    accuracies: Sequence[float],
    *,
    top: float | None = None,
    **settings: object,
) -> list[RunRecord]:
    return [
        make_record(
            optimizer,
            seed=seed,
            accuracy=accuracy,
            hessian=None if top is None else {"top": {"value": top + seed, "converged": True}},
            **settings,
        )
        for seed, accuracy in enumerate(accuracies)
    ]


def answer(records: Sequence[RunRecord], baseline: str = "adam") -> Answer:
    (found,) = answers(build_panels(records, baseline), baseline)
    return found


def test_the_most_accurate_of_those_that_are_better(make_record: RecordMaker) -> None:
    found = answer(
        [
            *runs(make_record, "adam", [0.70] * 8, top=100.0, passes=100, seconds=10),
            *runs(make_record, "sam", [0.80] * 8, top=10.0, passes=200, seconds=15),
            *runs(make_record, "gsam", [0.75] * 8, top=200.0, passes=300),
            *runs(make_record, "asam", [0.60] * 8, top=20.0),
        ]
    )
    assert (found.standing, found.optimizer) == (SHOWN, "sam")
    assert (found.better, found.worse, found.flatter) == (
        ("sam", "gsam"),
        ("asam",),
        ("asam", "sam"),
    )
    assert found.accuracy is not None
    assert found.accuracy.difference == pytest.approx(10.0)
    assert found.accuracy.p_holm == 3 / 128
    assert (found.gradient_evaluations, found.train_seconds) == (2.0, 1.5)
    assert found.flatness is not None
    assert (found.flatness.candidate, found.flatness.difference) == ("sam", -90.0)


def test_a_large_mean_without_certainty_loses_to_a_sure_gain(make_record: RecordMaker) -> None:
    found = answer(
        [
            *runs(make_record, "adam", [0.5] * 8),
            *runs(make_record, "sam", [0.9, 0.1, 0.9, 0.1, 0.9, 0.4, 0.9, 0.4]),
            *runs(make_record, "gsam", [0.51] * 8),
        ]
    )
    assert (found.optimizer, found.better) == ("gsam", ("gsam",))


def test_a_tie_is_no_answer_but_said(make_record: RecordMaker) -> None:
    found = answer(
        [
            *runs(make_record, "adam", [0.7, 0.8] * 5),
            *runs(make_record, "sam", [0.8, 0.7] * 5),
        ]
    )
    assert (found.standing, found.optimizer, found.better) == (NOT_SHOWN, "sam", ())


def test_equal_numbers_are_no_difference(make_record: RecordMaker) -> None:
    found = answer([*runs(make_record, "adam", [0.7] * 8), *runs(make_record, "sam", [0.7] * 8)])
    assert found.standing == NOT_SHOWN


def test_all_are_worse(make_record: RecordMaker) -> None:
    found = answer([*runs(make_record, "adam", [0.7] * 8), *runs(make_record, "sam", [0.6] * 8)])
    assert (found.standing, found.worse) == (NOT_SHOWN, ("sam",))


@pytest.mark.parametrize(("seeds", "needed"), [(1, 6), (5, 6)])
def test_too_few_pairs_are_out_of_reach(make_record: RecordMaker, seeds: int, needed: int) -> None:
    found = answer(
        [*runs(make_record, "adam", [0.1] * seeds), *runs(make_record, "sam", [0.9] * seeds)]
    )
    assert (found.standing, found.needed) == (OUT_OF_REACH, needed)


def test_a_family_too_large_for_its_pairs_is_out_of_reach(make_record: RecordMaker) -> None:
    names = ("sam", "gsam", "asam")
    found = answer(
        [
            *runs(make_record, "adam", [0.1] * 6),
            *(run for name in names for run in runs(make_record, name, [0.9] * 6)),
        ]
    )
    assert (found.standing, found.needed) == (OUT_OF_REACH, 7)


def test_folds_are_one_answer_by_the_corrected_t(make_record: RecordMaker) -> None:
    records = [
        make_record(name, split="kfold-5", fold=fold, seed=seed, accuracy=accuracy + fold / 1000)
        for name, accuracy in (("adam", 0.7), ("sam", 0.8))
        for fold in range(1, 6)
        for seed in range(2)
    ]
    noisy = [
        make_record("gsam", split="kfold-5", fold=f, seed=s, accuracy=0.7 + (f - 3) / 20)
        for f in range(1, 6)
        for s in range(2)
    ]
    found = answer([*records, *noisy])
    assert (found.standing, found.better) == (SHOWN, ("sam",))
    assert found.accuracy is not None
    assert found.accuracy.test.startswith("Nadeau-Bengio")


def test_every_run_collapsed(make_record: RecordMaker) -> None:
    found = answer([make_record(name, collapsed=True) for name in ("adam", "sam")])
    assert (found.standing, found.collapsed, found.accuracy) == (ALL_COLLAPSED, 2, None)


def test_a_collapsed_run_is_never_flat(make_record: RecordMaker) -> None:
    flat = runs(make_record, "sam", [0.5] * 8, top=0.0, collapsed=True)
    found = answer([*runs(make_record, "adam", [0.7] * 8, top=50.0), *flat])
    assert (found.flatness, found.flatter, found.worse) == (None, (), ("sam",))


def test_no_baseline(make_record: RecordMaker) -> None:
    found = answer([*runs(make_record, "gsam", [0.7]), *runs(make_record, "sam", [0.8, 0.9])])
    assert (found.standing, found.accuracy) == (NO_BASELINE, None)
    assert found.highest is not None
    assert (found.highest[0], found.highest[1].n) == ("sam", 2)


def test_a_baseline_that_failed_is_none(make_record: RecordMaker) -> None:
    assert answer([make_record(status="failed"), make_record("sam")]).standing == NO_BASELINE


def test_the_baseline_alone(make_record: RecordMaker) -> None:
    assert answer(runs(make_record, "adam", [0.7] * 3)).standing == ALONE


def test_no_seed_in_common(make_record: RecordMaker) -> None:
    assert answer([make_record(seed=0), make_record("sam", seed=1)]).standing == NO_PAIR


def test_nothing_completed(make_record: RecordMaker) -> None:
    assert answer([make_record(status="failed")]).standing == NO_RUN


def test_an_answer_for_each_setting(make_record: RecordMaker) -> None:
    records = [
        *runs(make_record, "adam", [0.7] * 8),
        *runs(make_record, "sam", [0.8] * 8),
        *runs(make_record, "adam", [0.7] * 8, model="vgg16"),
        *runs(make_record, "sam", [0.6] * 8, model="vgg16"),
        *runs(make_record, "sam", [0.6] * 8, dataset="bus"),
    ]
    found = answers(build_panels(records, "adam"), "adam")
    assert [one.standing for one in found] == [NO_BASELINE, SHOWN, NOT_SHOWN]


def test_the_trace_stands_in_for_a_top_eigenvalue_that_nobody_measured(
    make_record: RecordMaker,
) -> None:
    records = [
        make_record(name, seed=seed, hessian={"trace": {"value": value}})
        for name, value in (("adam", 9.0), ("sam", 1.0))
        for seed in range(8)
    ]
    found = answer(records)
    assert found.flatness is not None
    assert (found.flatness.metric.name, found.flatter) == ("trace", ("sam",))
