"""Settings of a curvature measurement: defaults and ranges."""

from __future__ import annotations

from typing import Any

import pytest

from sambench.config.curvature_settings import HessianSettings
from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.errors import ConfigError
from sambench.files.definition import build, plain


def settings_of(given: dict[str, object]) -> HessianSettings:
    return build(HessianSettings, given, "hessian")


def test_what_is_not_given_has_its_default() -> None:
    made = settings_of({"samples": None, "tol": 1, "seed": 0, "minutes": 2})
    assert made == HessianSettings(samples=None, tol=1, seed=0, minutes=2)
    assert build(HessianSettings, plain(made), "hessian") == made
    assert settings_of({}) == HessianSettings()


SHARE = "allowed: a number in (0, 1]"
NUMBER = "allowed: a number above 0"
WHOLE = "allowed: a whole number >= 1"


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("samples", 0, WHOLE),
        ("samples", 1.5, WHOLE),
        ("samples", True, WHOLE),
        ("max_matvecs", None, "allowed: a whole number >= 8"),
        ("max_matvecs", 7, "allowed: a whole number >= 8"),
        ("tol", 0, SHARE),
        ("tol", -0.1, SHARE),
        ("tol", "1", SHARE),
        ("tol", float("nan"), SHARE),
        ("tol", 5, SHARE),
        ("trace_tol", float("inf"), SHARE),
        ("minutes", 0, NUMBER),
        ("minutes", True, NUMBER),
        ("sigma", 0.0, NUMBER),
        ("seed", -1, "allowed: a whole number >= 0"),
        ("adaptive", 1, "allowed: true or false"),
        ("batch_stat", "vhv", "allowed: dominant, top, topk, trace, none"),
    ],
)
def test_what_is_not_allowed_is_refused(key: str, value: object, allowed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of({key: value})
    assert str(caught.value) == f"hessian {key}={value!r} is not allowed; {allowed}"


def test_a_choice_nearly_right_is_offered() -> None:
    with pytest.raises(ConfigError, match="did you mean 'dominant'"):
        settings_of({"batch_stat": "dominent"})


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown key 'sample' in hessian: did you mean"):
        settings_of({"sample": 3})


def test_noise_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="perturbations need a batch_stat"):
        settings_of({"perturbations": 2, "batch_stat": "none"})


def test_defaults_are_choices() -> None:
    settings = plain(HessianSettings())
    assert settings_of(settings) == HessianSettings()


def test_a_study_that_was_done_with_other_settings_is_told() -> None:
    wanted = Measurement.parse({"sharpness": {"rho": 0.2}, "landscape": True, "minutes": 1})
    measures = {"sam-step": {"rho": 0.05}, "average-case": {"rho": 0.01}}
    held: dict[str, Any] = {
        "settings": {**wanted.settings(), "minutes": None},
        "sharpness": {"measures": measures},
        "landscape": {"plane": {"points": 5}},
    }
    assert wanted.otherwise(held) == (
        "measured with sharpness.rho=0.05, landscape.points=5, "
        "the suite asks sharpness.rho=0.2, landscape.points=21"
    )
    measures["sam-step"]["rho"], held["landscape"]["plane"]["points"] = 0.2, 21
    assert not wanted.otherwise(held)


def test_what_is_left_to_measure_is_told() -> None:
    settings = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "optimizer": "adam"}
    run, other = (RunConfig.from_dict({**settings, "seed": seed}) for seed in (0, 1))
    wanted, way = Measurement(other=other), f"way to {other.name}"
    assert wanted.missing(run, None) == ("hessian", way)
    assert wanted.missing(run, {}) == (way,)
    assert wanted.missing(run, {"landscape": {"interpolations": {other.id: {}}}}) == ()
    assert wanted.missing(other, {}) == ()  # to itself there is none
