"""Operations that cannot be differentiated twice: found, and named to the user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from sambench.errors import CurvatureError

_REFUSAL_NODE = "torch::autograd::Error"
_REFUSAL_MESSAGE = re.compile(
    r"derivative for '?(?P<operation>[\w:.]+)'? is not implemented|[Dd]ouble.?backward"
)
_REENTRANT_MESSAGE = "torch.utils.checkpoint is incompatible with .grad()"


@contextmanager
def naming_the_operation() -> Iterator[None]:
    """Turn PyTorch's error for a missing second derivative into one that names the operation.

    Raises:
        CurvatureError: In its place.
    """
    try:
        yield
    except RuntimeError as error:
        if _REENTRANT_MESSAGE in str(error):
            raise CurvatureError(
                "the model uses reentrant activation checkpoints, which cannot be differentiated "
                "twice: switch checkpoints off, they recompute with other weights in any case"
            ) from error
        found = _REFUSAL_MESSAGE.search(str(error))
        if found is None:
            raise
        raise _not_twice(found["operation"] or str(error).splitlines()[0]) from error


def require_second_derivatives(loss: Tensor, edges: Iterable[GradientEdge]) -> None:
    """Refuse a graph through a custom function marked `once_differentiable`.

    PyTorch ends the graph of such a function's gradient in a node that raises when it is reached.
    A derivative with respect to given tensors only visits the nodes that lead to them, and never
    gets there: without this check those terms of the Hessian would be missing without a sign.

    Raises:
        CurvatureError: Naming the custom functions.
    """
    if any(node.name() == _REFUSAL_NODE for node in _nodes(edge.node for edge in edges)):
        roots = () if loss.grad_fn is None else (loss.grad_fn,)
        custom = {
            type(node).__name__.removesuffix("Backward")
            for node in _nodes(roots)
            if isinstance(node, torch.autograd.function.BackwardCFunction)
        }
        raise _not_twice(", ".join(sorted(custom)))


def _not_twice(operation: str) -> CurvatureError:
    return CurvatureError(
        f"no second derivative: {operation} cannot be differentiated twice; write it with ordinary "
        "PyTorch operations, or replace it in the model. Rises of the loss need no second "
        "derivative: sambench.curvature.average_sharpness estimates the trace from them"
    )


def _nodes(roots: Iterable[Node]) -> Iterator[Node]:
    """Yield every node of the graph behind `roots` once."""
    seen = set[Node]()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        stack += [following for following, _ in node.next_functions if following is not None]
