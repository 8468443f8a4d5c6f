"""Memory for a perturbation beside the gradient, kept from step to step."""

from __future__ import annotations

import torch
from torch import Tensor

from sambench.optim.vector import PerTensor, Scalar, Vector


class Workspace:
    """One vector's memory, for methods that need the gradient after its perturbation was consumed.

    On the CPU memory of the size of the weights, asked of the system anew in every step, costs
    several times what filling it does: its pages are mapped at first touch. On a GPU torch keeps
    freed memory itself.
    """

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []

    def copy_of(self, vector: Vector) -> Vector:
        """Return a copy that is good until the next vector is asked for."""
        if self._fits(vector.tensors):
            torch._foreach_copy_(self._tensors, vector.tensors)
        else:
            self._tensors = vector.clone().tensors
        return Vector(self._tensors)

    def point(self, weights: list[Tensor], along: Vector, by: Scalar) -> list[Tensor]:
        """Return w + by v, good until the next vector is asked for.

        On the CPU in the kept memory by one copy and one multiply-add, whose factor may stand for a
        whole tensor there; on a GPU that would cost a launch for each tensor.
        """
        given = by if isinstance(by, PerTensor) else [by] * len(weights)
        factors = [
            factor
            for w, factor in zip(weights, given, strict=True)
            if isinstance(factor, Tensor) and w.device.type == "cpu" and w.dtype == factor.dtype
        ]
        if len(factors) < len(weights):
            return (along * by).add_(Vector(weights)).release()
        points = self.copy_of(Vector(weights)).tensors
        torch._foreach_addcmul_(points, along.tensors, factors)
        return points

    def _fits(self, tensors: list[Tensor]) -> bool:
        return list(map(_layout, self._tensors)) == list(map(_layout, tensors))


def _layout(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device
