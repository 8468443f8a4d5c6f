"""A run, and what is measured of its network, is of one version of a file of one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

import sambench
from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.errors import ConfigError, ModelError
from sambench.plugin import load_plugin
from sambench.run.measure import measure_minimum
from sambench.run.single_run import Paths, run_one
from sambench.store.record import COMPLETED, INTERRUPTED
from sambench.store.status import Survey
from sambench.store.tree import Store

CPU = torch.device("cpu")
OPTIMIZER = """
from sambench.optim.method import Method, optimizer


@optimizer("scaled", gradient_evaluations=1, extra_memory=0, reference="a test")
class Scaled(Method):
    def direction(self, gradient):
        return gradient().mul_(2.0)
"""
MODEL = """
from torch import nn

from sambench.models.model import Model, models


def build(classes, image_size, pretrained):
    layers = nn.Flatten(), nn.Linear(3 * image_size**2, 8), nn.ReLU(), nn.Linear(8, classes)
    return nn.Sequential(*layers)


models.register(Model(name="layers", summary="two layers", build=build))
"""
CHANGES = {"mul_(2.0)": "mul_(3.0)", "nn.ReLU()": "nn.Tanh()"}


class Files:
    """Two files of one's own, of which one version at a time is loaded."""

    def __init__(self, folder: Path, forget: Callable[[], None]) -> None:
        self.forget = forget
        self.texts = {folder / "optimizer.py": OPTIMIZER, folder / "model.py": MODEL}
        self.load()

    def load(self, *changed: str) -> None:
        self.forget()
        for path, text in self.texts.items():
            other = text
            for before, after in CHANGES.items() if path.name in changed else ():
                other = other.replace(before, after)
            path.write_text(other)
            load_plugin(path)


@pytest.fixture
def files(tmp_path: Path, plugins_forgotten: Callable[[], None]) -> Iterator[Files]:
    yield Files(tmp_path, plugins_forgotten)


def config_of(optimizer: str = "scaled", model: str = "layers", **settings: object) -> RunConfig:
    given = {"dataset": "phantom", "image_size": 32, "epochs": 2, "batch_size": 8}
    return RunConfig.from_dict({**given, "optimizer": optimizer, "model": model, **settings})


def interrupted(config: RunConfig, paths: Paths) -> None:
    steps = iter(range(100))
    record = run_one(config, paths, device=CPU, stop_requested=lambda: next(steps) == 2)
    assert record.status == INTERRUPTED


@pytest.mark.parametrize("changed", ["optimizer.py", "model.py"])
def test_a_run_does_not_go_on_with_another_version(
    files: Files, tmp_path: Path, phantom_data: Path, changed: str
) -> None:
    config, paths = config_of(), Paths(data=phantom_data, results=tmp_path / "results")
    interrupted(config, paths)
    before = Store(paths.results).load(config)

    files.load(changed)
    (found,) = Survey(store=Store(paths.results)).of([config])
    assert (found.state, found.action) == ("stale", "skip")
    with pytest.raises(ConfigError) as refused:
        run_one(config, paths, device=CPU)
    assert str(refused.value) == (
        f"run {config.name} cannot be resumed: {changed} was changed since; put it back as it was, "
        "or begin the run anew with `sambench compare` and `--retry stale`"
    )
    assert Store(paths.results).load(config) == before

    files.load()
    assert run_one(config, paths, device=CPU).status == COMPLETED


def test_a_file_that_a_run_does_not_need_may_change(
    files: Files, tmp_path: Path, phantom_data: Path
) -> None:
    config = config_of(model="small-cnn")
    paths = Paths(data=phantom_data, results=tmp_path / "results")
    interrupted(config, paths)
    files.load("model.py")
    assert run_one(config, paths, device=CPU).status == COMPLETED


def test_another_network_than_was_trained_is_not_measured(
    files: Files, tmp_path: Path, phantom_data: Path
) -> None:
    paths = Paths(data=phantom_data, results=tmp_path / "results")
    config, other = config_of(), config_of(seed=1)
    record = run_one(config, paths, device=CPU)
    run_one(other, paths, device=CPU)
    few = Measurement.parse({"samples": 8, "max_matvecs": 8})

    files.load("model.py")
    said = (
        f"run {config.name} was trained with another version of model.py, which brings its model "
        "layers; put the file back as it was, or train the run again"
    )
    with pytest.raises(ModelError, match="another version of model") as refused:
        measure_minimum(record, few, paths, device=CPU)
    assert str(refused.value) == said
    with pytest.raises(ModelError, match="another version of model"):
        sambench.load_run(config.name, results=paths.results)
    with pytest.raises(ModelError, match="another version of model"):
        run_one(config_of(shifts="ultrasound"), paths, device=CPU)
    assert Store(paths.results).load(config) == record

    files.load("optimizer.py")  # which has no part in the network
    measured = measure_minimum(record, few, paths, device=CPU)
    assert measured.hessian is not None
    assert sambench.load_run(config.name, results=paths.results).record == measured


def test_a_way_does_not_lead_to_another_network(
    files: Files, tmp_path: Path, phantom_data: Path
) -> None:
    paths = Paths(data=phantom_data, results=tmp_path / "results")
    older = run_one(config_of(seed=1), paths, device=CPU)
    files.load("model.py")
    record = run_one(config_of(), paths, device=CPU)
    few = Measurement.parse({"samples": 8, "max_matvecs": 8})
    with pytest.raises(ModelError, match=f"run {older.name} was trained with another version"):
        measure_minimum(record, replace(few, other=older.config), paths, device=CPU)


def test_two_files_of_one_name_are_told_apart(
    tmp_path: Path, phantom_data: Path, plugins_forgotten: Callable[[], None]
) -> None:
    paths = Paths(data=phantom_data, results=tmp_path / "results")

    def load(optimizer: str, model: str) -> None:
        plugins_forgotten()
        for folder, text in (("one", optimizer), ("two", model)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / "mine.py").write_text(text)
            load_plugin(tmp_path / folder / "mine.py")

    load(OPTIMIZER, MODEL)
    config = config_of(epochs=1)
    record = run_one(config, paths, device=CPU)
    shas = [hashlib.sha256(text.encode()).hexdigest() for text in (MODEL, OPTIMIZER)]
    expected = dict(zip(("mine.py", "mine.py (optimizer)"), shas, strict=True))
    assert record.environment is not None
    assert record.environment["plugins"] == expected
    assert record.changed_plugin() == ""
    load(OPTIMIZER.replace("2.0", "3.0"), MODEL)
    (found,) = Survey(store=Store(paths.results)).of([config])
    assert found.state == "stale"
    assert record.changed_plugin() == "mine.py (optimizer)"
    load(OPTIMIZER, MODEL.replace("ReLU", "Tanh"))
    assert record.changed_plugin() == record.changed_plugin(network=True) == "mine.py"
