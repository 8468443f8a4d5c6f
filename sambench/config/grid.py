"""Grids of settings: their products, and patterns that pick runs out of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from sambench.config.optimizer import all_hyperparameters, unstored
from sambench.config.run_config import BESIDE_OPTIMIZER, RunConfig
from sambench.config.stop import Stop
from sambench.errors import ConfigError, UserError, did_you_mean, shown
from sambench.files.definition import Fault, Path
from sambench.optim.base import BASES
from sambench.optim.method import optimizers

MOST_RUNS = 100_000
"""Of one grid: what a slip of the pen asks for beyond this would only be waited for."""

EVERY = "all"
"""In place of optimizers: every registered one."""

SETTINGS = (*RunConfig.__struct_fields__, *BESIDE_OPTIMIZER)

Combination = Mapping[str, tuple[Any, Path]]
"""One point of a grid: the settings of a run, each with where it was written."""


def product(grid: Mapping[str, Any], path: Path) -> tuple[Combination, ...]:
    """Return every combination of a grid of settings, each a value or a list of values.

    Within an optimizer written as a mapping a list is a choice too, as in
    `{name: sam, rho: [0.05, 0.1]}`; `optimizer: all` stands for all of them.

    Raises:
        Fault: If a list is empty, or there are too many combinations; by where the grid stands.
    """
    axes = [[(key, v) for v in _values(key, given, (*path, key))] for key, given in grid.items()]
    _refuse_size(map(len, axes), path)
    return tuple(map(dict, itertools.product(*axes)))


def _refuse_size(lengths: Iterable[int], path: Path) -> None:
    number = math.prod(lengths)
    if number > MOST_RUNS:
        raise Fault(f"{number} combinations are asked for; allowed: at most {MOST_RUNS}", path)


def _values(key: str, given: Any, path: Path) -> Iterable[tuple[Any, Path]]:
    items = given if isinstance(given, list | tuple) else [given]
    if key == "optimizer" and given == EVERY:
        items = [info.name for info in optimizers.list()]
    for position, item in enumerate(items):
        place = (*path, position)  # of a single value its path is known alone
        if key == "optimizer" and isinstance(item, Mapping):
            choices = [_choices(name, values, place) for name, values in item.items()]
            _refuse_size(map(len, choices), place)
            yield from ((dict(point), place) for point in itertools.product(*choices))
        else:
            yield item, place


def _choices(name: str, given: Any, path: Path) -> list[tuple[str, Any]]:
    """Return the values of a hyperparameter, of which some (betas) are lists themselves."""
    if given == []:
        raise Fault(f"optimizer {shown(name)} is empty; give at least one value", path)
    one_is_a_list = any(isinstance(base.settings.get(name), tuple) for base in BASES.values())
    several = isinstance(given, list) and (not one_is_a_list or isinstance(given[0], list))
    return [(name, value) for value in (given if several else [given])]


def where_it_belongs(key: str) -> str:
    """Return the remedy for a hyperparameter that stands beside its optimizer; else nothing."""
    if key not in all_hyperparameters():
        return ""
    return f"; {key} belongs to its optimizer, as in `optimizer: {{name: sam, {key}: VALUE}}`"


class Pattern:
    """Picks the runs that have all of its settings, each with the value or one of the values.

    An optimizer is picked by its name, or by a mapping of its name and some hyperparameters.
    """

    def __init__(self, wanted: Mapping[str, tuple[Any, ...]] | None = None) -> None:
        self.wanted = wanted or {}  # every run fits where there is none

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.wanted == other.wanted

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return ", ".join(f"{k}: {' or '.join(map(_said, v))}" for k, v in self.wanted.items())

    @classmethod
    def parse(cls, given: object) -> Pattern:
        """Read a pattern; a ConfigError if it is no mapping or has an unknown key."""
        if not isinstance(given, Mapping) or not given:
            said = f"a pattern must name settings, as in {{optimizer: sam}}, not {shown(given)}"
            raise ConfigError(said)
        for key in given:
            if key not in SETTINGS:
                raise ConfigError(
                    f"unknown key {shown(key)} in a pattern{did_you_mean(str(key), SETTINGS)}; "
                    f"known: {', '.join(SETTINGS)}{where_it_belongs(str(key))}"
                )
        return cls(wanted={k: tuple(v) if isinstance(v, list) else (v,) for k, v in given.items()})

    def to_dict(self) -> dict[str, list[Any]]:
        """Return what `parse` takes."""
        return {key: list(values) for key, values in self.wanted.items()}

    def matches(self, config: RunConfig) -> bool:
        """Whether a run fits."""
        return all(any(_fits(config, k, v) for v in values) for k, values in self.wanted.items())


def _said(wanted: Any) -> str:
    """Return a value as people write it: an optimizer by its name and what it has."""
    if not isinstance(wanted, Mapping):
        return str(wanted)
    return " ".join(str(v) if k == "name" else f"{k}={v}" for k, v in wanted.items())


def _fits(config: RunConfig, key: str, wanted: Any) -> bool:
    if key == "optimizer":
        named = wanted if isinstance(wanted, Mapping) else {"name": wanted}
        held = unstored(config.optimizer["name"]) | config.optimizer
        return all(_is(held.get(name), value) for name, value in named.items())
    if key in BESIDE_OPTIMIZER:
        return bool(config.optimizer.get(key) == wanted)
    if key == "stop":
        try:
            return config.stop == Stop.parse(wanted)
        except UserError:
            return False
    return bool(getattr(config, key) == wanted)


def _is(held: object, wanted: Any) -> bool:
    """Whether a hyperparameter has a value, or one of a list; some (betas) are lists themselves."""
    several = wanted if isinstance(wanted, list) else [wanted]
    return held in several or held == tuple(several)


def guilty(combination: Combination, message: str) -> Path | None:
    """Return where the setting was written that alone causes an error, if one does."""
    sound = {"dataset": "any", "image_size": 64, "model": "any", "optimizer": "adam"}
    by_itself_first = sorted(combination.items(), key=lambda item: item[0] in BESIDE_OPTIMIZER)
    for key, (value, path) in by_itself_first:
        beside = key in BESIDE_OPTIMIZER and "optimizer" in combination
        optimizer = {"optimizer": combination["optimizer"][0]} if beside else {}
        try:
            RunConfig.from_dict({**sound, **optimizer, key: value})
        except UserError as error:
            if str(error) == message:
                return path
    return None
