"""Every setting of a run: type, default, unit and meaning, read from where each is defined."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from sambench.config.run_config import (
    CHOICES,
    LEARNING_RATE,
    MINIMUM,
    STOP_RULES,
    RunConfig,
    Stop,
    choices_of,
)
from sambench.optim.base import BASES
from sambench.optim.hyperparameter import Hyperparameter, Mechanics
from sambench.optim.method import optimizers

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What `--set KEY=VALUE` takes.

    Attributes:
        name: As on the command line.
        type: "number", "whole number", "text", "true | false", or the values that there are.
        default: None where there is none, or it follows from others.
        unit: Of a number; empty where it has none.
        meaning: One sentence or two.
        of: The optimizers or base optimizers that have it; empty for a setting of the run.
    """

    name: str
    type: str
    default: Any
    unit: str
    meaning: str
    of: tuple[str, ...] = ()


def run_settings() -> Iterator[Setting]:
    """Yield the settings of the run itself, in the order of `RunConfig`, then the stop rules."""
    meanings, hints = _attributes(RunConfig), get_type_hints(RunConfig, include_extras=True)
    for f in fields(RunConfig):
        unit = next(iter(getattr(hints[f.name], "__metadata__", ())), "")
        yield Setting(
            name=f.name,
            type=_type(f.name, hints[f.name]),
            default=_default(f),
            unit=unit,
            meaning=meanings[f.name],
        )
    for rule, unit, meaning in _rules(_attributes(Stop)["value"]):
        yield Setting(
            name=f"stop.{rule}",
            type="number above 0",
            default=STOP_RULES[rule],
            unit=unit,
            meaning=f"Stop then: {meaning}.",
        )


def optimizer_settings() -> Iterator[Setting]:
    """Yield the hyperparameters of all optimizers and bases by name, those that are alike once."""
    found: dict[tuple[str, str, Any, str], list[str]] = {}
    for owner, hyperparameters in _declared():
        for name, h in hyperparameters.items():
            kind = "number" if h.range == "any" else h.range
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
            default=default,
            unit="",
            meaning=meaning,
            of=tuple(of),
        )


def _declared() -> Iterator[tuple[str, dict[str, Hyperparameter[Any]]]]:
    """Yield each optimizer with its own hyperparameters, then those that all have."""
    for info in optimizers.list():
        yield info.name, info.hyperparameters
    yield ALL, {k: h for k, h in vars(Mechanics).items() if isinstance(h, Hyperparameter)}


def _kind(default: object) -> str:
    if isinstance(default, tuple):
        return f"{len(default)} numbers"
    return "true | false" if isinstance(default, bool) else "number >= 0"


def _default(f: Field[Any]) -> Any:
    if f.default is not MISSING:
        return f.default
    return "epochs" if f.name == "stop" else None


def _type(name: str, hint: Any) -> str:
    if name in CHOICES:
        return " | ".join(choices_of(name))
    if name in MINIMUM:
        return f"whole number >= {MINIMUM[name]}"
    plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if isinstance(plain, types.UnionType):
        plain = get_args(plain)[0]
    return {bool: "true | false", float: "number in [0, 1)", Stop: "rule"}.get(plain, "name")


def _attributes(described: type) -> dict[str, str]:
    """Return what the section "Attributes" of a docstring says of each, on one line."""
    section = inspect.getdoc(described) or ""
    _, _, section = section.partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _rules(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, unit and meaning from "`a` (s): this; `b` (m) and `c` (kg): that."."""
    for clause in text.rstrip(".").split("; "):
        names, _, meaning = clause.partition(": ")
        for name, unit in re.findall(r"`([\w-]+)` \((\w+)\)", names):
            yield name, unit, meaning
