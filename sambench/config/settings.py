"""Every setting of a run: what it takes and means, and KEY=VALUE as people write it.

A key names a field of the run (`schedule`), a hyperparameter of the optimizer (`rho`, in full
`optimizer.rho`) or a stop rule (`stop.patience`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from sambench.config.grid import SETTINGS, Pattern
from sambench.config.optimizer import LEARNING_RATE, all_hyperparameters, hyperparameters_of
from sambench.config.run_config import RunConfig
from sambench.config.stop import STOP_RULES
from sambench.errors import ConfigError, did_you_mean, shown
from sambench.files.description import described
from sambench.files.yaml_text import read_yaml
from sambench.optim.base import BASES, find_base
from sambench.optim.hyperparameter import Mechanics, declared
from sambench.optim.method import optimizers as registry

ALL = "all"
OPTIMIZER, STOP = "optimizer", "stop"
SEE = "`sambench list settings` explains all"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What `--set KEY=VALUE` takes."""

    name: str  # as on the command line
    type: str  # what values there are, in words
    choices: tuple[str, ...] = ()  # all values, where they are a few
    default: Any  # None where there is none, or it follows from others
    unit: str = ""  # of a number; empty where it has none
    meaning: str
    of: tuple[str, ...] = ()  # the optimizers or bases that have it; empty for one of the run


def run_settings() -> Iterator[Setting]:
    """Yield the settings of the run itself, in the order of `RunConfig`, then the stop rules."""
    for of_run in described(RunConfig):
        stop = of_run.name == "stop"
        yield Setting(
            name=of_run.name,
            type="a rule" if stop else of_run.allowed,
            choices=of_run.choices,
            default=of_run.default.rule if stop else of_run.default,
            unit=of_run.unit,
            meaning=of_run.meaning,
        )
    for name, rule in STOP_RULES.items():
        if rule.unit:
            yield Setting(
                name=f"stop.{name}",
                type=rule.allowed,
                default=rule.default,
                unit=rule.unit,
                meaning=f"Stop as soon as this holds: {rule.meaning}",
            )


def optimizer_settings() -> Iterator[Setting]:
    """Yield the hyperparameters of all optimizers and bases by name, those that are alike once."""
    found: dict[tuple[str, str, Any, str], list[str]] = {}
    owners = {info.name: info.hyperparameters for info in registry.list()}
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
            meaning=meaning,
            of=tuple(of),
        )


def _kind(default: object) -> str:
    if isinstance(default, tuple):
        return f"{len(default)} numbers in [0, 1)"
    return "false | true" if isinstance(default, bool) else "a number >= 0"


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """Settings by whom they belong to."""

    run: dict[str, Any] = field(default_factory=dict)  # of `RunConfig`, and the base optimizer
    optimizer: dict[str, Any] = field(default_factory=dict)  # hyperparameters
    spelled: dict[str, str] = field(default_factory=dict)  # as written, by the field that it sets

    def refuse(self, options: Mapping[str, str], said: str) -> None:
        """Refuse, by a ConfigError that says so of both, the first setting that an option sets."""
        for key, option in options.items():
            if key in self.spelled:
                raise ConfigError(said.format(setting=f"--set {self.spelled[key]}", option=option))


def parse_settings(given: Sequence[str] | None, option: str = "--set") -> dict[str, Any]:
    """Read the KEY=VALUE settings of an option; values are written as in YAML.

    A text without key or equals sign, a value that is no YAML, or a key twice is a ConfigError.
    """
    parsed: dict[str, Any] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not (equals and key):
            raise ConfigError(f"{option} {shown(text)} is not KEY=VALUE, as in rho=0.1")
        if key in parsed:
            raise ConfigError(f"{option} {key} is given twice; keep one")
        try:
            parsed[key] = read_yaml(value)
        except yaml.YAMLError:
            raise ConfigError(f"{option} {shown(text)}: {shown(value)} is no YAML value") from None
    return parsed


def sort_settings(given: Sequence[str] | None, optimizers: Sequence[str]) -> Sorted:
    """Sort settings into the run's and the optimizers'; a stray or double one is a ConfigError."""
    parsed = parse_settings(given)
    base = parsed.get("base", parsed.get(f"{OPTIMIZER}.base"))
    known = {name for each in optimizers for name in hyperparameters_of(each, base)}
    own = set(RunConfig.__struct_fields__) | {"base"}
    found = Sorted()
    for key, as_given in parsed.items():
        head, dot, rest = key.partition(".")
        name, of_optimizer, value = key, key not in own, as_given
        if dot and head == STOP:
            if rest not in STOP_RULES:
                raise ConfigError(
                    f"unknown setting {key!r}{did_you_mean(rest, STOP_RULES)}; "
                    f"rules of {STOP}: {', '.join(STOP_RULES)}; {SEE}"
                )
            name, of_optimizer, value = STOP, False, {"rule": rest, "value": value}
        elif dot and head == OPTIMIZER:
            name, of_optimizer = rest, rest != "base"
            if of_optimizer and name not in known:
                raise ConfigError(
                    f"unknown setting {shown(key)}{did_you_mean(name, known | {'base'})}; "
                    f"of {', '.join(optimizers)}: {', '.join(sorted(known | {'base'}))}; {SEE}"
                )
        elif key not in own | known:
            raise ConfigError(
                f"unknown setting {shown(key)}{did_you_mean(key, own | known)}; "
                f"of the run: {', '.join(sorted(own))}; of {', '.join(optimizers)}: "
                f"{', '.join(sorted(known))}; {SEE}"
            )
        if name == "base" and not of_optimizer:
            _refuse_base(str(value), optimizers)
        if name in found.spelled:
            raise ConfigError(f"--set {found.spelled[name]} and --set {key} are one; keep one")
        found.spelled[name] = key
        (found.optimizer if of_optimizer else found.run)[name] = value
    return found


def _refuse_base(base: str, optimizers: Sequence[str]) -> None:
    """Refuse a base optimizer that does not exist or that none of the optimizers takes."""
    find_base(base)
    own = {name: registry.get(name).base for name in optimizers}
    if all(its not in (None, base) for its in own.values()):
        raise ConfigError(f"--set base={base}: {', '.join(own)} has its own base optimizer")


def where_pattern(given: Sequence[str] | None) -> Pattern:
    """Read KEY=VALUE conditions on runs, as rho=[0.1,0.2] or model=vgg16; all must hold.

    One that is not KEY=VALUE, or whose key is no setting, is a ConfigError.
    """
    known = all_hyperparameters() | {"base"}
    wanted: dict[str, Any] = {}
    of_optimizer: dict[str, Any] = {}
    for key, value in parse_settings(given, "--where").items():
        name = key.removeprefix(f"{OPTIMIZER}.")
        if key in SETTINGS:
            wanted[key] = value
        elif name in known:
            of_optimizer[name] = value
        else:
            raise ConfigError(
                f"--where: no setting {shown(key)}{did_you_mean(key, (*SETTINGS, *known))}; {SEE}"
            )
    if not of_optimizer:
        return Pattern.parse(wanted) if wanted else Pattern()
    names = wanted.get(OPTIMIZER)
    each = names if isinstance(names, list) else [names]
    wanted[OPTIMIZER] = [{**of_optimizer, **({} if one is None else {"name": one})} for one in each]
    return Pattern.parse(wanted)


def with_settings(
    name: str, settings: Mapping[str, Any], base: str | None = None
) -> dict[str, Any]:
    """Return an optimizer with those of the settings that it has on a base."""
    has = hyperparameters_of(name, base)
    return {"name": name, **{k: v for k, v in settings.items() if k in has}}
