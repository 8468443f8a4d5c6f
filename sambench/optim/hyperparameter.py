"""The numbers and choices of an optimizer: declared once, with range, default and values to try."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Generic, TypeVar, overload

from sambench.errors import ConfigError, shown

EPSILON = 1e-12  # added to a norm that divides, as the authors of SAM, GSAM, WSAM and GCSAM do
LARGEST = 1e38  # of any number given: float32 holds it, as torch asks of a factor

Value = TypeVar("Value", bound="float | str | bool")


@dataclass(eq=False)
class Hyperparameter(Generic[Value]):
    """A hyperparameter of a method, read from the optimizer's parameter groups.

    Reading it from the method gives its value, or, where the groups differ, one value for each
    trainable tensor (`PerTensor`), which arithmetic with vectors understands.
    """

    default: Value  # the authors'
    _: KW_ONLY
    help: str  # what it is, with its unit
    where: Mapping[tuple[str, object], Value] = field(default_factory=dict)
    """Other defaults, by the setting that brings each: `{("base", "adam"): 0.03}`."""
    minimum: float = 0.0  # the smallest value allowed; none is negative unless said
    maximum: float = math.inf  # the largest value allowed
    below: float = math.inf  # values must be smaller than this
    whole: bool = False  # values must be whole numbers: it counts something
    choices: tuple[object, ...] = ()  # the values allowed, where it is a choice
    shared: bool = False  # it must be the same in all parameter groups; choices always are
    later: bool = False
    """It came after runs had been stored, so a run names it only where it is not at its default:
    ids of those runs stay theirs."""
    grid: tuple[Value, ...] = ()  # worth trying in a search: what its authors tried where known

    def __post_init__(self) -> None:
        if isinstance(self.default, bool):
            self.choices = (False, True)
        self.shared = self.shared or bool(self.choices)
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, method: None, owner: type) -> Hyperparameter[Value]: ...
    @overload
    def __get__(self, method: object, owner: type) -> Value: ...
    def __get__(self, method: Any, owner: type) -> Hyperparameter[Value] | Value:
        """Return the value, from the optimizer's groups; of the class, the declaration."""
        if method is None:
            return self
        value = method.setting(self.name)
        if self.shared and isinstance(value, tuple):
            raise ConfigError(f"{self.name} must be the same in all parameter groups")
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, float | int | str):  # one on the device would be waited for
                self.check(each, type(method).__name__.lower())
        return value  # type: ignore[no-any-return]

    def __set__(self, method: object, value: object) -> None:
        raise ConfigError(f"{self.name} is set by a run; keep what is computed under another name")

    def default_for(self, settings: Mapping[str, object]) -> Value:
        """Return the default beside other settings, the base among them."""
        found = (d for (name, value), d in self.where.items() if settings.get(name) == value)
        return next(found, self.default)

    @property
    def range(self) -> str:
        """The values allowed, as people write them: `>= 0`, `[0, 1)`, `whole, >= 1`, `a | b`."""
        if self.choices:
            return " | ".join(str(choice).lower() for choice in self.choices)
        if self.below < math.inf:
            return f"[{self.minimum:g}, {self.below:g})"
        if self.maximum < math.inf:
            return f"[{self.minimum:g}, {self.maximum:g}]"
        if self.minimum == -math.inf:
            return "any"
        return f"whole, >= {self.minimum:g}" if self.whole else f">= {self.minimum:g}"

    def check(self, value: object, method: str) -> float | str | bool:
        """Return the value with the default's type; refuse another type or what is out of range."""
        truth = isinstance(value, bool)
        if self.choices:
            allowed = value in self.choices and truth == isinstance(self.default, bool)
        else:
            allowed = isinstance(value, int | float) and not truth and self._inside(value)
        if not allowed:
            raise ConfigError(
                f"{method} {self.name}={shown(value)} is not allowed; allowed: {self.range}"
            )
        return value if self.choices else float(value)  # type: ignore[return-value,arg-type]

    def _inside(self, value: float) -> bool:
        if not abs(value) <= LARGEST or (self.whole and value != round(value)):
            return False
        return self.minimum <= value <= self.maximum and value < self.below


def radius(
    default: float,
    help: str = "radius of the ball, L2 norm over all weights",
    grid: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    where: Mapping[tuple[str, object], float] | None = None,
) -> Hyperparameter[float]:
    """Declare the radius rho of a ball around the weights."""
    return Hyperparameter(default, help=help, grid=grid, where=where or {})


def declared(owner: type) -> dict[str, Hyperparameter[Any]]:
    """Return the hyperparameters of a class and its ancestors, by name."""
    return {
        name: value
        for ancestor in reversed(owner.__mro__)
        for name, value in vars(ancestor).items()
        if isinstance(value, Hyperparameter)
    }


class Mechanics:
    """Settings of every optimizer besides its method's and base's; a run stores those it sets."""

    max_norm = Hyperparameter(0.0, help="clip the direction to this norm; 0 for no clipping")
    loss_decay = Hyperparameter(
        0.0, help="weight decay as part of the loss, so that perturbations see it"
    )
    replay_randomness = Hyperparameter(False, help="use the same dropout masks in every pass")
    skip_nonfinite = Hyperparameter(
        False,
        help="skip steps whose gradient is not finite; a run whose loss is not ends as diverged",
    )
