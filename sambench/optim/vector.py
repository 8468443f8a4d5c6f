"""A vector over all trainable tensors, on torch's multi-tensor operations."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

_CHUNK = 1 << 16
"""Elements per partial norm. On the CPU one float32 norm over 10^8 elements is wrong by 1e-2, over
chunks of this size by 1e-7; on a GPU torch cuts into such chunks itself."""


class PerTensor(tuple[float | Tensor, ...]):
    """One factor for each tensor of a vector: what a hyperparameter is whose groups differ."""

    def _with(self, other: object, operation: Callable[[Any, Any], Any]) -> PerTensor:
        """Combine with one number, or number by number with another of its kind."""
        others = other if isinstance(other, PerTensor) else itertools.repeat(other)
        return PerTensor(operation(a, b) for a, b in zip(self, others, strict=False))

    def __add__(self, other: object) -> PerTensor:
        return self._with(other, operator.add)

    def __sub__(self, other: object) -> PerTensor:
        return self._with(other, operator.sub)

    def __rsub__(self, other: object) -> PerTensor:
        return self._with(other, lambda a, b: b - a)

    def __mul__(self, other: object) -> PerTensor:
        return self._with(other, operator.mul)

    __radd__ = __add__
    __rmul__ = __mul__

    def __truediv__(self, other: object) -> PerTensor:
        return self._with(other, operator.truediv)

    def __neg__(self) -> PerTensor:
        return PerTensor(-value for value in self)


Scalar: TypeAlias = float | Tensor | PerTensor


class Vector:
    """The trainable tensors of a model as one vector.

    Arithmetic gives a new vector; methods ending in an underscore change this one and return it.
    Scalars are Python numbers or zero-dimensional tensors, which stay on their device: no operation
    waits for the device.

    Args:
        tensors: One tensor for each trainable parameter, in the order of the parameter groups.
    """

    __slots__ = ("_tensors",)

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tensors: list[Tensor] | None = list(tensors)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors themselves, not copies.

        Raises:
            RuntimeError: If the vector was handed to `gradient(at=...)`, which consumed it.
        """
        if self._tensors is None:
            raise RuntimeError(
                "this vector was given away with gradient(at=...); pass a copy there"
            )
        return self._tensors

    def release(self) -> list[Tensor]:
        """Give the tensors away; the vector cannot be used afterwards."""
        tensors, self._tensors = self.tensors, None
        return tensors

    def clone(self) -> Vector:
        """Return a copy with its own storage."""
        return Vector(torch._foreach_mul(self.tensors, 1.0))

    def copy_(self, other: Vector) -> Vector:
        """Take the values of another vector."""
        torch._foreach_copy_(self.tensors, other.tensors)
        return self

    def norm(self) -> Tensor:
        """Return the L2 norm over all tensors together, a zero-dimensional tensor.

        It is accumulated in float32 at least, whatever the tensors' precision.
        """
        pieces = [piece for tensor in self.tensors for piece in _chunks(tensor)]
        types = {piece.dtype for piece in pieces}
        precision = functools.reduce(torch.promote_types, types, torch.float32)
        norms = torch._foreach_norm(pieces, 2, dtype=precision)
        total: Tensor = torch.linalg.vector_norm(torch.stack(_on_one_device(norms)))
        return total

    def map_(self, function: Callable[[Tensor], Tensor | None]) -> Vector:
        """Apply a function that changes a tensor in place to each tensor."""
        for tensor in self.tensors:
            function(tensor)
        return self

    def mul_(self, factor: Factor) -> Vector:
        """Multiply in place, by a vector element by element."""
        if self.tensors:
            torch._foreach_mul_(self.tensors, _factor(factor))
        return self

    def add_(self, other: Vector, factor: Scalar = 1.0) -> Vector:
        """Add `factor` times another vector in place."""
        if isinstance(factor, int | float):
            torch._foreach_add_(self.tensors, other.tensors, alpha=factor)
        else:
            torch._foreach_add_(self.tensors, (other * factor).tensors)
        return self

    def toward_(self, other: Vector, share: float | PerTensor) -> Vector:
        """Move a share of the way to another vector, or beyond it, in place."""
        if isinstance(share, PerTensor):
            return self.add_(other - self, share)
        torch._foreach_lerp_(self.tensors, other.tensors, share)
        return self

    def plus_product(self, one: Vector, other: Vector) -> Vector:
        """Return this vector plus the product of two others, element by element."""
        return Vector(torch._foreach_addcmul(self.tensors, one.tensors, other.tensors))

    def abs(self) -> Vector:
        """Return the absolute values of all elements."""
        return Vector(torch._foreach_abs(self.tensors) if self.tensors else [])

    def shift_(self, amount: Scalar) -> Vector:
        """Add a number to every element in place."""
        if self.tensors:
            torch._foreach_add_(self.tensors, _factor(amount))
        return self

    def part(self, chosen: Iterable[bool]) -> Vector:
        """Return the chosen tensors, not copies of them, as a vector; it may be empty."""
        return Vector(t for t, choice in zip(self.tensors, chosen, strict=True) if choice)

    def zero_where_(self, chosen: Iterable[bool]) -> Vector:
        """Set the chosen tensors to zero in place."""
        zeroed = [t for t, choice in zip(self.tensors, chosen, strict=True) if choice]
        if zeroed:
            torch._foreach_zero_(zeroed)
        return self

    def dot(self, other: Vector) -> Tensor:
        """Return the inner product over all tensors, a zero-dimensional tensor.

        By polarization, (|a|^2 + |b|^2 - |a - b|^2) / 2: three multi-tensor norms instead of a
        product for each tensor; its error is that of the norms, relative to |a|^2 + |b|^2.
        """
        return (self.norm() ** 2 + other.norm() ** 2 - (self - other).norm() ** 2) / 2

    def __add__(self, other: Vector) -> Vector:
        return Vector(torch._foreach_add(self.tensors, other.tensors))

    def __sub__(self, other: Vector) -> Vector:
        return Vector(torch._foreach_sub(self.tensors, other.tensors))

    def __mul__(self, factor: Factor) -> Vector:
        return Vector(torch._foreach_mul(self.tensors, _factor(factor)))

    __rmul__ = __mul__

    def __neg__(self) -> Vector:
        return Vector(torch._foreach_neg(self.tensors))

    def __len__(self) -> int:
        return len(self.tensors)


def _chunks(tensor: Tensor) -> Sequence[Tensor]:
    """Return the tensor in pieces over which a norm is accurate: one, unless large on the CPU."""
    if tensor.numel() <= _CHUNK or tensor.device.type != "cpu":
        return (tensor,)
    pieces: Sequence[Tensor] = tensor.reshape(-1).split(_CHUNK)
    return pieces


Factor: TypeAlias = float | Tensor | PerTensor | Vector


def _factor(factor: Factor) -> float | Tensor | list[float] | list[Tensor]:
    if isinstance(factor, Vector):
        return factor.tensors
    if not isinstance(factor, PerTensor):
        return factor
    if any(isinstance(value, Tensor) for value in factor):
        return [torch.as_tensor(value) for value in factor]
    return [float(value) for value in factor]


def _on_one_device(norms: Sequence[Tensor]) -> list[Tensor]:
    return [norm.to(norms[0].device, non_blocking=True) for norm in norms]
