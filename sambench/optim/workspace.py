"""Memory for a perturbation beside the gradient, kept from step to step."""

from __future__ import annotations

import torch
from torch import Tensor

from sambench.optim.vector import Vector


class Workspace:
    """One vector's memory, for methods that need the gradient after its perturbation was consumed.

    Memory of the size of the weights, asked of the system anew in every step, costs several times
    what filling it does: its pages are mapped at first touch.
    """

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []

    def copy_of(self, vector: Vector) -> Vector:
        """Return a copy that is good until the next one is asked for."""
        if list(map(_layout, self._tensors)) == list(map(_layout, vector.tensors)):
            torch._foreach_copy_(self._tensors, vector.tensors)
        else:
            self._tensors = vector.clone().tensors
        return Vector(self._tensors)


def _layout(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device
