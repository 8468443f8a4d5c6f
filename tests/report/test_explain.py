"""The way from record files to a number, worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sambench.analysis.cells import find_cell
from sambench.analysis.panels import build_panels
from sambench.report.explain import explain
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def explained(records: Sequence[RunRecord], query: str) -> tuple[str, ...]:
    panels = build_panels(records, "adam")
    return explain(find_cell(query, panels), lambda record: Path("runs") / record.name / "run.json")


def test_every_run_with_its_file_and_the_arithmetic(make_record: RecordMaker) -> None:
    adam = [make_record(seed=s, accuracy=a) for s, a in enumerate((0.5, 0.6, 0.7))]
    sam = [make_record("sam", seed=s, accuracy=a) for s, a in enumerate((0.6, 0.8, 0.7))]
    gsam = [make_record("gsam", seed=s, accuracy=0.9) for s in range(3)]
    failed = make_record("sam", seed=9, status="failed")
    lines = explained([*adam, *sam, *gsam, failed], "sam/accuracy")
    assert lines == (
        "small-cnn on phantom/sam/test accuracy",
        "field of the record: final.test.accuracy x 100",
        "",
        f"  60           runs/{sam[0].name}/run.json",
        f"  80           runs/{sam[1].name}/run.json",
        f"  70           runs/{sam[2].name}/run.json",
        f"  not counted  runs/{failed.name}/run.json: failed",
        "",
        "mean = (60 + 80 + 70) / 3 = 70",
        "SD = sqrt(sum of (value - mean)^2 / (n - 1)) = 10, n = 3",
        "",
        "difference to adam, by pairs of runs of the same seed and fold:",
        f"  60 - 50 = +10  {sam[0].name} against {adam[0].name}",
        f"  80 - 60 = +20  {sam[1].name} against {adam[1].name}",
        f"  70 - 70 = +0  {sam[2].name} against {adam[2].name}",
        f"  not paired  {failed.name}: failed",
        "mean difference = (10 + 20 + 0) / 3 = +10 points",
        "95 % interval (Student t) = +10 ± 24.8414 = -14.8414 .. +34.8414",
        "  ± t(0.975, 2 degrees) x SE, SE = SD x sqrt(1 / n), SD of the 3 differences = 10",
        "p = 0.5, two-sided: sign-flip permutation, exact (8 flips)",
        "  4 of 8 choices of signs give a sum at least as far from 0 as +30",
        "adjusted p = 0.5: Holm over 2 optimizers; p is number 2 from the smallest, so it is the "
        "largest of (2 - i + 1) p(i) for i = 1 .. 2, at most 1",
        "Cohen's dz = mean / SD of the differences = +1",
        "P(better) = share of all pairs of a run of each side in which the candidate is better, "
        "ties half = 0.7778",
        "verdict: too few pairs",
    )


def test_collapsed_runs_do_not_count_for_curvature(make_record: RecordMaker) -> None:
    runs = [
        make_record(seed=s, collapsed=s == 1, hessian={"top": {"value": float(s)}})
        for s in range(3)
    ]
    lines = explained([*runs, make_record(seed=3)], "adam/top")
    assert "mean = (0 + 2) / 2 = 1" in lines
    assert (
        f"  not counted  runs/{runs[1].name}/run.json: it predicts one class for every test image "
        "(collapsed)"
    ) in lines
    assert any(line.endswith("no hessian.top.value") for line in lines)
    assert not any(line.startswith("difference") for line in lines)


def test_folds_are_explained_by_their_parts(make_record: RecordMaker) -> None:
    """Differences of the folds, seeds averaged: 1, 2, 3 points; n_test / n_train is 8 / 32.

    SE = sqrt(1/3 + 1/4) * 1 and t(2) = 4.3027 make the half width 3.28621.
    """
    runs = [
        make_record(name, split="kfold-3", fold=f, seed=s, accuracy=0.5 + gain * f / 100)
        for name, gain in (("adam", 0), ("sam", 1))
        for f in (1, 2, 3)
        for s in range(2)
    ]
    lines = explained(runs, "sam/accuracy")
    assert (
        "mean difference = (1 + 2 + 3) / 3 = +2 points (the seeds of each test part averaged first)"
    ) in lines
    assert "95 % interval (corrected resampled t) = +2 ± 3.28621 = -1.28621 .. +5.28621" in lines
    assert (
        "  ± t(0.975, 2 degrees) x SE, SE = SD x sqrt(1 / n + n_test / n_train), SD of the 3 "
        "differences = 1"
    ) in lines


def test_one_run_and_no_pair(make_record: RecordMaker) -> None:
    lines = explained([make_record(seed=1), make_record("sam")], "sam/time")
    assert "SD: one run has none" in lines
    assert lines[-1] == "no pair, no difference"


def test_nothing_counts(make_record: RecordMaker) -> None:
    flat = make_record(collapsed=True, hessian={"top": {"value": 0.0}})
    assert explained([flat], "adam/top")[-1] == "no run counts"
