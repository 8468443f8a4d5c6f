"""What a step learns about its own perturbation, at no extra pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sambench.optim.vector import Vector


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

    @classmethod
    def of(cls, observed: Tensor) -> Observation:
        """Read what an `Observer` returned; waits for the device."""
        return cls(*observed.tolist())


class Observer:
    """Watches the passes of one step; of several perturbed ones the last counts."""

    def __init__(self) -> None:
        self._clean: Vector | None = None
        self._perturbed: Vector | None = None
        self._norms: tuple[Tensor, Tensor | None] | None = None

    def perturbation(self, e: Vector) -> None:
        """See the perturbation before it is used."""
        flat = [tensor for tensor in e.tensors if tensor.dim() <= 1]
        self._norms = (e.norm(), Vector(flat).norm() if flat else None)

    def gradient(self, found: Vector) -> None:
        """See the gradient of a pass; it is copied, since methods change theirs in place."""
        if self._norms is None:
            self._clean = found.clone()
        else:
            self._perturbed = found.clone()

    def observed(self, losses: Sequence[Tensor]) -> Tensor | None:
        """Return an observation's numbers, in order and still on the device.

        None where a clean or a perturbed pass is missing.
        """
        if self._clean is None or self._perturbed is None or self._norms is None:
            return None
        whole, flat = self._norms
        clean, perturbed = self._clean.norm(), self._perturbed.norm()
        numbers = (
            whole,
            torch.zeros_like(whole) if flat is None else (flat / whole) ** 2,
            self._clean.dot(self._perturbed) / (clean * perturbed),
            perturbed / clean,
            losses[-1] - losses[0],
        )
        return torch.stack([number.double() for number in numbers])
