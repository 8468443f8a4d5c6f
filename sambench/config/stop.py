"""When a run's training ends before its last epoch: the rules, and one as it was asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from sambench.errors import ConfigError, shown
from sambench.files.definition import HUGE, Definition, Positive, build
from sambench.files.yaml_text import read_own_yaml


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """A rule that ends training before the cap on epochs."""

    default: float | None = None  # of its value; None where there is none
    unit: str = ""  # of its value; empty where it takes none
    meaning: str  # when it ends training
    maximum: float = HUGE  # of its value

    @property
    def allowed(self) -> str:
        """What its value may be, in words."""
        return "a number above 0" if self.maximum == HUGE else f"a number in (0, {self.maximum:g}]"


STOP_RULES = msgspec.convert(read_own_yaml("sambench.config", "stop.yaml"), dict[str, StopRule])


class Stop(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rule that may end training before the last epoch."""

    rule: Annotated[
        Literal["epochs", "train-accuracy", "patience", "gradient-evaluations", "minutes"],
        "Which of the stop rules.",
    ] = "epochs"
    value: Annotated[Positive | None, "Its value; null for a rule without one."] = None

    @classmethod
    def parse(cls, given: object) -> Stop:
        """Read "epochs", "patience=10" or {rule: patience, value: 10}; else a ConfigError."""
        if isinstance(given, Stop):
            return given
        if isinstance(given, str):
            name, _, text = given.partition("=")
            given = {"rule": name, **({"value": _number(text)} if text else {})}
        if not isinstance(given, Mapping):
            raise ConfigError(f"stop={shown(given)} is not a rule; rules: {', '.join(STOP_RULES)}")
        stop = build(cls, {k: v for k, v in given.items() if v is not None}, "stop")
        rule = STOP_RULES[stop.rule]
        if not rule.unit:
            if stop.value is not None:
                raise ConfigError("stop rule epochs takes no value; set `epochs` itself")
            return stop
        value = rule.default if stop.value is None else stop.value
        if value is None:
            raise ConfigError(f"stop rule {stop.rule} needs a value, as in {stop.rule}=100")
        if value > rule.maximum:
            said = f"stop rule {stop.rule}={value:g} is not allowed; allowed: {rule.allowed}"
            raise ConfigError(said)
        return replace(stop, value=value)


def _number(text: str) -> float:
    with suppress(ValueError):
        if math.isfinite(number := float(text)):
            return number
    raise ConfigError(f"stop: {shown(text)} is not a finite number")
