"""Fixed batches of a loss: checked, counted, and the same at every pass."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sambench.errors import CurvatureError

Batch = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
LOOKED_AT = 4096  # numbers of a batch, evenly spaced, by which it is known again


class Batches:
    """Pairs (inputs, targets), kept if a sequence, otherwise collected into one.

    Args:
        given: The pairs.

    Raises:
        CurvatureError: If there are none, one is empty, or one is no pair of tensors.
    """

    def __init__(self, given: Iterable[Batch]) -> None:
        self._pairs = given if isinstance(given, Sequence) else tuple(given)
        sizes, self._seen = list[int](), list[tuple[bytes, ...]]()
        for index, given_pair in enumerate(self._pairs):
            pair = _pair(given_pair, index)
            sizes.append(len(pair[0]))
            self._seen.append(_glance(pair))
        self.sizes = tuple(sizes)
        if not sizes:
            raise CurvatureError("no batches: the Hessian of a mean loss needs at least one sample")
        if 0 in self.sizes:
            raise CurvatureError(f"batch {self.sizes.index(0)} has no samples: leave it out")

    def __getitem__(self, index: int) -> Batch:
        """Return a batch.

        Raises:
            CurvatureError: If it is not what it was before.
        """
        pair = _pair(self._pairs[index], index)
        if _glance(pair) != self._seen[index]:
            raise CurvatureError(
                f"batch {index} is not the same when it is read again: switch shuffling and "
                "augmentation off, or give a list of the batches"
            )
        return pair


def _pair(given: Any, index: int) -> Batch:
    parts = () if isinstance(given, Mapping | Tensor) else tuple(given)
    if len(parts) != 2 or not all(isinstance(part, Tensor) for part in parts):
        raise CurvatureError(
            f"batch {index} is a {type(given).__name__}: batches are pairs of tensors, (inputs, "
            "targets); for other inputs wrap the model in a module that takes one tensor"
        )
    return parts[0], parts[1]


def _glance(pair: Batch) -> tuple[bytes, ...]:
    """Return some numbers of a batch, by which another one is told apart."""
    flat = [tensor.detach().reshape(-1) for tensor in pair]
    few = [part[:: max(1, len(part) // LOOKED_AT)].cpu().contiguous() for part in flat]
    return tuple(part.view(torch.uint8).numpy().tobytes() for part in few)


def in_double(loss: Loss) -> Loss:
    """Return the loss with its own floating tensors, such as class weights, in float64."""
    if isinstance(loss, nn.Module):
        return copy.deepcopy(loss).double()
    if isinstance(loss, functools.partial):
        args = [_doubled(value) for value in loss.args]
        named = {key: _doubled(value) for key, value in loss.keywords.items()}
        return functools.partial(loss.func, *args, **named)
    return loss


def _doubled(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value
