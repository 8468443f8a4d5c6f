"""What an optimizer of this family is: a rule over a gradient oracle, declared without torch.

A method says at which points it wants gradients and which vector it hands to the base optimizer;
`SharpnessAware` does the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from sambench.errors import ConfigError, PluginError, did_you_mean, shown
from sambench.optim.base import BASES, Setting, find_base
from sambench.optim.hyperparameter import EPSILON, Hyperparameter, Mechanics, declared, radius
from sambench.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from sambench.optim.oracle import GradientOracle as Oracle
    from sambench.optim.vector import PerTensor, Vector
else:
    Oracle = Tensor = Vector = Any  # without torch

__all__ = ["EPSILON", "Hyperparameter", "Oracle", "Tensor", "Vector", "radius"]  # for methods


class Optimizer(Protocol):
    """What a method sees of its optimizer: whose groups hold the hyperparameters."""

    param_groups: list[dict[str, Any]]
    defaults: dict[str, Any]  # of groups that name none
    total_steps: float | None  # of the whole run, where its loop has told them

    def momentum(self) -> Vector | None:
        """The base optimizer's running mean of gradients; None before its first step."""


ATTRIBUTES = frozenset({"optimizer", "memory", "counters", "beside"})
"""What every method has of its own; of what a subclass adds nothing is saved."""


class Method:
    """The mathematics of one optimizer. Subclasses define `direction` and their hyperparameters.

    Without a `direction` of its own it is its base optimizer. The vectors of `memory` and the
    numbers of `counters` are kept from step to step, in the optimizer's state. `direction` may set
    `beside` to a vector and a factor, whose product with the learning rate is subtracted from the
    weights past the base optimizer; the step may change the vector.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.memory: dict[str, Vector] = {}
        self.counters: dict[str, float] = {}
        self.beside: tuple[Vector, float | PerTensor] | None = None

    def direction(self, gradient: Oracle) -> Vector:
        """Return the vector that the base optimizer takes as the gradient of this step."""
        return gradient()

    @classmethod
    def remarks(cls, settings: Mapping[str, Any], *, rate_varies: bool) -> Iterator[str]:
        """Yield what of complete settings does nothing, or not what one would expect.

        It depends on whether the learning rate varies over the run.
        """
        yield from ()

    def next_step(self) -> float:
        """Count this step; return how many there were before it."""
        step = self.counters.get("step", 0.0)
        self.counters["step"] = step + 1
        return step

    def setting(self, name: str) -> Any:
        """Return a group setting: one value, or one for each trainable tensor where they differ."""
        groups = self.optimizer.param_groups
        first, *others = (group[name] for group in groups)
        plain = isinstance(first, int | float | str)  # tensors would be waited for
        if all(value is first or (plain and value == first) for value in others):
            return first
        from sambench.optim.vector import PerTensor

        return PerTensor(g[name] for g in groups for p in g["params"] if p.requires_grad)


@dataclass(frozen=True)
class OptimizerInfo:
    """An entry of `sambench list optimizers`; as a decorator it registers a method."""

    name: str  # as on the command line
    _: KW_ONLY
    reference: str  # the paper
    gradient_evaluations: float = 2  # forward and backward passes per step; SAM's where not said
    extra_memory: float = 1  # copies of the parameters beyond the base optimizer's own; likewise
    tuned_on: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Bases on which the authors used the defaults, each with the source."""
    base: str | None = None  # the base optimizer, where the method is one itself (adam, adamw, sgd)
    adaptive: bool = False  # passes depend on what is met in training; their number is a guess
    method: type[Method] = Method  # its mathematics

    def __call__(self, method: type[Method]) -> type[Method]:
        """Register a method under this entry's name; a PluginError if it is none."""
        entry = replace(self, method=method)
        if fault := entry._fault():
            raise PluginError(f"optimizer {self.name!r}: {fault}")
        optimizers.register(entry)
        return method

    def _fault(self) -> str:
        """Say what of its class cannot be meant so; empty where all may be."""
        if not (isinstance(self.method, type) and issubclass(self.method, Method)):
            return "its class must be a subclass of sambench.optim.method.Method"
        if self.method.direction is Method.direction and self.base is None:
            return "its class has no `direction`, without which it is its base optimizer"
        for name, hyperparameter in self.hyperparameters.items():
            if name in TAKEN:
                return f"a hyperparameter cannot be called {name!r}, which is taken; rename it"
            if getattr(self.method, name) is not hyperparameter:
                return f"its class hides the hyperparameter {name}; use `Hyperparameter` anew there"
            hyperparameter.check(hyperparameter.default, self.name)
        return ""

    def made(self, optimizer: Optimizer) -> Method:
        """Return the mathematics of one optimizer; a PluginError if it lacks what every one has."""
        method = self.method(optimizer)
        if not vars(method).keys() >= ATTRIBUTES:
            remedy = f"`__init__` of {self.method.__name__} with `super().__init__(optimizer)`"
            raise PluginError(f"optimizer {self.name!r}: begin {remedy}")
        return method

    @property
    def summary(self) -> str:
        """First line of the method's docstring; empty without one, as under `python -OO`."""
        return (self.method.__doc__ or "").strip().partition("\n")[0]

    @functools.cached_property
    def hyperparameters(self) -> dict[str, Hyperparameter[Any]]:
        """The method's own hyperparameters, by name."""
        return declared(self.method)

    def default_note(self, base: str = "adam") -> str:
        """Say on which base the authors used the defaults, and where there is none for this one."""
        names = {name: found.path.rpartition(".")[2] for name, found in BASES.items()}
        told = " and ".join(f"on {names[name]} ({said})" for name, said in self.tuned_on.items())
        if not self.hyperparameters:
            return ""
        if base in self.tuned_on:
            return f"as the authors used them {told}"
        if not told:
            return "no values of the authors were found"
        ours = any(("base", base) in h.where for h in self.hyperparameters.values())
        used = f"they used {'other values' if ours else 'these'} {told}"
        return f"the authors named no values for {names.get(base, base)}: {used}"

    def own(self, settings: Mapping[str, object], base: str | None = None) -> dict[str, Any]:
        """Complete and check the method's own hyperparameters; other settings are passed over."""
        beside = {**settings, "base": base or self.base or "adam"}
        return {
            name: h.check(settings.get(name, h.default_for(beside)), self.name)
            for name, h in self.hyperparameters.items()
        }

    def check_base(self, base: str) -> None:
        """Refuse another base optimizer where the method is one itself."""
        if self.base not in (None, base):
            name = f"{self.name} is its own base optimizer"
            raise ConfigError(f"{name}; it cannot run on {shown(base)}")

    def resolve(self, base: str | None, settings: Mapping[str, object]) -> dict[str, Setting]:
        """Complete settings with the defaults of the method and of its base; refuse wrong ones.

        What is returned is `{"name", "base", ...}` with every hyperparameter, the method's first.
        """
        found = find_base(base or self.base or "adam")
        self.check_base(found.name)
        mechanics = declared(Mechanics)
        if found.settings:
            self.check_names(settings, found.settings, found.name, mechanics)
        used = {k: h.check(settings[k], self.name) for k, h in mechanics.items() if k in settings}
        rest = {k: v for k, v in settings.items() if k not in {*self.hyperparameters, *used}}
        own, of = self.own(settings, found.name), self.hyperparameters
        of_base = found.complete(rest)
        found.check_together(of_base)
        return {
            "name": self.name,
            "base": found.name,
            **{k: v for k, v in own.items() if not (of[k].later and v == of[k].default)},
            **of_base,
            **{k: v for k, v in used.items() if v != mechanics[k].default},
        }

    def check_names(
        self, given: Iterable[str], settings: Iterable[str], base: str, more: Iterable[str] = ()
    ) -> None:
        """Refuse the first name of neither method nor base, and a setting that is of both."""
        for name in self.hyperparameters:
            if name in settings:
                raise ConfigError(
                    f"{self.name} and {base} both have a setting {name}, of one value; "
                    "choose another base optimizer"
                )
        names = [*self.hyperparameters, *settings, *more]
        for name in given:
            if name not in names:
                raise ConfigError(
                    f"{self.name} on {base} has no hyperparameter {shown(name)}"
                    f"{did_you_mean(name, names)}; known: {', '.join(names)}"
                )


TAKEN = {"name", "params", "base", "lr", "model", "per_replica"} | {*declared(Mechanics)}
TAKEN |= ATTRIBUTES | {*vars(Method)}
"""What `build`, every optimizer and every method have under a name of their own."""

optimizers: Registry[OptimizerInfo] = Registry("optimizer", "sambench.optim.methods")

optimizer = OptimizerInfo
"""The decorator that registers a method: `@optimizer("sam", gradient_evaluations=2, ...)`."""
