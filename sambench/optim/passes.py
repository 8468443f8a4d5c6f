"""A step whose passes the training loop runs itself, without a closure."""

from __future__ import annotations

import weakref
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


class ShownGradients:
    """Knows the gradients that a step has left in the parameters from those that others put there.

    Those are other tensors, or have been changed in place.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Tensor], int]] = {}

    def note(self, parameters: Iterable[Tensor]) -> None:
        """Take the gradients that the parameters have now for known, and no others."""
        found = [parameter.grad for parameter in parameters]
        self._known = {id(g): (weakref.ref(g), g._version) for g in found if g is not None}

    def foreign(self, parameters: Iterable[Tensor]) -> list[Tensor]:
        """Return the gradients that are not known or have changed since."""
        found = [p.grad for p in parameters if p.grad is not None]
        return [gradient for gradient in found if not self._knows(gradient)]

    def _knows(self, gradient: Tensor) -> bool:
        reference, version = self._known.get(id(gradient), (None, -1))
        return reference is not None and reference() is gradient and gradient._version == version
