"""What is said of settings that do nothing, or not what one would expect, before a run begins."""

from __future__ import annotations

from typing import Any

import pytest

from sambench.config.remarks import remarks
from sambench.config.run_config import RunConfig
from sambench.config.suite_file import load_suite, shipped_suites


def config(**settings: Any) -> RunConfig:
    given = {"dataset": "d", "image_size": 32, "model": "m", "optimizer": "sam", **settings}
    return RunConfig.from_dict(given)


GSAM = {"name": "gsam", "rho_max": 0.01}
SGD = {"name": "sam", "base": "sgd", "lr": 0.1}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"schedule": "cosine", "stop": "gradient-evaluations=100"},
            "stop=gradient-evaluations can end a run before schedule=cosine, which is planned "
            "over epochs=50, has lowered the learning rate",
        ),
        ({"stop": "patience=5", "epochs": 5}, "stop=patience=5 cannot end a run of epochs=5"),
        (
            {"sampler": "balanced", "class_weights": "balanced"},
            "sampler=balanced and class_weights=balanced both make up for rare classes",
        ),
        ({"pretrained": True}, "normalization=pretrained scales them as the weights expect"),
        ({"weights": "0" * 64}, "if the file holds such weights, normalization=pretrained"),
        ({"optimizer": "sgd"}, "as does the default of 0.0001, but sgd hardly moves"),
        ({"base": "sgd"}, "but sam on sgd hardly moves with it"),
        (
            {
                "decayed": "matrices",
                "optimizer": {"name": "adam", "weight_decay": 0.1, "loss_decay": 0.1},
            },
            "decayed=matrices limits weight_decay only; loss_decay acts on all weights",
        ),
        (
            {"optimizer": {"name": "adam", "replay_randomness": True}},
            "replay_randomness does nothing for adam, which takes one pass a step",
        ),
        (
            {"optimizer": GSAM, "schedule": "cosine"},
            "gsam rho_min=0.02 is above rho_max=0.01: the radius grows as lr falls",
        ),
        (
            {"optimizer": {"name": "gsam", "lr_min": 0.5, "lr": 0.1}, "schedule": "cosine"},
            "gsam lr_min=0.5 is not below the highest rate, 0.1: the radius is rho_max all along",
        ),
        (
            {
                "optimizer": {"name": "gsam", "lr_min": 0.01, "lr_max": 0.005, "lr": 0.1},
                "schedule": "cosine",
            },
            "gsam lr_min=0.01 is not below the highest rate, 0.005: the radius is rho_max",
        ),
        (
            {"optimizer": {"name": "sgd", "lr": 0.1, "dampening": 0.5}},
            "dampening does nothing without a momentum",
        ),
        (
            {"optimizer": {"name": "sgd", "lr": 0.1, "dampening": 5, "momentum": 0.9}},
            "dampening=5 is above 1, which turns each gradient around",
        ),
        (
            {"optimizer": {"name": "gsam", "rho_min": 0.01, "lr_min": 1e-5}},
            "gsam rho_min, lr_min: at a constant learning rate the radius is one for the whole run",
        ),
        (
            {"optimizer": {"name": "sam-on", "eta": 0.1}},
            "sam-on eta does nothing without adaptive=true",
        ),
    ],
)
def test_what_is_worth_saying_is_said_once(given: dict[str, Any], said: str) -> None:
    found = remarks([config(**given), config(**given, seed=1)])
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"schedule": "cosine", "warmup": 2},
        {"stop": "gradient-evaluations=100"},
        {"stop": "patience=5", "epochs": 6},
        {"sampler": "balanced"},
        {"pretrained": True, "normalization": "imagenet"},
        {"weights": "0" * 64, "normalization": "pretrained"},
        {"optimizer": SGD},
        {"optimizer": "gsam"},
        {"optimizer": {"name": "sam-on", "eta": 0.1, "adaptive": True}},
        {"optimizer": "gsam", "schedule": "cosine"},
        {"optimizer": GSAM},
        {"optimizer": {"name": "sgd", "lr": 0.1, "dampening": 1, "momentum": 0.9}},
        {"optimizer": {"name": "sam", "replay_randomness": True}},
    ],
)
def test_of_usual_settings_nothing_is_said(given: dict[str, Any]) -> None:
    assert remarks([config(**given)]) == []


def test_a_method_on_another_base_than_what_it_is_compared_with() -> None:
    ours, adam = config(optimizer=SGD), config(optimizer="adam")
    (said,) = remarks([adam, ours])
    assert said.startswith("sam runs on sgd, but is compared with adam: compare with sgd too")
    sgd = config(optimizer={"name": "sgd", "lr": 0.1})
    assert remarks([adam, sgd, ours]) == []
    assert remarks([ours, config(optimizer={**SGD, "name": "asam"})]) == []
    assert remarks([adam, config(base="muon")]) == []


@pytest.mark.parametrize("name", shipped_suites())
def test_of_shipped_suites_nothing_is_said(name: str) -> None:
    suite = load_suite(shipped_suites()[name])
    assert remarks(suite.expand(lambda *_: (1,))) == []
