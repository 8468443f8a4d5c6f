"""Fair tuning: as many trials for everybody, chosen on validation, final runs with fresh seeds."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from sambench.config.run_config import RunConfig
from sambench.config.search import TRIALS, Search, Tuning, declared_grid, plan_search
from sambench.errors import ConfigError, UnknownNameError
from sambench.optim.method import optimizers
from sambench.run.single_run import Paths, run_one
from sambench.store.record import RunRecord
from sambench.store.search_record import (
    AS_GIVEN,
    TUNED,
    Role,
    TuningRecord,
    choose_trial,
    found_now,
    is_trial,
    read_search,
    search_path,
    still_asked,
    write_search,
)


def config_of(optimizer: object = "sam", **settings: Any) -> RunConfig:
    given = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "epochs": 1}
    return RunConfig.from_dict({**given, "optimizer": optimizer, **settings})


def finals(optimizer: object = "sam", seeds: int = 2, **settings: Any) -> list[RunConfig]:
    return [config_of(optimizer, seed=seed, **settings) for seed in range(seeds)]


def recorded(run: RunConfig, accuracy: float = 0.5, loss: float = 1.0) -> RunRecord:
    part = {"accuracy": accuracy, "loss": loss}
    return RunRecord(
        config=run,
        status="completed",
        final={"validation": part, "test": {"accuracy": 1.0 - accuracy}},
        cost={"gradient_evaluations": 10, "train_seconds": 2.0},
    )


def records_of(tuning: Tuning, scores: list[tuple[float, float]]) -> dict[str, RunRecord]:
    return {
        run.id: recorded(run, *score)
        for trial, score in zip(tuning.trials, scores, strict=True)
        for run in trial.runs
    }


def search_of(**given: Any) -> Search:
    return Search.from_dict({"trials": 4, **given})


@pytest.mark.parametrize("info", optimizers.list(), ids=lambda info: info.name)
def test_every_optimizer_declares_a_grid_within_its_ranges(info: Any) -> None:
    given = config_of(info.name).optimizer
    grid = declared_grid(given)
    assert {"lr", "weight_decay"} <= set(grid)
    for name, values in grid.items():
        for value in values:
            info.resolve(str(given["base"]), {name: value})
        assert len(set(values)) == len(values) > 1
    own = set(info.hyperparameters) & set(grid)
    assert own or not info.hyperparameters
    for name in own:
        assert all(isinstance(value, float) for value in grid[name])
    assert len(Search(trials=12).candidates(config_of(info.name))) == 12


def test_the_grid_is_around_the_given_rate() -> None:
    grid = declared_grid(config_of("adam", lr=3e-4).optimizer)
    assert grid["lr"] == (3e-5, 9e-5, 3e-4, 9e-4, 3e-3)


def test_the_first_trial_is_the_optimizer_as_given() -> None:
    tuning = plan_search(search_of(), finals())[0]
    assert tuning.trials[0].values == {}
    assert tuning.trials[0].optimizer == config_of().optimizer
    assert all(trial.values for trial in tuning.trials[1:])
    assert len({run.id for run in tuning.runs}) == 4


def points_of(search: Search, run: RunConfig) -> list[dict[str, Any]]:
    return [values for values, _ in search.candidates(run)]


def test_values_are_tried_about_equally_often_and_always_the_same() -> None:
    grid = {"sam": {"rho": [0.1, 0.2, 0.3], "lr": [1e-3, 1e-2]}}
    search = search_of(trials=7, grids=grid)
    points = points_of(search, config_of())[1:]
    assert points == points_of(search, config_of())[1:]
    assert len({tuple(point.items()) for point in points}) == 6
    few = points_of(search_of(trials=4, grids=grid), config_of())[1:]
    assert Counter(point["rho"] for point in few) == {0.1: 1, 0.2: 1, 0.3: 1}


@pytest.mark.parametrize(
    "grid",
    [
        {"rho": [0.1, 0.1, 0.2, 0.2]},
        {"rho": [1, 1.0, 2, 2.0]},
        {"rho": [0.05, 0.1, 0.2]},  # the first is as given
        {"max_norm": [0, 1, 2]},  # the first is no clipping, as given, though no run names it
    ],
)
def test_no_point_is_tried_twice(grid: dict[str, list[float]]) -> None:
    tuning = plan_search(search_of(trials=3, grids={"sam": grid}), finals())[0]
    assert len({run.id for run in tuning.runs}) == 3
    with pytest.raises(ConfigError, match="the grid of sam has 3 points, fewer than the 4 trials"):
        plan_search(search_of(trials=4, grids={"sam": grid}), finals())


def test_a_value_out_of_range_is_refused_whether_it_would_be_tried_or_not() -> None:
    for bad in range(5):
        rates = [-1.0 if place == bad else 10.0**-place for place in range(5)]
        search = search_of(trials=2, grids={"adam": {"lr": rates}})
        with pytest.raises(ConfigError, match=r"adam lr=-1\.0 is not allowed"):
            plan_search(search, finals("adam"))


def test_points_that_the_other_settings_forbid() -> None:
    """A declared grid goes on without them; a given one is refused."""
    runs = finals("adam", decayed="matrices", weight_decay=1e-4)
    tuning = plan_search(search_of(trials=8), runs)[0]
    assert all(run.checked() == run for run in tuning.runs)
    assert all(trial.optimizer["weight_decay"] for trial in tuning.trials)
    given = search_of(trials=2, grids={"adam": {"weight_decay": [0, 1e-5]}})
    with pytest.raises(ConfigError, match="decayed=matrices needs a weight decay"):
        plan_search(given, runs)


@pytest.mark.parametrize("name", ["name", "base"])
def test_which_optimizer_it_is_is_not_searched(name: str) -> None:
    said = f"search grids sam: {name} is not searched; list it under matrix"
    with pytest.raises(ConfigError, match=said):
        search_of(grids={"sam": {name: ["asam", "adam"]}})


def test_a_grid_of_an_optimizer_that_no_run_has() -> None:
    search = search_of(trials=2, grids={"asam": {"rho": [0.1, 0.2]}})
    with pytest.raises(ConfigError) as caught:
        plan_search(search, finals())
    assert str(caught.value) == (
        "search grids asam: no run is of asam, so nothing of it is tried; optimizers with runs: sam"
    )


def test_everybody_gets_the_same_number_of_trials_in_every_setting() -> None:
    configs = [
        config_of(name, model=model, split="kfold-2", fold=fold, seed=seed)
        for name in ("adam", "sam", "crsam")
        for model in ("small-cnn", "resnet18")
        for fold in (1, 2)
        for seed in (0, 1)
    ]
    tunings = plan_search(search_of(seeds=(1000, 1001)), configs)
    assert len(tunings) == 3 * 2 * 2
    assert {len(tuning.trials) for tuning in tunings} == {4}
    assert {len(tuning.untuned) for tuning in tunings} == {2}
    assert {run.seed for tuning in tunings for run in tuning.runs} == {1000, 1001}
    for tuning in tunings:
        keys = {(run.model, run.fold, run.optimizer["name"]) for run in tuning.runs}
        assert keys == {(r.model, r.fold, r.optimizer["name"]) for r in tuning.untuned}


def test_trials_have_validation_images_and_final_runs_do_not_change() -> None:
    tuning = plan_search(search_of(validation=0.25), finals())[0]
    assert {run.validation for run in tuning.runs} == {0.25}
    assert {run.validation for run in tuning.untuned} == {0.0}
    own = plan_search(search_of(), finals(selection="best-validation", validation=0.3))[0]
    assert {run.validation for run in own.runs} == {0.3}


def test_the_best_on_validation_is_chosen_never_on_test() -> None:
    tuning = plan_search(search_of(), finals())[0]
    records = records_of(tuning, [(0.6, 1.0), (0.7, 1.0), (0.9, 0.5), (0.9, 0.4)])
    assert choose_trial(tuning, records) == tuning.trials[3]
    chosen = tuning.finals(tuning.trials[3])
    assert [run.seed for run in chosen] == [0, 1]
    assert all(run.optimizer == tuning.trials[3].optimizer for run in chosen)


def test_equals_stay_as_given() -> None:
    tuning = plan_search(search_of(), finals())[0]
    assert choose_trial(tuning, records_of(tuning, [(0.5, 1.0)] * 4)) == tuning.trials[0]


def test_the_mean_over_the_seeds_of_the_search_counts() -> None:
    tuning = plan_search(search_of(trials=2, seeds=(8, 9)), finals())[0]
    scores = {0: [0.6, 0.6], 1: [0.9, 0.2]}
    records = {
        run.id: recorded(run, score)
        for number, trial in enumerate(tuning.trials)
        for run, score in zip(trial.runs, scores[number], strict=True)
    }
    assert choose_trial(tuning, records) == tuning.trials[0]


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_a_trial_that_failed_has_had_its_turn(status: str) -> None:
    tuning = plan_search(search_of(), finals())[0]
    records = records_of(tuning, [(0.5, 1.0), (0.6, 1.0), (0.7, 1.0), (0.9, 1.0)])
    last = tuning.trials[3].runs[0]
    records[last.id] = replace(records[last.id], status=status, final=None)
    assert choose_trial(tuning, records) == tuning.trials[2]
    nothing = {key: replace(r, status=status, final=None) for key, r in records.items()}
    assert choose_trial(tuning, nothing) == tuning.trials[0]


def test_trials_on_other_images_or_of_other_code_are_not_compared() -> None:
    """As where some were done before the data were prepared anew, and some after."""
    tuning = plan_search(search_of(), finals())[0]
    found = records_of(tuning, [(0.5, 1.0), (0.6, 1.0), (0.7, 1.0), (0.9, 1.0)])
    records = {key: replace(r, data={"fingerprint": "a"}) for key, r in found.items()}
    last = records[tuning.trials[3].runs[0].id]
    other = replace(last, data={"fingerprint": "b"})
    assert choose_trial(tuning, {**records, last.id: other}) is None
    assert choose_trial(tuning, {**records, last.id: replace(last, numerics=1)}) is None
    assert choose_trial(tuning, records) == tuning.trials[3]


@pytest.mark.parametrize("status", [None, "running", "interrupted"])
def test_nothing_is_chosen_before_all_trials_are_done(status: str | None) -> None:
    tuning = plan_search(search_of(), finals())[0]
    records = records_of(tuning, [(0.5, 1.0)] * 4)
    last = records.pop(tuning.trials[3].runs[0].id)
    if status is not None:
        records[last.id] = replace(last, status=status, final=None)
    assert choose_trial(tuning, records) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trails": 3}, "unknown key 'trails' in search: did you mean 'trials' or 'grids'?; "),
        ({"trials": 1}, "search trials=1 is not allowed; allowed: a whole number >= 2"),
        ({"trials": True}, "search trials=True is not allowed; allowed: a whole number >= 2"),
        ({"validation": 1.5}, "search validation=1.5 is not allowed; allowed: a number in (0, 1)"),
        ({"grids": [1]}, "search grids=[1] is not allowed; allowed: a mapping"),
        (
            {"grids": {"sam": {"rho": 0.1}}},
            "search grids sam rho=0.1 is not allowed; allowed: a list",
        ),
        ({"grids": {"sam": {"rho": [-1]}}}, "sam rho=-1 is not allowed; allowed: >= 0"),
        ({"grids": {"sam": {"rho": []}}}, "the grid of sam needs a list of values for 'rho'"),
        ({"grids": {"sam": []}}, "search grids sam=[] is not allowed; allowed: a mapping"),
    ],
)
def test_bad_searches(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Search.from_dict(given)
    assert str(caught.value).startswith(message)


def test_a_grid_of_an_optimizer_that_does_not_exist() -> None:
    with pytest.raises(UnknownNameError, match="unknown optimizer 'sma'"):
        Search.from_dict({"grids": {"sma": {"rho": [0.1]}}})


def test_a_hyperparameter_that_the_optimizer_does_not_have() -> None:
    search = search_of(trials=2, grids={"sam": {"gamma": [0.1, 0.2]}})
    with pytest.raises(ConfigError, match="sam on adam has no hyperparameter 'gamma'"):
        plan_search(search, finals())


def test_a_grid_that_is_too_small() -> None:
    search = search_of(trials=9, grids={"adam": {"lr": [1e-4, 1e-3]}})
    with pytest.raises(ConfigError) as caught:
        plan_search(search, finals("adam"))
    assert str(caught.value) == (
        "the grid of adam has 2 points, fewer than the 9 trials (lr); widen it under search: "
        "grids: adam"
    )


def test_seeds_of_the_search_and_of_final_runs_are_apart() -> None:
    with pytest.raises(ConfigError, match="seed 1 is one of the search and of a final run"):
        plan_search(search_of(seeds=(1,)), finals())


def test_trials_are_told_from_final_runs() -> None:
    run = recorded(config_of())
    assert is_trial(replace(run, suite=f"study{TRIALS}"))
    assert not is_trial(replace(run, suite="study"))
    assert not is_trial(run)


def test_what_is_kept_for_the_report(tmp_path: Path) -> None:
    search = search_of(trials=2)
    tunings = plan_search(search, finals())
    path = search_path(tmp_path, "study")
    write_search(tmp_path, found_now("study", search, tunings, {}))
    before = json.loads(path.read_text())
    assert before["schema_version"] == 1
    assert before["tunings"][0]["chosen"] is None
    assert before["tunings"][0]["trials"][0]["status"] == ["missing"]
    records = records_of(tunings[0], [(0.5, 1.0), (0.8, 0.3)])
    write_search(tmp_path, found_now("study", search, tunings, records))
    found = json.loads(path.read_text())["tunings"][0]
    assert found["budget"] == {
        "trials": 2,
        "runs": 2,
        "gradient_evaluations": 20,
        "train_seconds": 4.0,
        "unmet": 0,
    }
    assert found["chosen"]["values"] == found["trials"][1]["values"] != {}
    assert found["trials"][1]["validation_accuracy"] == 0.8
    assert found["untuned"] == [run.name for run in finals()]
    assert len(found["tuned"]) == 2
    assert not set(found["tuned"]) & set(found["untuned"])


def test_chosen_values_stand_where_the_trials_were_not_copied(tmp_path: Path) -> None:
    """The first `compare` on another machine wrote a search without any choice over them."""
    search = search_of(trials=2)
    (tuning,) = plan_search(search, finals())
    records = records_of(tuning, [(0.5, 1.0), (0.8, 0.3)])
    path = write_search(tmp_path, found_now("study", search, [tuning], records))
    before, text = read_search(path), path.read_text()

    def now(records: dict[str, RunRecord], search: Search = search, seeds: int = 2) -> TuningRecord:
        tunings = plan_search(search, finals(seeds=seeds))
        found = found_now("study", search, tunings, records, before)
        write_search(tmp_path, found)
        return found.tunings[0]

    last = {run.id for run in tuning.trials[1].runs}
    there: dict[str, RunRecord]
    for there in ({}, {name: records[name] for name in last}):
        now(there)
        assert path.read_text() == text
    assert len(now({}, seeds=3).tuned) == 3
    others = records_of(tuning, [(0.5, 1.0), (0.4, 0.3)])
    assert now({name: others[name] for name in last}).chosen is None
    assert (chosen := now(others).chosen) and chosen.values == {}
    assert now({}, search_of(trials=3)).chosen is None


def test_a_trial_is_an_ordinary_run(tmp_path: Path, phantom_data: Path) -> None:
    tuning = plan_search(search_of(trials=2, validation=0.25), finals("adam"))[0]
    paths = Paths(data=phantom_data, results=tmp_path)
    records = {run.id: run_one(run, paths, device=torch.device("cpu")) for run in tuning.runs}
    assert choose_trial(tuning, records) in tuning.trials


GRIDS: list[dict[str, list[float]]] = [{"lr": [1e-4, 3e-3]}, {"max_norm": [1, 2]}]


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: next(iter(grid)))
@pytest.mark.parametrize("info", optimizers.list(), ids=lambda info: info.name)
def test_what_of_a_search_is_still_asked_for(
    info: Any, grid: dict[str, list[float]], tmp_path: Path
) -> None:
    """Tuned runs are told from the planned ones, further seeds too, by the names they have."""
    search = search_of(trials=2, grids={info.name: grid})
    tunings = plan_search(search, finals(info.name))
    path = search_path(tmp_path, "study")
    records = records_of(tunings[0], [(0.5, 1.0), (0.8, 0.3)])
    write_search(tmp_path, found_now("study", search, tunings, records))
    found = read_search(path)
    assert found is not None
    three = finals(info.name, seeds=3)
    kept, runs, _ = still_asked(found, search, three)
    assert kept == found
    assert list(runs[:3]) == three
    assert [run.name for run in runs[3:5]] == found.tunings[0].tuned
    assert [run.optimizer for run in runs[3:]] == [tunings[0].trials[1].optimizer] * 3
    for asked, planned in (
        (search, finals(info.name, epochs=2)),
        (search_of(trials=3), finals(info.name)),
        (None, finals(info.name)),
    ):
        kept, runs, roles = still_asked(found, asked, planned)
        assert (kept.tunings, list(runs)) == ([], planned)
        assert roles == {run.id: [Role(run.optimizer)] for run in planned}


def test_what_runs_are_compared_as() -> None:
    """One that a search kept in one fold but changed in another is there twice."""
    search = search_of(trials=2, grids={"sam": {"rho": [0.2]}})
    runs = [config_of(split="kfold-2", fold=fold) for fold in (1, 2)]
    tunings, given = plan_search(search, runs), runs[0].optimizer

    def roles_of(*scores: float) -> Any:
        """For the validation accuracies of the second trial in each fold; the first has 0.5."""
        records = {}
        for tuning, score in zip(tunings, scores, strict=True):
            records |= records_of(tuning, [(0.5, 1.0), (score, 1.0)])
        return still_asked(found_now("study", search, tunings, records), search, runs)[1:]

    assert roles_of(0.4, 0.4) == (tuple(runs), {run.id: [Role(given)] for run in runs})
    (*_, other), roles = roles_of(0.4, 0.6)
    assert other == replace(runs[1], optimizer={**given, "rho": 0.2})
    assert roles == {
        runs[0].id: [Role(given, AS_GIVEN), Role(given, TUNED)],
        runs[1].id: [Role(given, AS_GIVEN)],
        other.id: [Role(given, TUNED)],
    }


def test_rounding_breaks_no_tie() -> None:
    """As many images right in all, seed by seed otherwise: the loss decides."""
    tuning = plan_search(search_of(trials=2, seeds=(7, 8, 9)), finals())[0]
    scores = [[7 / 23, 14 / 23, 21 / 23], [21 / 23, 21 / 23, 0.0]]
    assert fmean(scores[0]) > fmean(scores[1])
    records = {
        run.id: recorded(run, score, loss)
        for trial, own, loss in zip(tuning.trials, scores, (2.0, 1.0), strict=True)
        for run, score in zip(trial.runs, own, strict=True)
    }
    assert choose_trial(tuning, records) == tuning.trials[1]
