"""What a method proposes for one mini-batch, before the base optimizer takes it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors
from torch.nn.parallel import DistributedDataParallel

from sambench.optim.method import Beside
from sambench.optim.oracle import GradientOracle
from sambench.optim.vector import Vector


@dataclass(kw_only=True)
class Proposal:
    """What a method wants of one mini-batch.

    Attributes:
        direction: For the base optimizer, as a gradient.
        beside: Subtracted from the weights past the base optimizer.
        loss: Of the clean pass; None where the loop runs the passes itself.
        memory: What the method would keep to the next step.
        received: Which parameters had a gradient in some pass.
        oracles: Alive until the step ends: a scaler tells their passes apart by address.
    """

    direction: Vector
    beside: Beside | None
    loss: Tensor | None
    memory: dict[str, Vector]
    received: list[bool]
    oracles: list[GradientOracle] = field(default_factory=list)

    def merge(self, other: Proposal) -> Proposal:
        """Add another mini-batch's proposal to this one; of what is kept it is the mean."""
        self.direction.add_(other.direction)
        if self.beside is not None and other.beside is not None:
            self.beside.vector.add_(other.beside.vector)
        share = len(other.oracles) / len(self.oracles + other.oracles)
        for name, vector in self.memory.items():
            vector.toward_(other.memory[name], share)
        if self.loss is not None and other.loss is not None:
            self.loss = self.loss + other.loss
        self.oracles += other.oracles
        self.received = [a or b for a, b in zip(self.received, other.received, strict=True)]
        return self

    def finite(self) -> bool:
        """Whether all that would change the weights is finite; waits for the device."""
        norms = [self.direction.norm()]
        if self.beside is not None:
            norms.append(self.beside.vector.norm())
        return all(bool(torch.isfinite(norm)) for norm in norms)

    def clip_(self, max_norm: float) -> None:
        """Scale both vectors alike so that their sum is no longer than this."""
        whole = self.direction
        if self.beside is not None:
            whole = self.beside.vector * self.beside.factor + whole
        factor = (max_norm / (whole.norm() + 1e-6)).clamp(max=1.0)
        self.direction.mul_(factor)
        if self.beside is not None:
            self.beside.vector.mul_(factor)

    def average_(self, replicas: DistributedDataParallel) -> None:
        """Replace the vectors by their means over the replicas, each of which perturbed apart."""
        average_(self.direction, replicas)
        if self.beside is not None:
            average_(self.beside.vector, replicas)


def average_(vector: Vector, replicas: DistributedDataParallel) -> Vector:
    """Replace a vector by its mean over the replicas, in place, with one message for each type."""
    group = replicas.process_group
    for dtype in {tensor.dtype for tensor in vector.tensors}:
        tensors = [tensor for tensor in vector.tensors if tensor.dtype == dtype]
        flat = _flatten_dense_tensors(tensors)
        distributed.all_reduce(flat, group=group)
        flat /= distributed.get_world_size(group)
        torch._foreach_copy_(tensors, _unflatten_dense_tensors(flat, tensors))
    return vector
