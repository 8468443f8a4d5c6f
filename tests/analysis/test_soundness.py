"""Records that were altered by hand, and the good ones beside them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sambench.analysis.soundness import sound
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def altered(record: RunRecord, section: str, **values: Any) -> RunRecord:
    return replace(record, **{section: {**(getattr(record, section) or {}), **values}})


def with_test(record: RunRecord, **values: Any) -> RunRecord:
    return altered(record, "final", test={**(record.final or {})["test"], **values})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda r: with_test(r, accuracy="0.9"), "its final.test.accuracy is '0.9', no fraction"),
        (lambda r: with_test(r, accuracy=91.7), "its final.test.accuracy is 91.7, no fraction"),
        (lambda r: with_test(r, accuracy=True), "its final.test.accuracy is True, no fraction"),
        (lambda r: with_test(r, accuracy=None), "its final.test.accuracy is None, no fraction"),
        (lambda r: with_test(r, auroc=-0.1), "its final.test.auroc is -0.1, no fraction"),
        (
            lambda r: with_test(r, robust={"gain": [0.5, "x"]}),
            "its final.test.robust.gain is [0.5, 'x'], no number",
        ),
        (lambda r: with_test(r, accuracy=math.nan), "its final.test.accuracy is nan, no fraction"),
        (lambda r: replace(r, final=None), "its final.test.accuracy is None, no fraction"),
        (lambda r: replace(r, cost=None), "its cost.train_seconds is None, no amount"),
        (
            lambda r: replace(r, hessian={"top": {"value": [], "x": 1}, "samples": "many"}),
            "its hessian.samples is 'many', no number",
        ),
        (lambda r: altered(r, "data", test="8"), "its data.test is '8', no number"),
        (lambda r: altered(r, "cost", train_seconds={}), "its cost.train_seconds is {}, no amount"),
    ],
)
def test_what_cannot_be_believed_is_left_out(
    make_record: RecordMaker, change: Any, why: str
) -> None:
    good, bad = make_record(seed=0), change(make_record(seed=1))
    assert sound([bad, good]) == ([good], [f"run {bad.name} is left out: {why}; run it again"])


def test_what_is_not_completed_needs_no_numbers(make_record: RecordMaker) -> None:
    runs = [make_record(status="failed"), make_record(seed=1, status="running")]
    assert sound(runs) == (runs, [])


def test_numbers_that_overflowed_are_sound(make_record: RecordMaker) -> None:
    run = with_test(make_record(hessian={"top": {"value": float("inf")}}), loss=float("nan"))
    assert sound([run]) == ([run], [])


def test_a_copied_folder_counts_once(make_record: RecordMaker) -> None:
    run = make_record()
    kept, messages = sound([run, run])
    assert kept == [run]
    assert messages == [f"run {run.name} lies in two folders and is counted once"]
