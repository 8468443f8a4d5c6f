"""What `list settings` says comes from where settings are defined, and is complete."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sambench
from sambench.config.optimizer import LEARNING_RATE
from sambench.config.run_config import PAPERS, RunConfig
from sambench.config.settings import Setting, optimizer_settings, run_settings, sort_settings
from sambench.config.stop import STOP_RULES
from sambench.files.yaml_text import read_own_yaml
from sambench.optim.method import optimizers

OF_RUN = {setting.name: setting for setting in run_settings()}
OF_OPTIMIZERS = tuple(optimizer_settings())


def test_every_field_of_a_run_and_every_stop_rule_with_a_value() -> None:
    rules = [f"stop.{rule}" for rule in STOP_RULES if rule != "epochs"]
    assert list(OF_RUN) == [*RunConfig.__struct_fields__, *rules]


@pytest.mark.parametrize("setting", OF_RUN.values(), ids=str)
def test_it_says_what_it_is(setting: Setting) -> None:
    assert setting.meaning.endswith(".")
    assert setting.type


def test_a_number_of_things_has_a_unit() -> None:
    units = {name: setting.unit for name, setting in OF_RUN.items() if setting.unit}
    assert units == {
        **{"image_size": "pixels", "validation": "fraction", "batch_size": "images"},
        **{"epochs": "epochs", "label_noise": "fraction", "replicas": "processes"},
        **{"warmup": "epochs", "label_smoothing": "fraction"},
        **{"stop.train-accuracy": "fraction", "stop.patience": "epochs"},
        **{"stop.gradient-evaluations": "passes", "stop.minutes": "minutes"},
    }


PACKAGE = Path(sambench.__file__).parent
OUTSIDE = [
    ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    for path in PACKAGE.rglob("*.py")
    if path.parent.name != "config"
]
NODES = [node for nodes in OUTSIDE for node in nodes]
READ = {node.attr for node in NODES if isinstance(node, ast.Attribute)}
NAMED = {node.value for node in NODES if isinstance(node, ast.Constant)}
NAMED |= {*read_own_yaml("sambench.data", "shifts.yaml")}


@pytest.mark.parametrize("name", RunConfig.__struct_fields__)
def test_a_setting_and_each_of_its_choices_are_read_somewhere(name: str) -> None:
    """One that nobody reads would do nothing, without a word, and yet make another run."""
    assert name in READ, f"nothing outside of config reads {name}"
    unnamed = {*OF_RUN[name].choices} - NAMED - {"true", "false", PAPERS}
    assert len(unnamed) <= 1, f"{name}: of {unnamed} only one can be what is done otherwise"


def test_defaults_are_those_that_a_run_gets() -> None:
    needed = {"dataset": "phantom", "image_size": 32, "model": "vit", "optimizer": "sam"}
    config = RunConfig.from_dict(needed)
    for name, setting in OF_RUN.items():
        if name in needed or name.startswith("stop"):
            continue
        assert setting.default == getattr(config, name), name
    assert OF_RUN["stop"].default == config.stop.rule
    (rate,) = (setting for setting in OF_OPTIMIZERS if setting.name == "optimizer.lr")
    assert rate.default == config.optimizer["lr"] == LEARNING_RATE


def test_choices_are_told() -> None:
    assert OF_RUN["precision"].type == "fp32, tf32, bf16"
    assert OF_RUN["augmentation"].type.endswith(", papers")


def test_every_hyperparameter_of_every_optimizer() -> None:
    for info in optimizers.list():
        listed = {s.name for s in OF_OPTIMIZERS if info.name in s.of}
        assert listed == {f"optimizer.{name}" for name in info.hyperparameters}


@pytest.mark.parametrize("setting", OF_OPTIMIZERS, ids=str)
def test_what_is_listed_can_be_set(setting: Setting) -> None:
    known = [name for name in setting.of if name in [info.name for info in optimizers.list()]]
    value = "sgd" if setting.name == "optimizer.base" else "1"
    found = sort_settings([f"{setting.name}={value}"], known or ["sam"])
    assert len(found.spelled) == 1
