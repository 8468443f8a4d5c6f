"""The answer's sentences, in every situation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from sambench.analysis.answer import answers
from sambench.analysis.panels import build_panels
from sambench.report.answer import _points, answer_text
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def text(records: Sequence[RunRecord]) -> tuple[str, ...]:
    return answer_text(answers(build_panels(records, "adam"), "adam"), "adam")


def top(value: float) -> dict[str, object]:
    return {"top": {"value": value, "converged": True}}


def many(
    make_record: RecordMaker, optimizer: str, accuracy: float, **given: object
) -> list[RunRecord]:
    seeds = range(int(str(given.pop("seeds", 8))))
    return [make_record(optimizer, seed=s, accuracy=accuracy + s / 500, **given) for s in seeds]


def test_a_clear_win(make_record: RecordMaker) -> None:
    found = text(
        [
            *many(make_record, "adam", 0.70, hessian=top(1700.0)),
            *many(make_record, "sam", 0.80, hessian=top(50.0), passes=200, seconds=19),
            *many(make_record, "gsam", 0.75, hessian=top(40.0)),
            *many(make_record, "asam", 0.60, hessian=top(1800.0)),
        ]
    )
    assert found == (
        "For small-cnn on phantom, sam is more accurate than adam: 80.7 against 70.7 % of test "
        "images, +10.0 points (95 % interval +10.0 to +10.0, adjusted p = 0.023, 8 pairs of runs); "
        "so is gsam; less accurate is asam. sam takes 2.0 times the gradient evaluations and 1.9 "
        "times the training time of adam, and its minimum is flatter (top eigenvalue 50.0 against "
        "1700, adjusted p = 0.023, 8 pairs of runs); flatter than adam's too is the minimum of "
        "gsam.",
    )


def test_a_tie(make_record: RecordMaker) -> None:
    sam = [make_record("sam", seed=s, accuracy=(0.71, 0.70)[s % 2]) for s in range(8)]
    adam = [make_record("adam", seed=s, accuracy=(0.70, 0.71)[s % 2]) for s in range(8)]
    (found,) = text([*adam, *sam])
    assert found == (
        "For small-cnn on phantom, no optimizer can be told from adam as the more accurate one: of "
        "1 compared, none gains anything, and the least loss is sam's, 70.5 against 70.5 % of test "
        "images, +0.0 points (95 % interval -0.9 to +0.9, adjusted p = 1, 8 pairs of runs). sam "
        "takes 1.0 times the gradient evaluations and 1.0 times the training time of adam, and "
        "whether its minimum is flatter was not measured."
    )


def test_one_seed(make_record: RecordMaker) -> None:
    (found,) = text([make_record(), make_record("sam", accuracy=0.9), make_record("gsam")])
    assert found.startswith(
        "For small-cnn on phantom, one seed says nothing about which optimizer is better than "
        "adam, since p < 0.05 after Holm's correction over 2 optimizers takes 7 pairs: the largest "
        "gain is sam's, 90.0 against 75.0 % of test images, +15.0 points (adjusted p = 1, one "
        "pair of runs), and is no evidence. "
    )


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([("adam", {"collapsed": True})], "the one completed run predicts one class"),
        ([("adam", {"collapsed": True}), ("sam", {"collapsed": True})], "all 2 completed runs"),
        ([("sam", {})], "no completed run of the baseline adam"),
        ([("adam", {})], "only adam was run; the highest mean test accuracy is adam's, 75.0 (1) %"),
        ([("adam", {}), ("sam", {"seed": 1})], "no completed run shares seed and fold"),
        ([("adam", {"status": "failed"})], "no run is completed"),
    ],
)
def test_where_nothing_can_be_said_that_is_said(
    make_record: RecordMaker, runs: list[tuple[str, dict[str, object]]], said: str
) -> None:
    (found,) = text([make_record(name, **given) for name, given in runs])
    assert said in found


def test_collapsed_runs_among_the_compared_are_told(make_record: RecordMaker) -> None:
    (found,) = text(
        [
            *many(make_record, "adam", 0.5, collapsed=True, hessian=top(0.0)),
            *many(make_record, "sam", 0.9, hessian=top(9.0)),
        ]
    )
    assert "whether its minimum is flatter was not measured; 8 of the compared runs collapsed" in (
        found
    )


def test_several_settings_have_one_answer_above_theirs(make_record: RecordMaker) -> None:
    records = [
        run
        for model, gain in (("small-cnn", 0.1), ("vgg16", 0.2), ("resnet50", -0.1))
        for name, accuracy in (("adam", 0.5), ("sam", 0.5 + gain))
        for run in many(make_record, name, accuracy, model=model, passes=100)
    ]
    found = text([*records, make_record("sam", dataset="bus")])
    assert found[0] == (
        "In 2 of 4 settings an optimizer is shown to be more accurate than adam: sam in 2 (+10.0 "
        "to +20.0 points), and 1 of the settings cannot show any difference. What is named below "
        "costs 1.0 times adam's gradient evaluations, and flatness was not measured; p is "
        "corrected within each setting, not across them."
    )
    assert [re.match(r"For ([^,]*),", paragraph)[1] for paragraph in found[1:]] == [  # type: ignore[index]
        *("small-cnn on bus", "resnet50 on phantom"),
        *("small-cnn on phantom", "vgg16 on phantom"),
    ]


def test_none_of_several_settings(make_record: RecordMaker) -> None:
    records = [
        run
        for model in ("small-cnn", "vgg16")
        for name in ("adam", "sam")
        for run in many(make_record, name, 0.5, model=model)
    ]
    assert text(records)[0].startswith(
        "In none of 2 settings is an optimizer shown to be more accurate than adam. "
    )


@pytest.mark.parametrize(
    ("value", "text"), [(1.26, "+1.3"), (-0.04, "-0.04"), (0.0049, "+0.0049"), (0.0, "+0.0")]
)
def test_a_small_difference_keeps_its_sign(value: float, text: str) -> None:
    assert _points(value) == text
