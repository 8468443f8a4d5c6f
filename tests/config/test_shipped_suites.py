"""The suites that come with the package: they expand, and ask for what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from sambench.analysis.inference import SEEDS
from sambench.config.run_config import RunConfig
from sambench.config.search import plan_search
from sambench.config.suite import Suite
from sambench.config.suite_file import load_suite, shipped_suites
from sambench.optim.method import optimizers
from sambench.report.notes import planned_groups, too_few

SHIPPED = list(shipped_suites().values())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_suite_expands(path: Path) -> None:
    suite = load_suite(path)
    runs = suite.expand(lambda *_: ())
    assert len({run.id for run in runs}) == len(runs) >= len(suite.seeds)
    assert suite.report.baseline in {run.optimizer["name"] for run in runs}


def test_there_are_shipped_suites() -> None:
    shipped = {path.stem for path in SHIPPED}
    assert shipped >= {"demo", "paper-bus", "gcsam", "bus-folds", "equal-compute", "tuned"}
    assert shipped >= {"small-study", "paper-phantom"}


def shipped(name: str) -> tuple[Suite, tuple[RunConfig, ...]]:
    suite = load_suite(Path(name))
    return suite, suite.expand(lambda *_: ())


COUNTED = [
    "breast-ultrasound",
    "paper-bus",
    "gcsam",
    "bus-folds",
    "equal-compute",
    "small-study",
    "paper-phantom",
]


@pytest.mark.parametrize("name", sorted({path.stem for path in SHIPPED} - {"demo"}))
def test_a_shipped_suite_can_show_a_difference(name: str) -> None:
    suite, runs = shipped(name)
    assert too_few(planned_groups(runs, suite.report)) == ()


@pytest.mark.parametrize("name", COUNTED)
def test_a_shipped_suite_says_how_many_runs_it_has(name: str) -> None:
    _, runs = shipped(name)
    comment = shipped_suites()[name].read_text().partition("name:")[0].replace("\n# ", " ")
    assert f" {len(runs)} runs." in comment


def test_comments_say_how_many_seeds_the_test_needs() -> None:
    comments = {path.stem: path.read_text().replace("\n# ", " ") for path in SHIPPED}
    said = {
        name: re.findall(r"(\w+) (?:seeds )?are the fewest that can show", comment)
        for name, comment in comments.items()
    }
    assert {name for name, numbers in said.items() if numbers} == {
        "equal-compute", "gcsam", "paper-bus"
    }  # fmt: skip
    assert {number.lower() for numbers in said.values() for number in numbers} == {"six"}
    assert SEEDS.least_units == 6
    assert not [name for name, comment in comments.items() if "Holm" in comment]


def test_paper_bus_is_the_papers_protocol() -> None:
    suite, runs = shipped("paper-bus")
    names = {"adam", "sam", "asam", "gsam", "wsam", "crsam"}
    assert {run.optimizer["name"] for run in runs} == names
    assert {run.model for run in runs} == {"resnet50", "vgg16", "vit", "swin"}
    for run in runs:
        assert (run.dataset, run.split, run.validation) == ("bus", "holdout", 0.0)
        assert (run.optimizer["base"], run.optimizer["lr"], run.batch_size) == ("adam", 1e-4, 16)
        assert (run.stop.rule, run.stop.value) == ("train-accuracy", 1.0)
        assert (run.pretrained, run.augmentation, run.schedule) == (False, "none", "constant")
    fed = {table.table: sum(map(table.where.matches, runs)) for table in suite.tables}
    assert fed == {"1": 4 * 8, "2": 6 * 8, "3": 6 * 8, "4": 6 * 8, "5": 6 * 8}


def test_paper_phantom_is_paper_bus_on_phantom_images() -> None:
    _, runs = shipped("paper-phantom")
    _, theirs = shipped("paper-bus")
    assert {run.optimizer["name"] for run in runs} - {r.optimizer["name"] for r in theirs} == {
        "gcsam"
    }
    same = {replace(run, dataset="bus").id for run in runs if run.optimizer["name"] != "gcsam"}
    assert same == {run.id for run in theirs}


def test_gcsam_is_the_authors_script() -> None:
    _, runs = shipped("gcsam")
    assert {run.optimizer["name"] for run in runs} == {"adam", "sam", "gcsam"}
    assert {run.optimizer.get("rho", 0.05) for run in runs} == {0.05}
    assert {(run.model, run.epochs, run.stop.rule, run.stop.value) for run in runs} == {
        ("resnet50", 120, "patience", 10.0)
    }
    assert {(run.dataset, run.image_size, run.batch_size) for run in runs} == {
        ("cifar10", 224, 128),
        ("cifar100", 224, 128),
        ("bus", 256, 32),
        ("covid-radiography", 224, 32),
    }


@pytest.mark.parametrize(
    ("name", "rate"), [("bus-folds", 0.01), ("equal-compute", 0.01), ("small-study", 0.1)]
)
def test_every_optimizer_takes_part_once(name: str, rate: float) -> None:
    _, runs = shipped(name)
    first = [run for run in runs if run.seed == 0 and run.fold in (None, 1)]
    each = [run.optimizer["name"] for run in first if run.epochs == first[0].epochs]
    assert sorted(map(str, each)) == [optimizer.name for optimizer in optimizers.list()]
    assert {run.optimizer["lr"] for run in runs if run.optimizer["name"] == "sgd"} == {rate}


def test_equal_compute_is_a_hundred_epochs_of_adam() -> None:
    """2,405 images, 481 of them for the test; 121 batches of 16."""
    _, runs = shipped("equal-compute")
    batches = -(-(2405 - round(0.2 * 2405)) // 16)
    assert {run.stop.value for run in runs} == {100 * batches}
    assert {run.epochs for run in runs} == {100}


def test_tuned_is_as_many_trials_for_everybody() -> None:
    suite, runs = shipped("tuned")
    assert suite.search is not None
    tunings = plan_search(suite.search, runs)
    assert [len(tuning.runs) for tuning in tunings] == [12] * 7
    assert len(runs) == 70


def test_breast_ultrasound_tuned_is_as_fair_as_it_says() -> None:
    """As many trials for each optimizer in each fold, of its value there and one on either side."""
    suite, runs = shipped("breast-ultrasound-tuned")
    _, theirs = shipped("breast-ultrasound")
    assert {run.id for run in runs} < {run.id for run in theirs}
    assert suite.search is not None
    tunings = plan_search(suite.search, runs)
    assert (len(runs), sum(len(tuning.runs) for tuning in tunings)) == (35, 105)
    for tuning in tunings:
        (given,) = tuning.untuned
        assert {run.fold for run in tuning.runs} == {given.fold}
        assert not {run.seed for run in tuning.runs} & {given.seed}
        (name,) = {key for trial in tuning.trials for key in trial.values}
        assert name == {"adam": "lr", "gsam": "rho_max"}.get(str(given.optimizer["name"]), "rho")
        tried = sorted(float(str(run.optimizer[name])) for run in tuning.runs)
        assert len(tried) == 3
        assert tried[1] == given.optimizer[name]
