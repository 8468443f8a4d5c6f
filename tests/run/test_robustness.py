"""Runs with label noise, and runs tested under shifts, at once or later."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace

import sambench.run.single_run
from sambench.config.run_config import RunConfig
from sambench.errors import CurvatureError, DataError
from sambench.launch.launcher import Watcher
from sambench.launch.launchers.local import run_all
from sambench.launch.manifest import Manifest
from sambench.run.images import load_parts
from sambench.run.single_run import Paths, run_one
from sambench.store.status import Survey
from sambench.store.tree import Store

CPU = torch.device("cpu")


def config_of(**settings: Any) -> RunConfig:
    given = {"epochs": 2, "batch_size": 8, "optimizer": "adam", "lr": 1e-3, **settings}
    return RunConfig.from_dict(
        {"dataset": "phantom", "image_size": 32, "model": "small-cnn", **given}
    )


@pytest.fixture
def paths(phantom_data: Path, tmp_path: Path) -> Paths:
    return Paths(data=phantom_data, results=tmp_path / "results")


def robust_of(record: Any) -> dict[str, Any]:
    assert record.final is not None
    return dict(record.final["test"]["robust"])


def test_a_run_that_asks_is_tested_under_shifts(paths: Paths) -> None:
    record = run_one(config_of(shifts="ultrasound"), paths, device=CPU)
    robust = robust_of(record)
    names = ("speckle", "gain", "blur", "gamma")
    assert set(robust) == {"shifts", "severities", "mean", *names}
    assert robust["mean"] == pytest.approx(np.mean([robust[name] for name in names]))
    assert Store(paths.results).load(config_of()) == record
    text = (Store(paths.results).folder(config_of()) / "run.json").read_text()
    assert json.loads(text)["final"]["test"]["robust"] == robust


def test_a_completed_run_is_tested_without_a_second_training(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run_one(config_of(), paths, device=CPU)
    store = Store(paths.results)
    folder = store.folder(config_of())
    weights = (folder / "model.safetensors").read_bytes()
    asking = config_of(shifts="xray")
    assert store.folder(asking) == folder
    assert Survey(store=store).of([config_of()])[0].action == "skip"
    assert Survey(store=store).of([asking])[0].action == "test under shifts"

    def refuse(*given: object, **settings: object) -> None:
        raise AssertionError("it was trained again")

    monkeypatch.setattr(sambench.run.single_run, "_Run", refuse)
    manifest = Manifest(configs=[asking], data=paths.data, results=paths.results)
    tally = run_all(manifest, "cpu", Watcher())
    (record,) = tally.records
    assert tally.exit_code == 0
    assert robust_of(record)["shifts"] == "xray"
    assert record.final is not None
    assert plain.final is not None
    left = {key: value for key, value in record.final["test"].items() if key != "robust"}
    assert left == dict(plain.final["test"])
    assert (folder / "model.safetensors").read_bytes() == weights
    assert Survey(store=store).of([asking])[0].action == "skip"


def test_later_is_the_same_as_at_once(paths: Paths, phantom_data: Path, tmp_path: Path) -> None:
    at_once = run_one(config_of(shifts="ultrasound"), paths, device=CPU)
    elsewhere = Paths(data=phantom_data, results=tmp_path / "elsewhere")
    run_one(config_of(), elsewhere, device=CPU)
    later = run_one(config_of(shifts="ultrasound"), elsewhere, device=CPU)
    assert robust_of(later) == robust_of(at_once)


def test_weights_that_are_gone(paths: Paths) -> None:
    run_one(config_of(), paths, device=CPU)
    path = Store(paths.results).folder(config_of()) / "model.safetensors"
    path.unlink()
    said = f"put {path} back, or move its folder away and do the run again"
    with pytest.raises(CurvatureError, match=re.escape(said)):
        run_one(config_of(shifts="xray"), paths, device=CPU)


def test_other_data_than_the_run_was_trained_on(paths: Paths) -> None:
    record = run_one(config_of(), paths, device=CPU)
    altered = replace(record, data={**(record.data or {}), "fingerprint": "0" * 64})
    Store(paths.results).save(altered)
    with pytest.raises(DataError, match="was trained on other data"):
        run_one(config_of(shifts="xray"), paths, device=CPU)


def test_label_noise_changes_training_labels_alone(paths: Paths) -> None:
    settings = {"selection": "best-validation", "validation": 0.25}
    clean = load_parts(config_of(**settings), paths.data, CPU)
    noisy = load_parts(config_of(label_noise=0.25, **settings), paths.data, CPU)
    wrong = (clean.train.labels != noisy.train.labels).sum().item()
    assert wrong == round(0.25 * len(clean.train)) == noisy.wrong_labels
    assert clean.wrong_labels == 0
    assert torch.equal(clean.test.labels, noisy.test.labels)
    assert clean.validation is not None
    assert noisy.validation is not None
    assert torch.equal(clean.validation.labels, noisy.validation.labels)


def test_label_noise_is_recorded_and_shared_by_seeds(paths: Paths) -> None:
    first, second = (
        run_one(config_of(label_noise=0.25, epochs=1, seed=seed), paths, device=CPU)
        for seed in (0, 1)
    )
    assert first.data is not None
    assert first.data["wrong_labels"] == 8
    assert first.to_dict()["config"]["label_noise"] == 0.25
    parts = [load_parts(record.config, paths.data, CPU) for record in (first, second)]
    assert torch.equal(parts[0].train.labels, parts[1].train.labels)
    other = load_parts(config_of(label_noise=0.25, split_seed=1), paths.data, CPU)
    assert not torch.equal(parts[0].train.labels, other.train.labels)


def test_the_split_of_a_run_is_kept_and_recorded(paths: Paths) -> None:
    record = run_one(config_of(epochs=1), paths, device=CPU)
    path = paths.data / "phantom-32" / "splits" / "holdout-s0.csv"
    assert path.exists()
    assert record.data is not None
    assert len(record.data["split_sha256"]) == 64
