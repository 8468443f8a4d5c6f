"""A vector over all trainable tensors, on torch's multi-tensor operations."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from sambench.optim.hyperparameter import EPSILON

_CHUNK = 1 << 18
"""Elements per partial sum on the CPU: one float32 norm over 10^8 elements is wrong by 1e-2, over
such chunks by 3e-6 at most."""

_BLAS = {torch.float32, torch.float64}
"""Types that have a dot product on the CPU which is added up in that precision at least."""


class PerTensor(tuple[float | Tensor, ...]):
    """One factor for each tensor of a vector: what a hyperparameter is whose groups differ."""

    @staticmethod
    def _each(operation: Callable[[Any, Any], Any]) -> Any:
        """Return an operation with a number, or with another's factors one by one."""

        def operate(self: PerTensor, other: object) -> PerTensor:
            others = other if isinstance(other, PerTensor) else itertools.repeat(other)
            return PerTensor(operation(a, b) for a, b in zip(self, others, strict=False))

        return operate

    __add__ = __radd__ = _each(operator.add)
    __mul__ = __rmul__ = _each(operator.mul)
    __sub__ = _each(operator.sub)
    __rsub__ = _each(lambda a, b: b - a)
    __truediv__ = _each(operator.truediv)

    def __neg__(self) -> PerTensor:
        return PerTensor(-value for value in self)


Scalar: TypeAlias = float | Tensor | PerTensor


class Vector:
    """The trainable tensors of a model, in the order of the parameter groups, as one vector.

    Arithmetic gives a new vector; methods ending in an underscore change this one and return it.
    Scalars are Python numbers or zero-dimensional tensors, which stay on their device: no operation
    waits for the device.
    """

    __slots__ = ("_tensors",)

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tensors: list[Tensor] | None = list(tensors)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors themselves, not copies; a RuntimeError after `gradient(at=...)` took them."""
        if self._tensors is None:
            raise RuntimeError(
                "gradient(at=...) took this vector's memory; pass keep=True to use it afterwards"
            )
        return self._tensors

    def release(self) -> list[Tensor]:
        """Give the tensors away; the vector cannot be used afterwards."""
        tensors, self._tensors = self.tensors, None
        return tensors

    def clone(self) -> Vector:
        """Return a copy with its own storage."""
        return Vector(torch._foreach_mul(self.tensors, 1.0))

    def norm(self) -> Tensor:
        """Return the L2 norm over all tensors together, a zero-dimensional tensor.

        In float32 at least; finite also where its square is too large for that precision.
        """
        return self._length().to(self._precision)

    @property
    def _precision(self) -> torch.dtype:
        """The tensors' common precision, float32 at least."""
        types = {tensor.dtype for tensor in self.tensors}
        return functools.reduce(torch.promote_types, types, torch.float32)

    def _length(self) -> Tensor:
        """Return the norm before it is rounded: in float64 where float32 overflows, from 1.8e19 on.

        On the CPU one sees whether it did; a GPU would have to be waited for: there it always is,
        but on Apple's, which have no float64.
        """
        tensors = self.tensors
        on_cpu = all(tensor.is_cpu for tensor in tensors)
        precision = self._precision if on_cpu or tensors[0].is_mps else torch.float64
        pieces = [piece for tensor in tensors for piece in _pieces(tensor)]
        norms = torch._foreach_norm(pieces, 2, dtype=precision)
        total: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        if on_cpu and not math.isfinite(total.numpy()):
            wide = [torch.linalg.vector_norm(tensor, dtype=torch.float64) for tensor in tensors]
            total = torch.linalg.vector_norm(torch.stack(wide))
        return total

    def mul_(self, factor: Factor) -> Vector:
        """Multiply in place, by a vector element by element."""
        if self.tensors:
            torch._foreach_mul_(self.tensors, _factor(factor))
        return self

    def add_(self, other: Vector, factor: Scalar = 1.0) -> Vector:
        """Add `factor` times another vector in place."""
        if isinstance(factor, int | float):
            torch._foreach_add_(self.tensors, other.tensors, alpha=factor)
        elif factors := factors_on_cpu(factor, self.tensors):
            add_into(self.tensors, other.tensors, factors, self.tensors)
        else:
            torch._foreach_add_(self.tensors, (other * factor).tensors)
        return self

    def times_plus_(self, factor: Scalar, other: Vector) -> Vector:
        """Multiply by `factor` and add another vector in place: one sweep on the CPU."""
        if factors := factors_on_cpu(factor, self.tensors):
            add_into(other.tensors, self.tensors, factors, self.tensors)
            return self
        if isinstance(factor, int | float) and factor == 1.0:
            return self.add_(other)
        return self.mul_(factor).add_(other)

    def toward_(self, other: Vector, share: float | PerTensor) -> Vector:
        """Move a share of the way to another vector, or beyond it, in place."""
        if isinstance(share, PerTensor):
            return self.add_(other - self, share)
        torch._foreach_lerp_(self.tensors, other.tensors, share)
        return self

    def plus_product(self, one: Vector, other: Vector, factor: Scalar) -> Vector:
        """Return this vector plus `factor` x `one` x `other`; on the CPU in the memory of `one`."""
        mine, others = self.tensors, other.tensors
        if isinstance(factor, Tensor) and factors_on_cpu(factor, mine):
            value, each = factor.numpy().item(), zip(mine, one.release(), others, strict=True)
            return Vector(torch.addcmul(a, b, c, value=value, out=b) for a, b, c in each)
        return Vector(torch._foreach_addcmul(mine, one.mul_(factor).release(), others))

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
        if zeroed := self.part(chosen).tensors:
            torch._foreach_zero_(zeroed)
        return self

    def products(self, other: Vector, norm: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return <a, b> and |b|^2 of this vector a and another, zero-dimensional tensors.

        On the CPU in one sweep over both. Elsewhere <a, b> is (|a|^2 + |b|^2 - |a - b|^2) / 2 in
        float64: multi-tensor norms instead of a product for each tensor, whose error is relative
        to |a|^2 + |b|^2. `norm` is |a|, where it is known.
        """
        types = {tensor.dtype for tensor in (*self.tensors, *other.tensors)}
        if len(types) == 1 and types <= _BLAS and all(tensor.is_cpu for tensor in self.tensors):
            sums = [(torch.dot(a, b), torch.dot(b, b)) for a, b in self._pairs(other)]
            inner, square = (torch.stack(parts).sum() for parts in zip(*sums, strict=True))
            if math.isfinite(inner.numpy()) and math.isfinite(square.numpy()):
                return inner, square
        wide = torch.float32 if self.tensors[0].is_mps else torch.float64
        mine = self._length() if norm is None else norm
        norms = (mine, other._length(), (self - other)._length())
        length, square, apart = (value.to(wide) ** 2 for value in norms)
        return (length + square - apart) / 2, square

    def projection(self, other: Vector, norm: Tensor | None = None) -> Tensor:
        """Return <a, b> / |b|^2 of this vector a and another, for the arguments of `products`."""
        inner, square = self.products(other, norm)
        return (inner / (square + EPSILON)).to(self._precision)

    def _pairs(self, other: Vector) -> Iterator[tuple[Tensor, Tensor]]:
        """Pair the elements of two vectors, in pieces of one dimension."""
        for a, b in zip(self.tensors, other.tensors, strict=True):
            order = _in_memory_order if a.stride() == b.stride() else Tensor.flatten
            yield from zip(order(a).split(_CHUNK), order(b).split(_CHUNK), strict=True)

    def __add__(self, other: Vector) -> Vector:
        return Vector(torch._foreach_add(self.tensors, other.tensors))

    def __sub__(self, other: Vector) -> Vector:
        return Vector(torch._foreach_sub(self.tensors, other.tensors))

    def __mul__(self, factor: Factor) -> Vector:
        return Vector(torch._foreach_mul(self.tensors, _factor(factor)))

    __rmul__ = __mul__

    def __len__(self) -> int:
        return len(self.tensors)


def factors_on_cpu(factor: Scalar, tensors: Sequence[Tensor]) -> list[float | Tensor] | None:
    """Return a factor for each tensor, if all of both lie on the CPU and are of one precision.

    Only there a factor in memory may be part of the sum that it is for at no cost.
    """
    factors = list(factor) if isinstance(factor, PerTensor) else [factor] * len(tensors)
    for value, tensor in zip(factors, tensors, strict=True):
        there = not isinstance(value, Tensor) or (value.is_cpu and value.dtype == tensor.dtype)
        if not (there and tensor.is_cpu):
            return None
    return factors


def add_into(
    one: Sequence[Tensor],
    other: Sequence[Tensor],
    factors: Sequence[float | Tensor],
    results: Sequence[Tensor],
) -> None:
    """Compute `one` + factor x `other` on the CPU, into memory that may be either's."""
    for a, b, factor, result in zip(one, other, factors, results, strict=True):
        if isinstance(factor, Tensor):
            torch.addcmul(a, b, factor, out=result)
        else:
            torch.add(a, b, alpha=factor, out=result)


def layout(tensor: Tensor) -> tuple[object, ...]:
    """Return what two tensors share whose memory can stand in for each other's."""
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _pieces(tensor: Tensor) -> Sequence[Tensor]:
    """Return a tensor in pieces over which a norm is accurate."""
    large = tensor.is_cpu and tensor.numel() > _CHUNK
    return _in_memory_order(tensor).split(_CHUNK) if large else (tensor,)


def _in_memory_order(tensor: Tensor) -> Tensor:
    """Return the elements in one dimension; a copy only where they lie with gaps."""
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.reshape(-1)


Factor: TypeAlias = float | Tensor | PerTensor | Vector


def _factor(factor: Factor) -> float | Tensor | list[float] | list[Tensor]:
    if not isinstance(factor, PerTensor):
        return factor.tensors if isinstance(factor, Vector) else factor
    if any(isinstance(value, Tensor) for value in factor):
        return [torch.as_tensor(value) for value in factor]
    return [float(value) for value in factor]
