"""What a step learns about its own perturbation, at no extra pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sambench.optim.vector import PerTensor, Scalar, Vector


@dataclass(frozen=True)
class Observation:
    """One step's perturbation e and what it did, on the step's mini-batch.

    Attributes:
        epsilon_norm: |e|, L2 over all trainable tensors.
        one_dimensional_share: Share of |e|^2 on tensors of one dimension: biases, norm layers.
        gradient_cosine: cos(g, g_a) of the gradients at w and at w + e.
        gradient_norm_ratio: |g_a| / |g|.
        sharpness: L(w + e) - L(w).
    """

    epsilon_norm: float
    one_dimensional_share: float
    gradient_cosine: float
    gradient_norm_ratio: float
    sharpness: float


class Observer:
    """Watches the passes of one step; of several perturbed ones the last counts."""

    def __init__(self) -> None:
        self._clean: Vector | None = None
        self._length: Tensor | None = None
        self._moved: tuple[Tensor, Tensor] | None = None
        self._turned: tuple[Tensor, Tensor] | None = None

    def perturbation(self, direction: Vector, by: Scalar = 1.0) -> None:
        """See the perturbation, `by` times a direction, before it is used."""
        if isinstance(by, PerTensor):
            direction, by = direction * by, 1.0
        norm = direction.norm()
        flat = direction.part(tensor.dim() <= 1 for tensor in direction.tensors)
        share = (flat.norm() / norm) ** 2 if len(flat) else torch.zeros_like(norm)
        self._moved = (norm * by).abs(), share

    def gradient(self, found: Vector) -> None:
        """See the gradient of a pass; the clean one is copied, since methods change theirs."""
        if self._moved is None or self._clean is None:
            self._clean, self._length = found.clone(), found.norm()
        else:
            inner, square = self._clean.products(found, self._length)
            self._turned = inner, square.sqrt()

    def observed(self, losses: Sequence[Tensor]) -> Tensor | None:
        """Return an observation's numbers, on the device; None where a pass or its loss lacks."""
        if not losses or self._length is None or self._moved is None or self._turned is None:
            return None
        inner, perturbed = self._turned
        cosine, ratio = inner / (self._length * perturbed), perturbed / self._length
        numbers = *self._moved, cosine, ratio, losses[-1] - losses[0]
        return torch.stack([number.double() for number in numbers])
