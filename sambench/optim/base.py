"""The base optimizers that turn a direction into an update: torch.optim's own, by name."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sambench.errors import ConfigError, UnknownNameError, shown

if TYPE_CHECKING:
    import torch

Setting = float | int | bool | str | tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base optimizer and every setting it takes, with torch's defaults.

    Attributes:
        name: Short name, or the dotted name of any `torch.optim.Optimizer` class.
        path: Dotted name of the class.
        settings: Its settings; empty where they are not known, and then not checked here.
        fused: Whether torch has a fused implementation (same mathematics, fewer memory passes).
        grid: Values worth trying in a search.
        factors: Multiples of the given value worth trying.
    """

    name: str
    path: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    fused: bool = False
    grid: Mapping[str, tuple[Setting, ...]] = field(default_factory=dict)
    factors: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def complete(self, given: Mapping[str, object]) -> dict[str, Setting]:
        """Return all settings, the given ones checked against the type of the default.

        Raises:
            ConfigError: If a value has the wrong type or is negative.
        """
        return {**self.settings, **{name: self._check(name, v) for name, v in given.items()}}

    def load(self) -> type[torch.optim.Optimizer]:
        """Import the class.

        Raises:
            ConfigError: If there is no such class or it is no torch optimizer.
        """
        import torch

        module, _, attribute = self.path.rpartition(".")
        try:
            loaded = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError(f"base optimizer {self.path!r} cannot be imported: {error}") from None
        if not (isinstance(loaded, type) and issubclass(loaded, torch.optim.Optimizer)):
            raise ConfigError(f"base optimizer {self.path!r} is not a torch.optim.Optimizer")
        return loaded

    def _check(self, name: str, value: object) -> Setting:
        default = self.settings.get(name)
        if isinstance(default, bool):
            if isinstance(value, bool):
                return value
        elif isinstance(default, tuple):
            if isinstance(value, list | tuple) and len(value) == len(default):
                return tuple(self._number(name, part) for part in value)
        elif default is None and isinstance(value, bool | str):
            return value
        else:
            return self._number(name, value)
        raise ConfigError(
            f"{self.name} {name}={shown(value)} is not allowed; expected like {default!r}"
        )

    def _number(self, name: str, value: object) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0:  # type: ignore[arg-type,operator]
            raise ConfigError(f"{self.name} {name}={shown(value)} is not allowed; allowed: >= 0")
        return float(value)  # type: ignore[arg-type]


_ADAM: dict[str, Setting] = {
    "lr": 1e-3,
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "weight_decay": 0.0,
    "amsgrad": False,
}
_SGD: dict[str, Setting] = {
    "lr": 1e-3,
    "momentum": 0.0,
    "dampening": 0.0,
    "weight_decay": 0.0,
    "nesterov": False,
}
_RATES = {"lr": (0.1, 0.3, 1.0, 3.0, 10.0)}
BASES = {
    base.name: base
    for base in (
        Base(
            name="adam",
            path="torch.optim.Adam",
            settings=_ADAM,
            fused=True,
            grid={"weight_decay": (0.0, 1e-5, 1e-4)},
            factors=_RATES,
        ),
        Base(
            name="adamw",
            path="torch.optim.AdamW",
            settings={**_ADAM, "weight_decay": 1e-2},
            fused=True,
            grid={"weight_decay": (0.0, 1e-2, 1e-1)},
            factors=_RATES,
        ),
        Base(
            name="sgd",
            path="torch.optim.SGD",
            settings=_SGD,
            fused=True,
            grid={"weight_decay": (0.0, 5e-4, 1e-3)},
            factors=_RATES,
        ),
    )
}


def find_base(name: str) -> Base:
    """Return the base optimizer of that name.

    Args:
        name: "adam", "adamw", "sgd", or the dotted name of a torch optimizer class.

    Raises:
        UnknownNameError: If it is neither.
    """
    if name in BASES:
        return BASES[name]
    if "." in name:
        return Base(name=name, path=name)
    remedy = "give adam, adamw, sgd or a dotted name such as torch.optim.RMSprop"
    raise UnknownNameError("base optimizer", name, BASES, remedy)
