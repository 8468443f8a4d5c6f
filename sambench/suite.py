"""A suite of runs: read from YAML, checked, and expanded in full before anything runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sambench.config import RunConfig
from sambench.errors import ConfigError, did_you_mean
from sambench.hessian_settings import HessianSettings
from sambench.yaml_text import read_yaml

KEYS = ("name", "defaults", "matrix", "seeds", "hessian", "report")


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A named study.

    Attributes:
        name: Names its reports.
        defaults: Settings shared by all runs.
        matrix: Settings that vary; every combination is run.
        seeds: Each combination is run with each.
        hessian: How curvature is measured after each run; None to leave it out.
        baseline: The optimizer that the others are compared with; None for no particular one.
    """

    name: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    matrix: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    hessian: HessianSettings | None = None
    baseline: str | None = None

    @classmethod
    def from_dict(cls, given: Mapping[str, Any], where: str) -> Suite:
        """Check the content of a suite file.

        Raises:
            ConfigError: If a key is unknown or a value of the wrong type; names the place.
        """
        for key in given:
            if key not in KEYS:
                raise ConfigError(
                    f"{where}: unknown key {str(key)!r}{did_you_mean(str(key), KEYS)}; "
                    f"known: {', '.join(KEYS)}"
                )
        if not isinstance(given.get("name"), str):
            raise ConfigError(f"{where}: a suite needs a name, as in `name: demo`")
        report = _mapping(given, "report", where)
        for key in report:
            if key != "baseline":
                raise ConfigError(f"{where}: unknown key {key!r} in report; known: baseline")
        matrix = _mapping(given, "matrix", where)
        for key, value in matrix.items():
            if value == []:
                raise ConfigError(f"{where}: matrix {key} is empty; give at least one value")
        hessian = given.get("hessian")
        return cls(
            name=given["name"],
            defaults=_mapping(given, "defaults", where),
            matrix={
                key: tuple(value) if isinstance(value, list) else (value,)
                for key, value in matrix.items()
            },
            seeds=_seeds(given.get("seeds", 1), where),
            hessian=(
                None
                if hessian in (None, False)
                else HessianSettings.from_dict(_mapping(given, "hessian", where))
            ),
            baseline=None if (name := report.get("baseline")) is None else str(name),
        )

    def expand(self, image_size: Callable[[str], int]) -> tuple[RunConfig, ...]:
        """Return every run, seeds outermost so that complete comparisons come early.

        Args:
            image_size: The side to use for a dataset where the suite names none.

        Raises:
            ConfigError: If a setting is unknown or out of range; nothing has run then.
            UnknownNameError: If an optimizer does not exist.
        """
        runs: dict[str, RunConfig] = {}
        for seed in self.seeds:
            for values in itertools.product(*self.matrix.values()):
                settings = {**self.defaults, **dict(zip(self.matrix, values, strict=True))}
                settings.setdefault("seed", seed)
                dataset = settings.get("dataset")
                if settings.get("image_size") is None and isinstance(dataset, str):
                    settings["image_size"] = image_size(dataset)
                config = RunConfig.from_dict(settings)
                runs[config.id] = config
        names = {str(config.optimizer["name"]) for config in runs.values()}
        if self.baseline is not None and self.baseline not in names:
            raise ConfigError(
                f"suite {self.name}: baseline {self.baseline!r} is not among its optimizers"
                f"{did_you_mean(self.baseline, names)}; they are: {', '.join(sorted(names))}"
            )
        return tuple(runs.values())


def load_suite(path: Path) -> Suite:
    """Read a suite file.

    Raises:
        ConfigError: If it is missing, no YAML, or not a suite.
    """
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        beside = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        there = f"; in {path.parent}: {', '.join(beside)}" if beside else ""
        raise ConfigError(f"suite {path} does not exist{there}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"suite {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"suite {path} is no valid YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"suite {path} must be a mapping with: {', '.join(KEYS)}")
    return Suite.from_dict(content, str(path))


def _mapping(given: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = given.get(key)
    if value is None or value is True:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {key} must be a mapping, not {value!r}")
    return {str(name): item for name, item in value.items()}


def _seeds(value: object, where: str) -> tuple[int, ...]:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return tuple(range(value))
    if isinstance(value, list) and value and all(type(v) is int and v >= 0 for v in value):
        return tuple(value)
    raise ConfigError(f"{where}: seeds={value!r} must be a number of seeds or a list of them")
