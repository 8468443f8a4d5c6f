from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from sambench.config.optimizer import resolve_optimizer
from sambench.config.run_config import EXECUTION, RunConfig
from sambench.config.stop import STOP_RULES, Stop
from sambench.errors import ConfigError, UnknownNameError

MINIMAL: dict[str, Any] = {
    "dataset": "phantom",
    "image_size": 64,
    "model": "small-cnn",
    "optimizer": "sam",
}
GOLDEN_ID = "e4c8311ca0"
"""Of MINIMAL. If this changes, every stored run gets another name: raise the schema version."""

OTHER_VALUES: dict[str, Any] = {
    "kernels": "fastest",
    "dataset": "bus",
    "image_size": 32,
    "model": "resnet18",
    "optimizer": "gcsam",
    "split": "kfold-5",
    "fold": 1,
    "split_seed": 1,
    "pretrained": True,
    "batch_size": 32,
    "epochs": 3,
    "stop": "train-accuracy",
    "selection": "best-validation",
    "schedule": "cosine",
    "augmentation": "flip-shift",
    "normalization": "standard",
    "precision": "bf16",
    "seed": 1,
    "label_noise": 0.2,
    "warmup": 1,
    "label_smoothing": 0.1,
    "class_weights": "balanced",
    "sampler": "balanced",
    "average": "ema",
}

NAME = "a name of at most 80 letters, digits and ._-"


def config(**settings: object) -> RunConfig:
    return RunConfig.from_dict({**MINIMAL, **settings})


def refused(**settings: object) -> str:
    with pytest.raises(ConfigError) as caught:
        config(**settings)
    return str(caught.value)


def test_the_defaults() -> None:
    assert config().to_dict() == {
        "dataset": "phantom",
        "image_size": 64,
        "model": "small-cnn",
        "optimizer": {
            "name": "sam",
            "base": "adam",
            "rho": 0.05,
            "lr": 1e-4,
            "betas": [0.9, 0.999],
            "eps": 1e-8,
            "weight_decay": 0.0,
            "amsgrad": False,
        },
        "split": "holdout",
        "fold": None,
        "split_seed": 0,
        "validation": 0.0,
        "pretrained": False,
        "batch_size": 16,
        "epochs": 50,
        "stop": {"rule": "epochs", "value": None},
        "selection": "last",
        "schedule": "constant",
        "augmentation": "none",
        "normalization": "unit",
        "precision": "fp32",
        "seed": 0,
        "label_noise": 0.0,
        "shifts": "none",
        "kernels": "deterministic",
        "capture": "auto",
        "compile": "auto",
    }


@pytest.mark.parametrize("settings", [{}, OTHER_VALUES], ids=["defaults", "others"])
def test_round_trip_through_json(settings: dict[str, Any]) -> None:
    made = config(**settings)
    again = RunConfig.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.id == made.id


def test_the_id_is_golden() -> None:
    assert config().id == GOLDEN_ID
    assert config().name == f"phantom-small-cnn-sam-s0-{GOLDEN_ID}"


def test_the_id_does_not_depend_on_the_hash_seed_or_the_order_of_keys() -> None:
    settings = dict(reversed(MINIMAL.items()))
    imports = "from sambench.config.run_config import RunConfig"
    code = f"{imports}; print(RunConfig.from_dict({settings!r}).id)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path)},
        check=True,
    )
    assert done.stdout.strip() == GOLDEN_ID


@pytest.mark.parametrize("field", OTHER_VALUES)
def test_every_field_changes_the_id(field: str) -> None:
    assert config(**{field: OTHER_VALUES[field]}).id != GOLDEN_ID


def test_the_test_of_fields_is_complete() -> None:
    """A new field is named in OTHER_VALUES with a value that is not its default."""
    names = set(RunConfig.__struct_fields__)
    replicas = {"replicas", "perturbation", "batch_norm"}
    assert names == {
        *OTHER_VALUES,
        *replicas,
        "validation",
        "shifts",
        "decayed",
        "weights",
        *EXECUTION,
    }


def test_what_is_measured_afterwards_does_not_change_the_id() -> None:
    assert config(shifts="xray").id == GOLDEN_ID
    assert config(shifts="xray") != config()


def test_a_setting_that_came_later_keeps_the_ids_of_runs_stored_before() -> None:
    assert config(label_noise=0.0).id == config(label_noise=0).id == GOLDEN_ID
    assert config(label_noise=0.1).id != config(label_noise=0.2).id != GOLDEN_ID


@pytest.mark.parametrize(
    ("dataset", "meant"),
    [("bus", "none"), ("phantom", "none"), ("cifar10", "pad-crop-flip")],
)
def test_the_papers_augmentation_is_spelled_out(dataset: str, meant: str) -> None:
    written, short = (config(dataset=dataset, augmentation=a) for a in (meant, "papers"))
    assert short == written
    assert short.id == written.id


def test_replicas_change_the_id_and_one_alone_does_not() -> None:
    together = [
        config(replicas=2),
        config(replicas=3),
        config(replicas=2, perturbation="per-replica"),
        config(replicas=2, batch_norm="synchronized"),
    ]
    assert len({GOLDEN_ID, *(run.id for run in together)}) == 5
    assert config(replicas=1).id == GOLDEN_ID
    assert [RunConfig.from_dict(run.to_dict()) for run in together] == together


def test_the_validation_fraction_changes_the_id() -> None:
    selecting = {"selection": "best-validation"}
    assert config(**selecting, validation=0.2).id != config(**selecting).id


@pytest.mark.parametrize("setting", ["rho", "lr", "betas", "eps", "weight_decay", "amsgrad"])
def test_every_hyperparameter_changes_the_id(setting: str) -> None:
    value: object = {"betas": [0.8, 0.9], "amsgrad": True}.get(setting, 0.25)
    assert config(optimizer={"name": "sam", setting: value}).id != GOLDEN_ID


def test_a_default_written_out_keeps_the_id() -> None:
    written = {"name": "sam", "base": "adam", "rho": 0.05, "lr": 0.0001}
    assert config(optimizer=written, epochs=50).id == GOLDEN_ID


def test_a_whole_number_for_a_fraction_keeps_the_id() -> None:
    ids = {config(optimizer={"name": "sam", "rho": rho}).id for rho in (1, 1.0)}
    assert len(ids) == 1


def test_settings_of_the_base_apply_beside_the_optimizer() -> None:
    made = config(base="sgd", lr=0.1, weight_decay=0.01)
    assert made.optimizer == {
        "name": "sam",
        "base": "sgd",
        "rho": 0.05,
        "lr": 0.1,
        "momentum": 0.0,
        "dampening": 0.0,
        "weight_decay": 0.01,
        "nesterov": False,
    }


def test_the_optimizers_own_settings_win_over_those_beside_it() -> None:
    made = config(optimizer={"name": "sam", "base": "sgd", "lr": 0.5}, base="adamw", lr=0.1)
    assert (made.optimizer["base"], made.optimizer["lr"]) == ("sgd", 0.5)


def test_an_optimizer_that_is_its_own_base_ignores_the_base_beside_it() -> None:
    assert config(optimizer="adam", base="sgd").optimizer["base"] == "adam"


def test_a_name_that_is_safe_as_a_folder() -> None:
    name = config(model="timm:resnet 10/t").name
    assert name.startswith("phantom-timm_resnet_10_t-sam-s0-")


def test_an_unknown_key() -> None:
    assert refused(epoch=3).startswith(
        "unknown key 'epoch' in a run: did you mean 'epochs'?; known: dataset, image_size, model,"
    )


@pytest.mark.parametrize("key", ["dataset", "image_size", "model", "optimizer"])
def test_a_missing_key(key: str) -> None:
    assert refused(**{key: None}) == f"a run needs '{key}'"


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("image_size", 7, "a whole number >= 8"),
        ("image_size", 64.0, "a whole number >= 8"),
        ("batch_size", 0, "a whole number >= 1"),
        ("batch_size", True, "a whole number >= 1"),
        ("epochs", 0, "a whole number >= 1"),
        ("epochs", "3", "a whole number >= 1"),
        ("seed", -1, "a whole number >= 0"),
        ("split_seed", None, "a whole number >= 0"),
        ("fold", -1, "a whole number >= 0"),
        ("pretrained", 1, "true or false"),
        ("dataset", "", NAME),
        ("dataset", "../x", NAME),
        ("dataset", "a\n", NAME),
        ("dataset", "x" * 81, NAME),
        ("dataset", ["phantom", "bus"], NAME),
        ("model", 18, "a name"),
        ("split", 5, "a name"),
        ("schedule", "warm", "constant, cosine, step, onecycle"),
        ("augmentation", "crop", "none, flip-shift, pad-crop-flip, standard, papers"),
        ("normalization", None, "unit, standard, imagenet, pretrained"),
        ("precision", 64, "fp32, tf32, bf16"),
    ],
)
def test_a_bad_value(key: str, value: object, allowed: str) -> None:
    assert refused(**{key: value}) == f"{key}={value!r} is not allowed; allowed: {allowed}"


def test_a_misspelt_choice_offers_the_closest() -> None:
    assert refused(selection="best-validaton") == (
        "selection='best-validaton' is not allowed: did you mean 'best-validation'?; "
        "allowed: last, best-validation"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1, "validation=1 is not allowed; allowed: a number in [0, 1)"),
        (-0.1, "validation=-0.1 is not allowed; allowed: a number in [0, 1)"),
        ("some", "validation='some' is not allowed; allowed: a number in [0, 1)"),
        ("1", "validation='1' is not allowed; allowed: a number in [0, 1)"),
        (float("nan"), "validation=nan is not allowed; allowed: a number in [0, 1)"),
    ],
)
def test_a_bad_validation_fraction(value: object, message: str) -> None:
    assert refused(validation=value) == message


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (5, "optimizer=5 needs a name, as in {name: sam, rho: 0.05}"),
        ({"rho": 1}, "optimizer={'rho': 1} needs a name, as in {name: sam, rho: 0.05}"),
        ({"name": "sam", "rho": -1}, "sam rho=-1 is not allowed; allowed: >= 0"),
        ({"name": "sam", "rho": "big"}, "sam rho='big' is not allowed; allowed: >= 0"),
        ({"name": "sam", "rho": float("inf")}, "sam rho=inf is not allowed; allowed: >= 0"),
        (
            {"name": "sam", "loss_decay": 1e300},
            "sam loss_decay=1e+300 is not allowed; allowed: >= 0",
        ),
        ({"name": "sam", "lr": -1}, "adam lr=-1 is not allowed; allowed: >= 0"),
        (
            {"name": "gcsam", "norm": "rew"},
            "gcsam norm='rew' is not allowed; allowed: raw | centered",
        ),
        (
            {"name": "gcsam", "conv_only": 1},
            "gcsam conv_only=1 is not allowed; allowed: false | true",
        ),
        ({"name": "adam", "betas": [0.9, 1.0]}, "adam betas=1.0 is not allowed; allowed: [0, 1)"),
        (
            {"name": "sam", "base": "sgd", "nesterov": True},
            "sgd nesterov=true needs a momentum, as 0.9, and dampening=0",
        ),
        (
            {"name": "sgd", "nesterov": True, "momentum": 0.9, "dampening": 0.1},
            "sgd nesterov=true needs a momentum, as 0.9, and dampening=0",
        ),
        ({"name": "looksam", "k": 2.5}, "looksam k=2.5 is not allowed; allowed: whole, >= 1"),
        ({"name": "esam", "seed": 0.5}, "esam seed=0.5 is not allowed; allowed: whole, >= 0"),
        (
            {"name": "sam", "roh": 1},
            "sam on adam has no hyperparameter 'roh': did you mean 'rho'?; "
            "known: rho, lr, betas, eps, weight_decay, amsgrad, "
            "max_norm, loss_decay, replay_randomness, skip_nonfinite",
        ),
        (
            {"name": "adam", "rho": 1},
            "adam on adam has no hyperparameter 'rho'; "
            "known: lr, betas, eps, weight_decay, amsgrad, "
            "max_norm, loss_decay, replay_randomness, skip_nonfinite",
        ),
    ],
)
def test_a_bad_optimizer(optimizer: object, message: str) -> None:
    assert refused(optimizer=optimizer) == message


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "sgd", "nesterov": True, "momentum": 0.9},
        {"name": "sam", "base": "muon", "momentum": 0},
        {"name": "looksam", "k": 3},
    ],
)
def test_settings_that_go_together(optimizer: dict[str, Any]) -> None:
    chosen = config(optimizer=optimizer).optimizer
    assert {**chosen, **optimizer} == chosen


def test_an_unknown_optimizer() -> None:
    with pytest.raises(UnknownNameError) as caught:
        config(optimizer="gsam2")
    assert str(caught.value).startswith("unknown optimizer 'gsam2': did you mean ")
    assert str(caught.value).endswith(
        "; `sambench list optimizers` shows all; --plugin FILE adds your own"
    )


def test_an_unknown_base() -> None:
    with pytest.raises(UnknownNameError) as caught:
        config(base="adamx")
    assert str(caught.value) == (
        "unknown base optimizer 'adamx': did you mean 'adam' or 'adamw'?; "
        "give adam, adamw, sgd, muon or a dotted name such as torch.optim.RMSprop"
    )


@pytest.mark.parametrize(
    ("given", "rule", "value"),
    [
        ("epochs", "epochs", None),
        ("train-accuracy", "train-accuracy", 1.0),
        ("train-accuracy=0.9", "train-accuracy", 0.9),
        ("patience", "patience", 10.0),
        ("patience=", "patience", 10.0),
        ("patience=3", "patience", 3.0),
        ("gradient-evaluations=1e4", "gradient-evaluations", 10_000.0),
        ({"rule": "minutes", "value": 1.5}, "minutes", 1.5),
        ({"rule": "patience"}, "patience", 10.0),
        ({}, "epochs", None),
        (Stop(rule="patience", value=2.0), "patience", 2.0),
    ],
)
def test_stop_rules(given: object, rule: str, value: float | None) -> None:
    assert Stop.parse(given) == Stop(rule=rule, value=value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "patient",
            "stop rule='patient' is not allowed: did you mean 'patience'?; allowed: ",
        ),
        ("epochs=5", "stop rule epochs takes no value; set `epochs` itself"),
        ("minutes", "stop rule minutes needs a value, as in minutes=100"),
        ("minutes=0", "stop value=0.0 is not allowed; allowed: a number above 0"),
        ("minutes=nan", "stop: 'nan' is not a finite number"),
        ("minutes=inf", "stop: 'inf' is not a finite number"),
        ("patience=-1", "stop value=-1.0 is not allowed; allowed: a number above 0"),
        ("patience=x", "stop: 'x' is not a finite number"),
        (
            "train-accuracy=1.1",
            "stop rule train-accuracy=1.1 is not allowed; allowed: a number in (0, 1]",
        ),
        (
            {"rule": "patience", "value": True},
            "stop value=True is not allowed; allowed: a number",
        ),
        ({"rule": "patience", "epochs": 3}, "unknown key 'epochs' in stop; known: rule, value"),
        (3, "stop=3 is not a rule; rules: epochs, train-accuracy, patience, gradient-evalu"),
        (None, "stop=None is not a rule; rules: epochs"),
    ],
)
def test_bad_stop_rules(given: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Stop.parse(given)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("rule", STOP_RULES)
def test_every_stop_rule_survives_the_round_trip(rule: str) -> None:
    made = config(stop=rule if rule == "epochs" else f"{rule}=1")
    assert RunConfig.from_dict(made.to_dict()).stop == made.stop
    assert made.stop.rule == rule


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 0.0),
        ({"validation": 0.2}, 0.2),
        ({"selection": "best-validation"}, 0.1),
        ({"selection": "best-validation", "validation": 0.2}, 0.2),
        ({"stop": "patience=3"}, 0.1),
        ({"stop": "train-accuracy", "validation": 0.2}, 0.2),
    ],
)
def test_images_are_set_aside_where_a_rule_selects_or_one_asks(
    settings: dict[str, Any], expected: float
) -> None:
    assert config(**settings).validation == expected


def test_a_config_is_frozen() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        config().seed = 3  # type: ignore[misc]


def test_what_every_optimizer_takes_is_part_of_a_run_only_where_it_is_set() -> None:
    plain = config(optimizer="sam")
    given = {"name": "sam", "max_norm": 0.0, "replay_randomness": False}
    assert config(optimizer=given).id == plain.id
    clipped = config(optimizer={"name": "sam", "max_norm": 1, "skip_nonfinite": True})
    assert clipped.optimizer["max_norm"] == 1.0
    assert clipped.optimizer["skip_nonfinite"] is True
    assert clipped.id != plain.id
    assert "max_norm" not in plain.optimizer
    message = refused(optimizer={"name": "sam", "loss_decay": -1})
    assert message == "sam loss_decay=-1 is not allowed; allowed: >= 0"


def test_a_hyperparameter_that_came_later_keeps_the_ids_of_runs_stored_before() -> None:
    plain = config(optimizer="gsam")
    assert "lr_max" not in plain.optimizer
    assert config(optimizer={"name": "gsam", "lr_max": 0.0}).id == plain.id
    assert config(optimizer={"name": "gsam", "lr_max": 0.1}).id != plain.id


def test_how_steps_are_executed_does_not_rename_a_run() -> None:
    given = {"dataset": "d", "image_size": 32, "model": "small-cnn", "optimizer": "sam"}
    usual = RunConfig.from_dict(given)
    other = RunConfig.from_dict({**given, "capture": "never", "compile": "always"})
    assert other.id == usual.id
    assert other.to_dict()["compile"] == "always"
    assert RunConfig.from_dict({**given, "kernels": "fastest"}).id != usual.id
    with pytest.raises(ConfigError, match="capture='yes' is not allowed; allowed: auto"):
        RunConfig.from_dict({**given, "capture": "yes"})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weights": "0" * 64, "pretrained": True}, "pretrained and weights both"),
        ({"weights": "w.safetensors"}, "64 hexadecimal digits"),
        ({"warmup": 50}, "warmup=50 is not allowed with epochs=50"),
        ({"warmup": 1, "schedule": "onecycle"}, "warms up by itself"),
        ({"decayed": "matrices"}, "needs a weight decay"),
        ({"sampler": "balanced", "replicas": 2}, "for one process"),
        ({"average": "ema", "replicas": 2}, "for one process"),
        ({"validation": 0, "stop": "patience=3"}, "validation=0 leaves no image for stop=patience"),
        ({"validation": 0.0, "selection": "best-validation"}, "for selection=best-validation; giv"),
    ],
)
def test_settings_that_do_not_go_together(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config(**given)


def test_other_weights_are_another_run() -> None:
    ids = {config(weights=given).id for given in (None, "0" * 64, "1" * 64)}
    assert len(ids | {config(pretrained=True).id}) == 4


def test_leaving_vectors_out_of_the_decay_is_another_run() -> None:
    optimizer = {"name": "sam", "weight_decay": 0.01}
    one, other = (config(optimizer=optimizer, decayed=decayed) for decayed in ("all", "matrices"))
    assert one.id != other.id


@pytest.mark.parametrize(
    ("name", "setting", "before"), [("fsam", "decay", 0.9), ("esam", "share", 0.5)]
)
def test_a_default_that_changed_names_another_run_and_no_old_one_anew(
    name: str, setting: str, before: float
) -> None:
    now, then = (
        RunConfig(
            dataset="phantom",
            model="small-cnn",
            image_size=32,
            optimizer=resolve_optimizer(given, {}),
        )
        for given in (name, {"name": name, setting: before})
    )
    assert now.optimizer[setting] != then.optimizer[setting] == before
    assert now.id != then.id
