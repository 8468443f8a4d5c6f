from __future__ import annotations

import pytest

from sambench.config.settings import parse_settings, sort_settings, with_settings
from sambench.errors import ConfigError, UnknownNameError


def test_values_are_written_as_in_yaml() -> None:
    given = ["rho=0.1", "lr=1e-4", "amsgrad=true", "split=folds", "betas=[0.8, 0.9]", "fold=2"]
    assert parse_settings(given) == {
        "rho": 0.1,
        "lr": 1e-4,
        "amsgrad": True,
        "split": "folds",
        "betas": [0.8, 0.9],
        "fold": 2,
    }


def test_nothing_given() -> None:
    assert parse_settings(None) == parse_settings([]) == {}


def test_only_the_first_equals_sign_parts() -> None:
    assert parse_settings(["stop=patience=3"]) == {"stop": "patience=3"}


@pytest.mark.parametrize("text", ["rho", "=0.1", ""])
def test_no_setting(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings([text])
    assert str(caught.value) == f"--set {text!r} is not KEY=VALUE, as in rho=0.1"


def test_a_value_that_is_no_yaml() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(["betas=[0.9"])
    assert str(caught.value) == "--set 'betas=[0.9': '[0.9' is no YAML value"


def test_settings_go_to_whom_they_belong() -> None:
    found = sort_settings(
        ["rho=0.1", "schedule=cosine", "base=sgd", "weight_decay=0.01"], ["adam", "sam"]
    )
    assert found.run == {"schedule": "cosine", "base": "sgd"}
    assert found.optimizer == {"rho": 0.1, "weight_decay": 0.01}


def test_a_setting_of_a_base_that_is_not_the_usual_one() -> None:
    found = sort_settings(["base=sgd", "momentum=0.9"], ["sam"])
    assert (found.run, found.optimizer) == ({"base": "sgd"}, {"momentum": 0.9})


def test_a_setting_of_no_one() -> None:
    with pytest.raises(ConfigError) as caught:
        sort_settings(["roh=0.1"], ["sam"])
    message = str(caught.value)
    assert message.startswith("unknown setting 'roh': did you mean 'rho'?; of the run: augmentat")
    assert (
        "; of sam: amsgrad, betas, dampening, eps, loss_decay, lr, max_norm, momentum," in message
    )
    assert message.endswith("; `sambench list settings` explains all")


def test_a_setting_of_another_optimizer_only() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'rho'"):
        sort_settings(["rho=0.1"], ["adam"])


def test_an_unknown_optimizer() -> None:
    with pytest.raises(UnknownNameError, match="unknown optimizer 'sma': did you mean 'sam'"):
        sort_settings(["rho=0.1"], ["sma"])


def test_an_optimizer_takes_the_settings_that_it_has() -> None:
    settings = {"rho": 0.1, "norm": "centered", "lr": 0.01}
    assert with_settings("adam", settings) == {"name": "adam", "lr": 0.01}
    assert with_settings("sam", settings) == {"name": "sam", "rho": 0.1, "lr": 0.01}
    assert with_settings("gcsam", settings) == {"name": "gcsam", **settings}


def test_names_in_full() -> None:
    found = sort_settings(
        ["optimizer.rho=0.1", "optimizer.base=sgd", "stop.patience=5", "optimizer.seed=3"], ["esam"]
    )
    assert found.run == {"base": "sgd", "stop": {"rule": "patience", "value": 5}}
    assert found.optimizer == {"rho": 0.1, "seed": 3}


def test_the_seed_of_the_run_and_of_an_optimizer_are_two() -> None:
    found = sort_settings(["seed=1"], ["esam"])
    assert (found.run, found.optimizer) == ({"seed": 1}, {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["rho=0.1", "rho=0.2"], "--set rho is given twice; keep one"),
        (
            ["rho=0.1", "optimizer.rho=0.1"],
            "--set rho and --set optimizer.rho are one; keep one",
        ),
        (
            ["stop.patience=5", "stop=epochs"],
            "--set stop.patience and --set stop are one; keep one",
        ),
        (
            ["stop.patiense=5"],
            "unknown setting 'stop.patiense': did you mean 'patience'?; rules of stop: epochs, "
            "train-accuracy, patience, gradient-evaluations, minutes; "
            "`sambench list settings` explains all",
        ),
    ],
)
def test_what_is_refused(given: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sort_settings(given, ["sam"])
    assert str(caught.value) == message


def test_an_unknown_hyperparameter_in_full() -> None:
    with pytest.raises(ConfigError) as caught:
        sort_settings(["optimizer.roh=0.1"], ["sam"])
    assert str(caught.value).startswith(
        "unknown setting 'optimizer.roh': did you mean 'rho'?; of sam: amsgrad, base, betas,"
    )


def test_an_option_and_a_setting_of_one_thing_are_refused() -> None:
    found = sort_settings(["optimizer.lr=0.1"], ["sam"])
    said = "{option} and {setting} are both given; keep one"
    found.refuse({"epochs": "--epochs"}, said)
    with pytest.raises(ConfigError) as caught:
        found.refuse({"epochs": "--epochs", "lr": "--lr"}, said)
    assert str(caught.value) == "--lr and --set optimizer.lr are both given; keep one"


def test_a_setting_that_has_an_option_of_its_own() -> None:
    with pytest.raises(ConfigError) as caught:
        found = sort_settings(["model=vit"], ["sam"])
        found.refuse({"model": "--model"}, "{setting}: give it by {option} instead")
    assert str(caught.value) == "--set model: give it by --model instead"
