"""One line has one name in all tables of a report, and is found in each by its hyperparameters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from sambench.analysis.contrast import contrast_optimizers, contrast_runs
from sambench.analysis.grouping import ambiguous_baseline, build_groups
from sambench.analysis.metrics import find_metric
from sambench.analysis.study import Study, build_study
from sambench.config.suite import ReportSettings
from sambench.report.answer import answer_text
from sambench.report.contrasts import contrast_tables
from sambench.report.differences import difference_tables
from sambench.report.methods import methods
from sambench.store.record import RunRecord
from tests.conftest import RecordMaker

Maker = Callable[..., list[RunRecord]]
SLOW, FAST = 0.003, 0.01


@pytest.fixture
def of_line(make_record: RecordMaker) -> Maker:
    """Make six seeds of an optimizer with some hyperparameters on a dataset."""

    def make(name: str, dataset: str, gain: float = 0.0, **values: object) -> list[RunRecord]:
        return [
            make_record({"name": name, **values}, dataset=dataset, seed=seed,
                        accuracy=0.8 + gain + 0.001 * seed)
            for seed in range(6)
        ]  # fmt: skip

    return make


def labels(study: Study) -> list[list[str]]:
    return [[line.label for line in group.lines] for group in study.groups]


def test_a_base_that_is_not_the_usual_one_is_told(of_line: Maker, make_record: RecordMaker) -> None:
    """Also where no namesake runs on another; an optimizer that is its own base needs no word."""
    for name in ("adam", "sgd"):
        runs = [*of_line(name, "phantom"), make_record({"name": "sam", "base": "sgd"})]
        study = build_study(runs, ReportSettings(baseline=name))
        assert labels(study) == [[name, "sam (base=sgd)"]]
        assert study.groups[0].lines[1].title == "SAM (base=sgd)"
        assert study.groups[0].lines[1].is_called("sam")


def test_of_two_bases_a_label_does_not_tell_what_each_brings_with_it(of_line: Maker) -> None:
    """It was SAM (base=sgd, momentum=0, dampening=0, weight_decay=0, nesterov=False)."""
    given = [{"base": "sgd"}, {"base": "adam"}, {"base": "adamw", "lr": SLOW}, {"base": "adamw"}]
    runs = [run for own in given for run in of_line("sam", "phantom", **own)]
    (found,) = labels(build_study(runs, ReportSettings(baseline="sam")))
    assert sorted(found) == [
        "sam (base=adamw, lr=0.0001)",
        "sam (base=adamw, lr=0.003)",
        "sam (base=sgd, lr=0.0001)",
        "sam (lr=0.0001)",
    ]


def test_one_more_line_in_one_setting_parts_nothing_from_its_like(of_line: Maker) -> None:
    runs = [
        run
        for dataset in ("phantom", "ph2")
        for name, gain in (("adam", 0.0), ("sam", 0.02), ("gcsam", 0.01))
        for run in of_line(name, dataset, gain, lr=SLOW)
    ]
    further = of_line("adam", "phantom", 0.01, lr=FAST)
    study = build_study([*runs, *further], ReportSettings(baseline="adam"))
    assert labels(study) == [
        ["adam (lr=0.003)", "gcsam", "sam"],
        ["adam (lr=0.003)", "adam (lr=0.01)", "gcsam", "sam"],
    ]
    assert {one.candidate: one.settings for one in study.pooled["accuracy"]} == {
        "gcsam": 2,
        "sam": 2,
    }
    text = " ".join(answer_text(study))
    assert "Over 2 settings, SAM" in text
    assert "a completed run in each of these settings: Adam (lr=0.01)." in text


def test_a_label_says_the_same_of_each_line_of_its_name(of_line: Maker) -> None:
    """SAM (rho=0.05) was said not to be run beside SAM (rho=0.05, lr=0.001) in the same table."""
    here = [
        *of_line("adam", "phantom", lr=SLOW),
        *of_line("sam", "phantom", lr=SLOW, rho=0.05),
        *of_line("sam", "phantom", lr=0.001, rho=0.05),
        *of_line("sam", "phantom", lr=SLOW, rho=0.1),
    ]
    there = [
        *of_line("adam", "ph2", lr=SLOW),
        *of_line("sam", "ph2", lr=SLOW, rho=0.05),
        *of_line("sam", "ph2", lr=SLOW, rho=0.1),
    ]
    study = build_study([*here, *there], ReportSettings(baseline="adam"))
    assert labels(study)[0] == ["adam", "sam (rho=0.05, lr=0.003)", "sam (rho=0.1, lr=0.003)"]
    text = " ".join(answer_text(study))
    assert "a completed run in each of these settings: SAM (rho=0.05, lr=0.001)" in text
    assert len(study.pooled["accuracy"]) == 2


def test_the_baseline_is_the_line_that_most_settings_have(of_line: Maker) -> None:
    runs = [
        *of_line("adam", "phantom", lr=0.001),
        *of_line("adam", "phantom", lr=SLOW),
        *of_line("sam", "phantom", 0.02, lr=SLOW),
        *of_line("adam", "ph2", lr=SLOW),
        *of_line("sam", "ph2", 0.02, lr=SLOW),
    ]
    study = build_study(runs, ReportSettings(baseline="adam"))
    assert [group.lines[0].label for group in study.groups] == ["adam (lr=0.003)"] * 2
    assert ambiguous_baseline(study.groups, "adam") == ("adam (lr=0.003)", "adam (lr=0.001)")
    (one,) = [one for one in study.pooled["accuracy"] if one.candidate == "sam"]
    assert one.settings == 2


def test_a_label_that_says_less_than_all_names_the_lines_that_it_fits(of_line: Maker) -> None:
    runs = [
        *of_line("adam", "phantom", lr=SLOW),
        *of_line("sam", "phantom", lr=SLOW, rho=0.05),
        *of_line("sam", "phantom", lr=SLOW, rho=0.1),
        *of_line("sam", "ph2", lr=SLOW, rho=0.05),
        *of_line("sam", "ph2", lr=FAST, rho=0.05),
    ]
    accuracy = [find_metric("accuracy")]
    study, unmatched = contrast_optimizers(runs, "adam", "sam (rho=0.05)", accuracy)
    assert [group.lines[1].label for group in study.groups] == ["sam (rho=0.05, lr=0.003)"]
    assert unmatched == ("small-cnn on ph2: only sam (rho=0.05)",)
    asked = build_study(runs, ReportSettings(baseline="sam (rho=0.05)"))
    assert all(group.baseline for group in asked.groups)
    assert ambiguous_baseline(asked.groups, "sam (rho=0.05)") == (
        "sam (rho=0.05, lr=0.003)",
        "sam (rho=0.05, lr=0.01)",
    )


def test_other_hyperparameters_by_setting_are_pooled_and_told(of_line: Maker) -> None:
    """As a search chooses them: SAM with rho 0.05 here and 0.2 there was one SAM without a word."""
    runs = [
        *of_line("adam", "phantom"),
        *of_line("sam", "phantom", 0.02, rho=0.05),
        *of_line("adam", "ph2"),
        *of_line("sam", "ph2", 0.02, rho=0.2),
    ]
    study = build_study(runs, ReportSettings(baseline="adam"))
    assert [one.settings for one in study.pooled["accuracy"]] == [2]
    told = "Pooled, though not the same in each setting: SAM's rho (0.2 and 0.05)."
    assert f"{told} Methods lists them." in " ".join(answer_text(study))
    pooled, *alone = difference_tables(study, ["accuracy"])
    assert pooled.notes == (told,)
    assert all(table.notes == () for table in alone)
    adam, *sams = methods(study).items
    assert "; for" not in adam
    assert "rho 0.05" in sams[0]
    assert sams[0].endswith("; for small-cnn on phantom.")
    assert "rho 0.2" in sams[1]
    assert sams[1].endswith("; for small-cnn on ph2.")
    contrasted, unmatched = contrast_optimizers(runs, "adam", "sam", [find_metric("accuracy")])
    over = contrast_tables(contrasted, unmatched)[0]
    assert over.notes == (told,)


def test_runs_under_settings_of_their_own_are_told_by_what_no_other_run_has(of_line: Maker) -> None:
    left = [run for rate in (0.1, FAST) for run in of_line("adam", "phantom", 0.01, lr=rate)]
    right = [
        *of_line("adam", "phantom", lr=SLOW),
        *(replace(run, config=replace(run.config, epochs=9)) for run in left[:6]),
    ]
    _, unmatched = contrast_runs(left, right, [find_metric("accuracy")], names=("old", "new"))
    assert unmatched == (
        "adam, small-cnn on phantom: 12 runs of old under settings of their own",
        "adam, small-cnn on phantom: 12 runs of new under settings of their own",
    )
    _, unmatched = contrast_runs(left, left[:6], [find_metric("accuracy")], names=("old", "new"))
    assert unmatched == (
        "adam, small-cnn on phantom: 6 runs of old under settings of their own (optimizer.lr 0.01)",
    )


def test_nothing_is_told_where_a_line_is_the_same_in_each_setting(of_line: Maker) -> None:
    runs = [
        run
        for dataset in ("phantom", "ph2")
        for name in ("adam", "sam")
        for run in of_line(name, dataset)
    ]
    study = build_study(runs, ReportSettings(baseline="adam"))
    assert "Pooled" not in " ".join(answer_text(study))
    assert not any("; for" in item for item in methods(study).items)


def test_settings_stand_in_the_order_of_their_values(make_record: RecordMaker) -> None:
    """Not in that of the hashes in the runs' names, which a reader takes for disorder."""
    sizes = (16, 2, 128, 4, 32)
    runs = [make_record(batch_size=size, seed=seed) for size in sizes for seed in (0, 1)]
    titles = [group.title for group in build_groups(runs, None)]
    assert titles == [f"small-cnn on phantom (batch_size={size})" for size in sorted(sizes)]
