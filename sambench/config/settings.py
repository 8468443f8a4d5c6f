"""Every setting of a run: what it takes, default, unit and meaning, from where each is defined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sambench.config.optimizer import LEARNING_RATE
from sambench.config.run_config import RunConfig
from sambench.config.stop import STOP_RULES
from sambench.files.description import described
from sambench.optim.base import BASES
from sambench.optim.hyperparameter import Mechanics, declared
from sambench.optim.method import optimizers

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What `--set KEY=VALUE` takes."""

    name: str  # as on the command line
    type: str  # what values there are, in words
    choices: tuple[str, ...]  # all values, where they are a few
    default: Any  # None where there is none, or it follows from others
    unit: str  # of a number; empty where it has none
    meaning: str
    of: tuple[str, ...] = ()  # the optimizers or bases that have it; empty for one of the run


def run_settings() -> Iterator[Setting]:
    """Yield the settings of the run itself, in the order of `RunConfig`, then the stop rules."""
    for field in described(RunConfig):
        stop = field.name == "stop"
        yield Setting(
            name=field.name,
            type="a rule" if stop else field.allowed,
            choices=field.choices,
            default=field.default.rule if stop else field.default,
            unit=field.unit,
            meaning=field.meaning,
        )
    for name, rule in STOP_RULES.items():
        if rule.unit:
            yield Setting(
                name=f"stop.{name}",
                type=rule.allowed,
                choices=(),
                default=rule.default,
                unit=rule.unit,
                meaning=f"Stop as soon as this holds: {rule.meaning}",
            )


def optimizer_settings() -> Iterator[Setting]:
    """Yield the hyperparameters of all optimizers and bases by name, those that are alike once."""
    found: dict[tuple[str, str, Any, str], list[str]] = {}
    owners = {info.name: info.hyperparameters for info in optimizers.list()}
    for owner, hyperparameters in {**owners, ALL: declared(Mechanics)}.items():
        for name, h in hyperparameters.items():
            kind = "a number" if h.range == "any" else h.range
            found.setdefault((name, kind, h.default, h.help), []).append(owner)
    for base in BASES.values():
        for name, default in base.settings.items():
            meaning = "of the base optimizer, as in torch.optim"
            value = LEARNING_RATE if name == "lr" else default
            found.setdefault((name, _kind(value), value, meaning), []).append(f"base {base.name}")
    found[("base", " | ".join(BASES), "adam", "turns the direction into an update")] = [ALL]
    for (name, kind, default, meaning), of in sorted(found.items(), key=lambda item: item[0][0]):
        yield Setting(
            name=f"optimizer.{name}",
            type=kind,
            choices=tuple(kind.split(" | ")) if " | " in kind else (),
            default=default,
            unit="",
            meaning=meaning,
            of=tuple(of),
        )


def _kind(default: object) -> str:
    if isinstance(default, tuple):
        return f"{len(default)} numbers"
    return "false | true" if isinstance(default, bool) else "a number >= 0"
