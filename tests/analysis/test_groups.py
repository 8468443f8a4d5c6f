from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sambench.analysis.groups import Group, groups
from sambench.store.record import RunRecord

if TYPE_CHECKING:
    from tests.conftest import RecordMaker


def labels(records: list[RunRecord], baseline: str = "adam") -> list[str]:
    (comparison,) = groups(records, baseline)
    return [line.label for line in comparison.lines]


def test_nothing() -> None:
    assert groups([], "adam") == ()


def test_runs_that_differ_in_the_seed_repeat_each_other(make_record: RecordMaker) -> None:
    records = [make_record("sam", seed=seed) for seed in (2, 0, 1)]
    (comparison,) = groups(records, "adam")
    (line,) = comparison.lines
    assert [record.config.seed for record in line.records] == [0, 1, 2]
    assert line.optimizer["rho"] == 0.05


def test_runs_that_differ_in_the_fold_repeat_each_other(make_record: RecordMaker) -> None:
    pairs = [(1, 1), (0, 2), (1, 2), (0, 1)]
    records = [make_record(split="kfold-2", seed=seed, fold=fold) for seed, fold in pairs]
    (comparison,) = groups(records, "adam")
    (line,) = comparison.lines
    found = [(record.config.seed, record.config.fold) for record in line.records]
    assert found == [(0, 1), (0, 2), (1, 1), (1, 2)]


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "bus"},
        {"image_size": 64},
        {"model": "resnet18"},
        {"split": "kfold-5", "fold": 1},
        {"split_seed": 1},
        {"batch_size": 32},
        {"epochs": 6},
        {"stop": "train-accuracy"},
        {"selection": "best-validation"},
        {"schedule": "cosine"},
        {"augmentation": "flip-shift"},
        {"normalization": "standard"},
        {"precision": "bf16"},
        {"pretrained": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_runs_under_other_settings_are_not_compared(
    make_record: RecordMaker, change: dict[str, object]
) -> None:
    made = groups([make_record("adam"), make_record("sam", **change)], "adam")
    assert len(made) == 2
    assert all(len(comparison.lines) == 1 for comparison in made)


def test_the_baseline_comes_first_and_the_others_by_name(make_record: RecordMaker) -> None:
    records = [make_record(name) for name in ("gcsam", "adam", "sgd", "sam")]
    assert labels(records) == ["adam", "gcsam", "sam", "sgd"]
    assert labels(records, "sam") == ["sam", "adam", "gcsam", "sgd"]


def test_a_baseline_that_is_not_there(make_record: RecordMaker) -> None:
    assert labels([make_record("sgd"), make_record("sam")], "adam") == ["sam", "sgd"]


def test_the_order_of_the_records_does_not_matter(make_record: RecordMaker) -> None:
    records = [make_record(name, seed=seed) for name in ("adam", "sam") for seed in (0, 1)]

    def shown(made: tuple[Group, ...]) -> list[list[str]]:
        return [[r.name for line in c.lines for r in line.records] for c in made]

    assert shown(groups(records, "adam")) == shown(groups(records[::-1], "adam"))


def test_namesakes_are_told_apart_by_what_differs(make_record: RecordMaker) -> None:
    records = [
        make_record({"name": "sam", "rho": 0.1}),
        make_record({"name": "sam", "rho": 0.05}),
        make_record({"name": "sam", "rho": 0.05, "lr": 0.01}),
        make_record("adam"),
    ]
    assert labels(records) == [
        "adam",
        "sam (rho=0.05, lr=0.0001)",
        "sam (rho=0.05, lr=0.01)",
        "sam (rho=0.1, lr=0.0001)",
    ]


def test_one_setting_that_differs(make_record: RecordMaker) -> None:
    records = [make_record({"name": "sam", "rho": rho}) for rho in (0.05, 0.1)]
    assert labels(records) == ["sam (rho=0.05)", "sam (rho=0.1)"]


def test_choices_and_bases_that_differ(make_record: RecordMaker) -> None:
    records = [
        make_record({"name": "gcsam", "norm": "raw"}),
        make_record({"name": "gcsam", "norm": "centered"}),
    ]
    assert labels(records) == ["gcsam (norm=centered)", "gcsam (norm=raw)"]


def test_an_optimizer_without_namesakes_needs_no_settings(make_record: RecordMaker) -> None:
    assert labels([make_record({"name": "sam", "rho": 0.3})]) == ["sam"]


def test_only_completed_runs_count(make_record: RecordMaker) -> None:
    records = [
        make_record(seed=seed, status=status)
        for seed, status in enumerate(["completed", "failed", "running", "completed"])
    ]
    (comparison,) = groups(records, "adam")
    (line,) = comparison.lines
    assert [record.config.seed for record in line.completed] == [0, 3]
    assert len(line.records) == 4


def test_comparisons_are_in_order_of_dataset_and_model(make_record: RecordMaker) -> None:
    places = [("phantom", "small-cnn"), ("bus", "vgg16"), ("bus", "resnet18")]
    records = [make_record(dataset=dataset, model=model) for dataset, model in places]
    made = groups(records, "adam")
    assert [(c.setting.dataset, c.setting.model) for c in made] == sorted(places)
