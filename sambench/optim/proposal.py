"""What a method proposes for one mini-batch, and the gradients that a step leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors
from torch.nn.parallel import DistributedDataParallel

from sambench.errors import PluginError
from sambench.optim.method import Method
from sambench.optim.oracle import GradientOracle
from sambench.optim.vector import PerTensor, Vector


@dataclass
class Proposal:
    """What a method wants of one mini-batch."""

    direction: Vector  # for the base optimizer, as a gradient
    beside: tuple[Vector, float | PerTensor] | None
    """A vector and its factor, subtracted from the weights past the base optimizer."""
    loss: Tensor | None  # of the clean pass; None where the loop runs the passes itself
    memory: dict[str, Vector]  # what the method would keep to the next step
    received: list[bool]  # which parameters had a gradient in some pass
    oracles: list[GradientOracle]
    """Kept until the step ends, since a scaler tells their passes apart by address."""

    @classmethod
    def of(cls, method: Method, oracle: GradientOracle) -> Proposal:
        """Let a method ask for its gradients of one mini-batch; a PluginError if it gives none."""
        direction = method.direction(oracle)
        if not isinstance(direction, Vector):
            found = type(direction).__name__
            raise PluginError(f"direction of {type(method).__name__} returns a {found}, no Vector")
        loss = next(iter(oracle.seen), None)
        beside, method.beside = method.beside, None
        taken = set[object]()
        _apart(oracle.weights, taken)  # the step changes them, and may clip the others
        direction = _apart(direction, taken)
        beside = beside and (_apart(beside[0], taken), beside[1])
        memory = {name: _apart(vector, taken) for name, vector in method.memory.items()}
        return cls(direction, beside, loss, memory, oracle.received, [oracle])

    @property
    def vectors(self) -> list[Vector]:
        """All that would change the weights."""
        return [self.direction] if self.beside is None else [self.direction, self.beside[0]]

    def merge(self, other: Proposal) -> Proposal:
        """Add another mini-batch's proposal to this one; of what is kept it is the mean."""
        for vector, more in zip(self.vectors, other.vectors, strict=True):
            vector.add_(more)
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
        return all(bool(torch.isfinite(vector.norm())) for vector in self.vectors)

    def clip_(self, max_norm: float) -> None:
        """Scale the vectors alike so that their sum, where applied, is no longer than this."""
        whole = self.direction
        if self.beside is not None:
            whole = self.beside[0] * self.beside[1] + whole
        factor = (max_norm / (whole.part(self.received).norm() + 1e-6)).clamp(max=1.0)
        for vector in self.vectors:
            vector.mul_(factor)

    def show(self, groups: Iterable[Mapping[str, Any]]) -> None:
        """Show the direction as the parameters' gradients; frozen ones have none."""
        pairs = zip(self.direction.tensors, self.received, strict=True)
        for parameter in (parameter for group in groups for parameter in group["params"]):
            gradient, seen = next(pairs) if parameter.requires_grad else (None, False)
            parameter.grad = gradient if seen else None
            note_gradients([parameter])


def _apart(vector: Vector, taken: set[object]) -> Vector:
    """Return a vector in memory of its own, a copy where that is taken; take it."""
    places = {tensor.untyped_storage()._cdata for tensor in vector.tensors}
    if not taken.isdisjoint(places):
        return vector.clone()
    taken |= places
    return vector


def note_gradients(parameters: Iterable[Tensor]) -> None:
    """Mark the gradients that a step leaves in the parameters, as they are now."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad._left_by_step = parameter.grad._version  # type: ignore[attr-defined]


def foreign_gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Return the gradients that no step has left: others, and those changed in place since."""
    found = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return [g for g in found if getattr(g, "_left_by_step", None) != g._version]


def average_(vector: Vector, replicas: DistributedDataParallel) -> None:
    """Replace a vector by its mean over the replicas, in place, with one message for each type."""
    group = replicas.process_group
    for dtype in {tensor.dtype for tensor in vector.tensors}:
        tensors = [tensor for tensor in vector.tensors if tensor.dtype == dtype]
        flat = _flatten_dense_tensors(tensors)
        distributed.all_reduce(flat, group=group)
        flat /= distributed.get_world_size(group)
        torch._foreach_copy_(tensors, _unflatten_dense_tensors(flat, tensors))
