"""A step whose passes the training loop runs itself, without a closure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from sambench.errors import ConfigError
from sambench.optim.modules import Role
from sambench.optim.oracle import GradientOracle
from sambench.optim.vector import Scalar, Vector


class NextPass(Exception):
    """A method asks for a gradient that the loop has not run yet.

    Attributes:
        request: The arguments of `GradientOracle.pass_at`.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request


class RecordedOracle:
    """Answers a method from the passes that the loop has run; stops it where it asks for another.

    A method runs from its beginning after each pass: it is a function of the gradients, and what it
    remembers is put back before. So it gets copies of them, since it may change those.

    Args:
        oracle: Has run the passes.
        gradients: Of the passes.
    """

    def __init__(self, oracle: GradientOracle, gradients: list[Vector]) -> None:
        self._oracle = oracle
        self._left = [gradient.clone() for gradient in gradients]

    @property
    def weights(self) -> Vector:
        """The weights w."""
        return self._oracle.weights

    @property
    def roles(self) -> list[Role]:
        """What each tensor is for."""
        return self._oracle.roles

    @property
    def losses(self) -> list[Tensor]:
        """Refuse: the loop has them."""
        raise ConfigError("passes() does not see the losses, which this form needs: use a closure")

    def __call__(
        self,
        at: Vector | None = None,
        *,
        by: Scalar = 1.0,
        times: Vector | None = None,
        keep: bool = False,
        hardest: float = 1.0,
    ) -> Vector:
        """Return the gradient of the next recorded pass; the loop runs all samples.

        Raises:
            NextPass: If the loop has yet to run it.
        """
        if self._left:
            return self._left.pop(0)
        raise NextPass({"at": at, "by": by, "times": times, "keep": keep})


def note_gradients(parameters: Iterable[Tensor]) -> None:
    """Mark the gradients that a step leaves in the parameters, as they are now."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad._left_by_step = parameter.grad._version  # type: ignore[attr-defined]


def foreign_gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Return the gradients that no step has left: others, and those changed in place since."""
    found = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return [g for g in found if getattr(g, "_left_by_step", None) != g._version]
