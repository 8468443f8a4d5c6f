"""Memory for perturbed weights beside the gradient, kept from step to step."""

from __future__ import annotations

import torch
from torch import Tensor

from sambench.optim.vector import Scalar, Vector, add_into, factors_on_cpu


class Workspace:
    """One vector's memory, for methods that need the gradient after its perturbation was consumed.

    On the CPU memory of the size of the weights, asked of the system anew in every step, costs
    several times what filling it does: its pages are mapped at first touch. On a GPU torch keeps
    freed memory itself.
    """

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []

    def point(self, weights: list[Tensor], along: Vector, by: Scalar) -> list[Tensor]:
        """Return w + by v, good until the next point is asked for; on the CPU in one sweep."""
        factors = factors_on_cpu(by, weights)
        if factors is None:
            return (along * by).add_(Vector(weights)).release()
        if not self._fits(weights):
            self._tensors = [torch.empty_like(tensor) for tensor in weights]
        add_into(weights, along.tensors, factors, self._tensors)
        return self._tensors

    def _fits(self, tensors: list[Tensor]) -> bool:
        return list(map(_layout, self._tensors)) == list(map(_layout, tensors))


def _layout(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device
