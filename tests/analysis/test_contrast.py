from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sambench.analysis.contrast import Contrast, contrast_optimizers, contrast_runs
from sambench.analysis.frame import frame
from sambench.analysis.metrics import find_metrics
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

METRICS = find_metrics(["accuracy"])


def between(one: list[RunRecord], other: list[RunRecord]) -> Contrast:
    return contrast_runs(frame(one), frame(other), METRICS, names=("old", "new"))


def test_optimizers_under_every_shared_setting(make_record: RecordMaker) -> None:
    records = [
        make_record(name, dataset=dataset, seed=seed)
        for name in ("adam", "sam")
        for dataset in ("bus", "phantom")
        for seed in range(3)
    ]
    found = contrast_optimizers(records, "adam", "sam", METRICS)
    assert [(c.setting, c.baseline, c.candidate, c.n) for c in found.comparisons] == [
        ("small-cnn on bus", "adam", "sam", 3),
        ("small-cnn on phantom", "adam", "sam", 3),
    ]
    assert found.unmatched == ()
    assert all(c.p_holm == 1.0 for c in found.comparisons)


def test_an_optimizer_missing_under_a_setting(make_record: RecordMaker) -> None:
    records = [make_record("adam"), make_record("sam"), make_record("sam", dataset="bus")]
    found = contrast_optimizers(records, "adam", "sam", METRICS)
    assert len(found.comparisons) == 1
    assert found.unmatched == ("small-cnn on bus: only sam",)


def test_a_name_stands_for_its_variants_and_a_label_for_one(make_record: RecordMaker) -> None:
    sams = [make_record({"name": "sam", "rho": rho}) for rho in (0.05, 0.1)]
    records = [make_record("adam"), *sams]
    names = [c.candidate for c in contrast_optimizers(records, "adam", "sam", METRICS).comparisons]
    assert names == ["sam (rho=0.05)", "sam (rho=0.1)"]
    found = contrast_optimizers(records, "sam (rho=0.05)", "sam (rho=0.1)", METRICS)
    assert [(c.baseline, c.candidate) for c in found.comparisons] == [
        ("sam (rho=0.05)", "sam (rho=0.1)")
    ]


def test_what_separates_two_sets_is_named_and_not_matched(make_record: RecordMaker) -> None:
    short = [make_record(name, epochs=5, seed=s) for name in ("adam", "sam") for s in (0, 1)]
    long = [make_record(name, epochs=50, seed=s) for name in ("adam", "sam") for s in (0, 1)]
    found = between(short, long)
    assert [c.setting for c in found.comparisons] == [
        "adam, small-cnn on phantom (epochs 5 against 50)",
        "sam, small-cnn on phantom (epochs 5 against 50)",
    ]
    assert {(c.baseline, c.candidate, c.n) for c in found.comparisons} == {("old", "new", 2)}


def test_variants_within_a_set_stay_apart(make_record: RecordMaker) -> None:
    def grid(epochs: int) -> list[RunRecord]:
        rhos = [{"name": "sam", "rho": rho} for rho in (0.05, 0.1)]
        return [make_record(o, epochs=epochs, seed=s) for o in rhos for s in (0, 1)]

    found = between(grid(5), grid(6))
    assert [c.n for c in found.comparisons] == [2, 2]
    assert found.unmatched == ()


def test_seeds_are_never_what_separates(make_record: RecordMaker) -> None:
    (found,) = between([make_record(seed=0)], [make_record(seed=1)]).comparisons
    assert found.n == 0
    assert len(found.unpaired) == 2


def test_the_same_configuration_twice_is_two_commits(make_record: RecordMaker) -> None:
    old = [make_record(seed=s, accuracy=0.7) for s in range(6)]
    new = [make_record(seed=s, accuracy=0.8) for s in range(6)]
    (found,) = between(old, new).comparisons
    assert (found.n, found.verdict) == (6, "better")


def test_settings_of_one_side_only(make_record: RecordMaker) -> None:
    one = [make_record("adam"), make_record("sam"), make_record("sam", batch_size=32)]
    other = [make_record("sam"), make_record("gcsam")]
    found = between(one, other)
    assert len(found.comparisons) == 1
    assert found.unmatched == (
        "adam, small-cnn on phantom: only in old",
        "gcsam, small-cnn on phantom: only in new",
        "sam, small-cnn on phantom: 1 runs of old under settings of their own",
    )


def on_images(record: RunRecord, fingerprint: str) -> RunRecord:
    return replace(record, data={**(record.data or {}), "fingerprint": fingerprint})


def test_optimizers_on_other_images_are_never_paired(make_record: RecordMaker) -> None:
    records = [on_images(make_record("adam", seed=s), "old") for s in range(3)]
    records += [on_images(make_record("sam", seed=s), "new") for s in range(3)]
    found = contrast_optimizers(records, "adam", "sam", METRICS)
    assert found.comparisons == ()
    assert found.unmatched == (
        "small-cnn on phantom: only adam",
        "small-cnn on phantom: only sam",
    )


def test_sets_of_runs_on_other_images_say_so(make_record: RecordMaker) -> None:
    runs = [make_record(seed=s) for s in range(3)]
    found = between(runs, [on_images(run, "new") for run in runs])
    assert [c.setting for c in found.comparisons] == ["adam, small-cnn on phantom (other images)"]
