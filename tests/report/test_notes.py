"""What went wrong, in words, and where seeds are too few."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sambench.analysis.grouping import build_groups
from sambench.analysis.metrics import find_metric
from sambench.analysis.troubles import Trouble, troubles
from sambench.report.answer import said as of_answer
from sambench.report.notes import few_batches, place_of, positive_class, problems, said, too_few
from tests.conftest import RecordMaker


def test_nothing() -> None:
    section = problems((), (), (), ())
    assert section.paragraphs == ("Nothing: every run is completed, and no measurement failed.",)


def test_one_run_and_its_cause() -> None:
    one = Trouble("Failed", {"a": "out of memory"}, "Do it.")
    section = problems((one,), ("x is damaged",), (), ())
    assert section.items == (
        "Record not counted: x is damaged.",
        "Failed: 1 run. Do it. Runs: a (out of memory).",
    )


def test_a_lost_run_is_told_once(make_record: RecordMaker) -> None:
    lost = make_record("sam", seed=1, status="diverged", error="the loss is not finite")
    groups = build_groups([make_record("adam"), make_record("sam"), lost], "adam")
    (item,) = problems(troubles(groups, (), "study.yaml", {}), (), groups, ()).items
    assert item.startswith("Diverged (in no mean; p of accuracies and AUROC counts it")
    assert item.endswith(f"Runs: {lost.name} (the loss is not finite).")


def test_what_rounding_left_of_perturbations_is_said_once(make_record: RecordMaker) -> None:
    """Half of the weights changed: the mean of two runs; a run without rounding says nothing."""
    runs = [make_record("adam"), make_record("sam", seed=2)]
    for seed, changed, cosine in ((0, 0.4, 0.6), (1, 0.6, 0.8)):
        rounding = {"precision": "bf16", "changed": changed, "cosine": cosine, "norm_ratio": 1.0}
        runs.append(replace(make_record("sam", seed=seed), sharpness={"rounding": rounding}))
    assert problems((), (), build_groups(runs, "adam"), ()).items == (
        "small-cnn on phantom, SAM: rounding to bf16 changed its perturbation in 50 % of the "
        "weights and left a cosine of 0.70 with the one asked for (mean of the runs); only fp32 "
        "perturbs exactly.",
    )


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ({"threads": 2, "runs_on_device": 1}, "a CPU (2 threads each)"),
        ({"threads": 1, "runs_on_device": 3}, "a CPU (3 runs at once, 1 thread each)"),
        ({"threads": 8, "runs_on_device": 1, "gpu": "a GPU"}, "a GPU"),
    ],
)
def test_where_a_run_was_timed(place: dict[str, object], told: str) -> None:
    assert place_of({"cpu": "a CPU", **place}) == told


def test_very_many_runs_are_counted() -> None:
    runs = {f"run {k}": "cause" for k in range(30)}
    many = Trouble("Failed", runs, "Do it.")
    (item,) = problems((many,), (), (), ()).items
    assert item.startswith("Failed: 30 runs.")
    assert "run 19 and 10 more; causes: cause (30)" in item


def test_too_few_seeds_with_the_remedy(make_record: RecordMaker) -> None:
    runs = [make_record(name, seed=s) for name in ("adam", "sam") for s in range(3)]
    assert too_few(build_groups(runs, "adam")) == (
        "small-cnn on phantom: 3 seeds cannot show any difference between optimizers; "
        "at least 6 are needed (`--seeds 6`, or `seeds: 6` in the suite).",
    )
    enough = [make_record(name, seed=s) for name in ("adam", "sam") for s in range(6)]
    assert too_few(build_groups(enough, "adam")) == ()
    folds = [
        make_record(name, fold=f, split="kfold-2", seed=s)
        for name in ("adam", "sam")
        for f in range(2)
        for s in range(9)
    ]
    assert "2 folds cannot show any difference" in too_few(build_groups(folds, "adam"))[0]


def test_a_small_share_of_leaked_images_is_not_called_none() -> None:
    assert said("doubts", leaked=1 / 2000, apart=0).startswith("Up to 0.05 % of the test images")


def test_all_test_images_are_100_percent_of_them_and_one_is_the_one() -> None:
    assert said("doubts", leaked=1.0, apart=0).startswith("Up to 100 % of the test images")
    assert said("doubts", leaked=0.998, apart=0).startswith("Up to 100 % of the test images")
    assert said("doubts", leaked=0.123, apart=0).startswith("Up to 12 % of the test images")
    assert said("few_images", images=1, margin=1.0).startswith(
        "The one test image is 100 points, more than the margin of 1 point:"
    )


def test_all_settings_with_too_few_seeds_are_said_to_be_all() -> None:
    facts = {"unit": "seed", "name": "AUROC"}
    assert "(all with too few seeds to show any)" in of_answer("silent", settings=3, few=3, **facts)
    assert "(2 of them with too few" in of_answer("silent", settings=3, few=2, **facts)


@pytest.mark.parametrize(
    ("batches", "told"),
    [
        (1, "one batch of each run, so there is no spread"),
        (2, "two batches of each run, so the median is the mean"),
        (3, None),
    ],
)
def test_a_median_of_two_batches_is_said_to_be_their_mean(
    make_record: RecordMaker, batches: int, told: str | None
) -> None:
    section = {"median": 2.0, "std": 1.0, "batch_spectrum": {"measured_batches": batches}}
    (group,) = build_groups([make_record("adam", hessian=section), make_record("sam")], "adam")
    columns = [find_metric(name) for name in ("accuracy", "median", "sd")]
    assert few_batches(group, columns) == (
        () if told is None else (f"Hessian median and Hessian SD are over {told}.",)
    )
    assert few_batches(group, columns[:1]) == ()
    (alone,) = build_groups([make_record("sam")], "adam")
    assert few_batches(alone, columns) == ()


def test_which_class_sensitivity_is_of_is_said(make_record: RecordMaker) -> None:
    asked, none = [[find_metric(name)] for name in ("sensitivity", "auroc")]

    def of(*classes: str) -> tuple[str, ...]:
        run = make_record("adam")
        run = run.with_sections(data={**(run.data or {}), "classes": list(classes)})
        (group,) = build_groups([run], "adam")
        assert positive_class(group, none) == ()
        return positive_class(group, asked)

    assert of("normal", "tumour") == (
        "tumour is the positive class: sensitivity is of its images, "
        "specificity of those of normal.",
    )
    assert of("a", "b", "c") == (
        "Sensitivity, specificity and F1 are means over the 3 classes, each against the rest.",
    )
