"""Which runs stand together in a table, and which never do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from sambench.analysis.panels import build_panels
from sambench.store.record import NUMERICS, RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def on_images(record: RunRecord, **data: object) -> RunRecord:
    return replace(record, data={**(record.data or {}), **data})


def names(records: tuple[RunRecord, ...]) -> set[str]:
    return {record.name for record in records}


def test_every_other_line_is_compared_with_the_baseline(make_record: RecordMaker) -> None:
    runs = [make_record(name, seed=s) for name in ("sam", "adam", "gsam") for s in range(2)]
    (panel,) = build_panels(runs, "adam")
    assert panel.baseline is not None
    assert panel.baseline.label == "adam"
    assert [found.candidate for found in panel.by("accuracy")] == ["gsam", "sam"]
    assert {found.baseline for found in panel.comparisons} == {"adam"}
    assert panel.comparison("sam", "accuracy") is panel.by("accuracy")[1]
    assert panel.comparison("adam", "accuracy") is None


def test_without_the_baseline_nothing_is_compared(make_record: RecordMaker) -> None:
    (panel,) = build_panels([make_record("sam"), make_record("gsam")], "adam")
    assert (panel.baseline, panel.comparisons) == (None, ())


def test_only_what_was_measured_is_compared(make_record: RecordMaker) -> None:
    (panel,) = build_panels([make_record("adam"), make_record("sam")], "adam")
    assert {found.metric.name for found in panel.comparisons} == {
        *("accuracy", "train_seconds", "gradient_evaluations")
    }


@pytest.mark.parametrize("other", [{"fingerprint": "g"}, {"split_sha256": "another"}])
def test_other_images_are_never_averaged_in(
    make_record: RecordMaker, other: dict[str, object]
) -> None:
    usual = [make_record("adam", seed=seed) for seed in range(3)]
    odd = on_images(make_record("adam", seed=3, accuracy=0.1), **other)
    first, second = build_panels([odd, *usual], "adam")
    assert (names(first.records), names(second.records)) == (
        {record.name for record in usual},
        {odd.name},
    )
    assert (first.part, second.part) == (1, 2)
    assert first.title == "small-cnn on phantom (images 1 of 2)"


def test_runs_of_code_that_gives_other_numbers_are_apart(make_record: RecordMaker) -> None:
    old = replace(make_record(seed=1), numerics=NUMERICS + 1)
    assert len(build_panels([make_record(), old], "adam")) == 2


def test_other_images_are_never_paired(make_record: RecordMaker) -> None:
    adam = [make_record("adam", seed=seed) for seed in range(3)]
    sam = [on_images(make_record("sam", seed=seed), fingerprint="g") for seed in range(3)]
    assert [panel.comparisons for panel in build_panels([*adam, *sam], "adam")] == [(), ()]


def test_folds_have_splits_of_their_own(make_record: RecordMaker) -> None:
    runs = [
        on_images(make_record(name, split="kfold-3", fold=fold), split_sha256=str(fold))
        for name in ("adam", "sam")
        for fold in (1, 2, 3)
    ]
    (panel,) = build_panels(runs, "adam")
    assert [found.n for found in panel.by("accuracy")] == [3]


def test_a_run_without_data_stays_with_the_most(make_record: RecordMaker) -> None:
    failed = replace(make_record(seed=9, status="failed"), data=None)
    odd = on_images(make_record(seed=8), fingerprint="g")
    first, second = build_panels([odd, make_record(), make_record(seed=1), failed], "adam")
    assert failed.name in names(first.records)
    assert names(second.records) == {odd.name}


def test_namesakes_are_told_apart_by_what_differs(make_record: RecordMaker) -> None:
    runs = [make_record(epochs=5), make_record(epochs=6), make_record(model="vgg16")]
    assert [panel.title for panel in build_panels(runs, "adam")] == [
        "small-cnn on phantom (epochs=5)",
        "small-cnn on phantom (epochs=6)",
        "vgg16 on phantom",
    ]


def test_stop_rules_are_told_in_words(make_record: RecordMaker) -> None:
    runs = [make_record(), make_record(stop="train-accuracy=0.9")]
    assert sorted(panel.title for panel in build_panels(runs, "adam")) == [
        "small-cnn on phantom (stop=epochs)",
        "small-cnn on phantom (stop=train-accuracy=0.9)",
    ]


def test_no_records() -> None:
    assert build_panels([], "adam") == ()
