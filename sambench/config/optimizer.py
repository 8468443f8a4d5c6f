"""The optimizer of a run: its name, base and every hyperparameter, flat and complete.

Settings that are not allowed are a ConfigError, a name that does not exist is an UnknownNameError.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from sambench.errors import ConfigError, shown
from sambench.optim.base import BASES, Setting, find_base
from sambench.optim.hyperparameter import Mechanics, declared
from sambench.optim.method import optimizers

LEARNING_RATE = 1e-4
"""The papers'; of every optimizer that is given none."""

Settings = dict[str, Setting]


def resolve_optimizer(given: object, beside: Mapping[str, object]) -> Settings:
    """Return the complete settings of a name or a mapping, with what stands beside it."""
    named = {"name": given} if isinstance(given, str) else given
    if not isinstance(named, Mapping) or not isinstance(named.get("name"), str):
        raise ConfigError(f"optimizer={shown(given)} needs a name, as in {{name: sam, rho: 0.05}}")
    own = {str(k): v for k, v in named.items() if k != "name"}
    settings = {"lr": LEARNING_RATE, **beside, **own}
    base = settings.pop("base", None)
    info = optimizers.get(named["name"])
    return info.resolve(info.base or (None if base is None else str(base)), settings)


@functools.lru_cache(maxsize=4096)
def resolve_stored(stored: tuple[tuple[str, Setting], ...]) -> Settings:
    """Return the settings of a stored run's optimizer, checked and complete; given as pairs."""
    settings = dict(stored)
    name, base = settings.pop("name", None), settings.pop("base", None)
    if not isinstance(name, str) or not isinstance(base, str):
        raise ConfigError("the optimizer has no name and base")
    return optimizers.get(name).resolve(base, settings)


def hyperparameters_of(optimizer: str, base: object = None) -> set[str]:
    """Return the names of an optimizer's hyperparameters and of all bases that it can run on.

    A base that was asked for by a dotted name has settings of its own.
    """
    info = optimizers.get(optimizer)
    bases = [*BASES.values()] if info.base is None else [find_base(info.base)]
    if info.base is None and isinstance(base, str) and "." in base:
        bases.append(find_base(base))
    return {*info.hyperparameters, *declared(Mechanics), *(n for b in bases for n in b.settings)}


def all_hyperparameters() -> set[str]:
    """Return the names that any optimizer has."""
    return {name for info in optimizers.list() for name in hyperparameters_of(info.name)}


def unstored(optimizer: object) -> Settings:
    """Return the defaults of an optimizer's settings, of which a run names some only where set."""
    own = next((i.hyperparameters for i in optimizers.list() if i.name == optimizer), {})
    return {name: h.default for name, h in {**own, **declared(Mechanics)}.items()}
