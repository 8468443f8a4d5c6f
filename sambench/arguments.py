"""KEY=VALUE settings as people write them, sorted by whom they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import yaml

from sambench.config import RunConfig
from sambench.errors import ConfigError, did_you_mean
from sambench.optim.base import BASES, find_base
from sambench.optim.method import optimizers as registry
from sambench.yaml_text import read_yaml


def parse_settings(given: Sequence[str] | None) -> dict[str, Any]:
    """Read KEY=VALUE settings; values are written as in YAML.

    Raises:
        ConfigError: If a text has no key or no equals sign, or its value is no YAML.
    """
    parsed = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not (equals and key):
            raise ConfigError(f"--set {text!r} is not KEY=VALUE, as in rho=0.1")
        try:
            parsed[key] = read_yaml(value)
        except yaml.YAMLError:
            raise ConfigError(f"--set {text!r}: {value!r} is no YAML value") from None
    return parsed


def sort_settings(
    given: Sequence[str] | None, optimizers: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split settings into the run's own and those of the optimizers.

    Raises:
        ConfigError: If a setting is neither.
    """
    own = {field.name for field in fields(RunConfig)} | {"base"}
    known = {name for optimizer in optimizers for name in hyperparameters_of(optimizer)}
    run: dict[str, Any] = {}
    for_optimizer: dict[str, Any] = {}
    for key, value in parse_settings(given).items():
        if key not in own | known:
            raise ConfigError(
                f"unknown setting {key!r}{did_you_mean(key, own | known)}; "
                f"of the run: {', '.join(sorted(own))}; of {', '.join(optimizers)}: "
                f"{', '.join(sorted(known))}"
            )
        (run if key in own else for_optimizer)[key] = value
    return run, for_optimizer


def with_settings(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return an optimizer with those of the settings that it has."""
    return {"name": name, **{k: v for k, v in settings.items() if k in hyperparameters_of(name)}}


def hyperparameters_of(optimizer: str) -> set[str]:
    """Return the names of an optimizer's hyperparameters and of all bases that it can run on."""
    info = registry.get(optimizer)
    bases = BASES.values() if info.base is None else [find_base(info.base)]
    return {*info.hyperparameters, *(name for base in bases for name in base.settings)}
