"""The base optimizers that turn a direction into an update: torch.optim's own, by name."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sambench.errors import ConfigError, UnknownNameError, shown
from sambench.optim.hyperparameter import Hyperparameter

if TYPE_CHECKING:
    import torch

Setting = float | int | bool | str | tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base optimizer and every setting it takes, with the class's own defaults."""

    name: str  # short, or the dotted name of any `torch.optim.Optimizer` class
    path: str  # dotted name of the class
    settings: Mapping[str, Setting] = field(default_factory=dict)
    grid: Mapping[str, tuple[Setting, ...]] = field(default_factory=dict)  # worth a search
    factors: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # of what is given

    def complete(self, given: Mapping[str, object]) -> dict[str, Setting]:
        """Return all settings, the given ones checked: of the default's type and not negative.

        Betas are below 1. Of a class by its dotted name only those given: its defaults are its own.
        """
        checked = {name: self._check(name, value) for name, value in given.items()}
        return checked if "." in self.name else {**self.settings, **checked}

    def check_together(self, settings: Mapping[str, Setting]) -> None:
        """Refuse, by a ConfigError, complete settings that torch does not take together."""
        plain_momentum = settings.get("momentum") and not settings.get("dampening")
        if self.name == "sgd" and settings["nesterov"] and not plain_momentum:
            raise ConfigError("sgd nesterov=true needs a momentum, as 0.9, and dampening=0")

    def load(self) -> type[torch.optim.Optimizer]:
        """Import the class; a ConfigError if there is none or it is no torch optimizer."""
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
        if default is None and isinstance(value, bool | str):
            return value
        below = 1.0 if name == "betas" else math.inf
        rule = Hyperparameter(default if isinstance(default, bool) else 0.0, help="", below=below)
        rule.name = name
        if isinstance(default, float) and default < 0:  # Adafactor's `beta2_decay`
            rule.minimum = -math.inf
        if not isinstance(default, tuple):
            return rule.check(value, self.name)
        if isinstance(value, list | tuple) and len(value) == len(default):
            return tuple(float(rule.check(part, self.name)) for part in value)
        like = str(list(default)).replace(" ", "")  # as a shell takes it in one word
        raise ConfigError(f"{self.name} {name}={shown(value)} is not allowed; expected like {like}")


_ADAM: dict[str, Setting] = {
    "lr": 1e-3,
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "weight_decay": 0.0,
    "amsgrad": False,
}
_ADAMW = {**_ADAM, "weight_decay": 1e-2}
_SGD: dict[str, Setting] = {
    "lr": 1e-3,
    "momentum": 0.0,
    "dampening": 0.0,
    "weight_decay": 0.0,
    "nesterov": False,
}
_MUON: dict[str, Setting] = {
    "lr": 1e-3,
    "weight_decay": 1e-1,
    "momentum": 0.95,
    "nesterov": True,
    "betas": (0.9, 0.999),
    "eps": 1e-8,
}
BASES = {
    name: Base(
        name=name,
        path=path,
        settings=settings,
        grid={"weight_decay": decays},
        factors={"lr": (0.1, 0.3, 1.0, 3.0, 10.0)},
    )
    for name, path, settings, decays in (
        ("adam", "torch.optim.Adam", _ADAM, (0.0, 1e-5, 1e-4)),
        ("adamw", "torch.optim.AdamW", _ADAMW, (0.0, 1e-2, 1e-1)),
        ("sgd", "torch.optim.SGD", _SGD, (0.0, 5e-4, 1e-3)),
        ("muon", "sambench.optim.muon.Muon", _MUON, (0.0, 1e-2, 1e-1)),
    )
}


def find_base(name: str) -> Base:
    """Return the base optimizer of a key of `BASES`, or of a torch class's dotted name."""
    if name in BASES:
        return BASES[name]
    if "." in name:
        return _foreign(name)
    remedy = f"give {', '.join(BASES)} or a dotted name such as torch.optim.RMSprop"
    raise UnknownNameError("base optimizer", name, BASES, remedy)


@functools.cache
def _foreign(path: str) -> Base:
    """Return what the signature of a class tells of its settings; it is imported for that.

    Of lists and of settings without a default nothing is known; they cannot be given to a run.
    """
    found = Base(name=path, path=path)
    settings: dict[str, Setting] = {}
    for name, parameter in inspect.signature(found.load()).parameters.items():
        value = parameter.default
        if type(value) is int:
            settings[name] = float(value)
        elif isinstance(value, bool | float | str) and name not in EXECUTION:
            settings[name] = value
        elif isinstance(value, tuple) and all(isinstance(part, int | float) for part in value):
            settings[name] = tuple(map(float, value))
    return replace(found, settings=settings)


EXECUTION = {"maximize", "foreach", "capturable", "differentiable", "fused"}
"""Settings of torch's optimizers that change how a step is computed, or are not supported."""
