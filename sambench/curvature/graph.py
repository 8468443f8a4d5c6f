"""The twice differentiable graph of one batch: what cannot be one, its bytes, how many are kept."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.utils.checkpoint
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node, saved_tensors_hooks

from sambench.curvature.vectors import Named
from sambench.errors import CurvatureError

_REFUSAL_NODE = "torch::autograd::Error"
_REFUSAL_MESSAGE = re.compile(
    r"derivative for '?(?P<operation>[\w:.]+)'? is not implemented|[Dd]ouble.?backward"
)
_CHECKPOINTS = (
    "the model uses activation checkpoints, which compute again with other weights and in another "
    "mode than those of the measurement: switch checkpoints off"
)


@contextmanager
def naming_the_operation() -> Iterator[None]:
    """Turn PyTorch's error for a missing second derivative into one that names the operation."""
    try:
        yield
    except RuntimeError as error:
        frames = traceback.extract_tb(error.__traceback__)
        if any(frame.filename == torch.utils.checkpoint.__file__ for frame in frames):
            raise CurvatureError(_CHECKPOINTS) from error
        if (found := _REFUSAL_MESSAGE.search(str(error))) is None:
            raise
        raise _not_twice(found["operation"] or str(error).splitlines()[0]) from error


def require_second_derivatives(loss: Tensor, edges: Iterable[GradientEdge]) -> None:
    """Refuse a graph through a custom function marked `once_differentiable`, or a checkpoint.

    The weights inside a reentrant checkpoint are not in the graph, so their curvature would be
    zero. The graph of such a custom function's gradient ends in a node that raises when it is
    reached; a derivative with respect to given tensors never gets there: terms would be missing.
    """
    custom = {
        type(node).__name__.removesuffix("Backward")
        for node in _nodes(() if loss.grad_fn is None else (loss.grad_fn,))
        if isinstance(node, torch.autograd.function.BackwardCFunction)
    }
    if "CheckpointFunction" in custom:
        raise CurvatureError(_CHECKPOINTS)
    if any(node.name() == _REFUSAL_NODE for node in _nodes(edge.node for edge in edges)):
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


@contextmanager
def saved_bytes(owned: Iterable[Tensor]) -> Iterator[dict[int, int]]:
    """Count the bytes that autograd saves meanwhile: of each storage but those of `owned`."""
    kept = {tensor.untyped_storage()._cdata for tensor in owned}
    found: dict[int, int] = {}

    def record(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in kept:
            found[storage._cdata] = storage.nbytes()
        return tensor.detach()  # the tensor itself may own the graph: a cycle that is never freed

    with saved_tensors_hooks(record, lambda tensor: tensor):
        yield found


@dataclass(frozen=True)
class BatchGraph:
    """The gradient of one batch's loss, held ready to be differentiated along any direction."""

    edges: Mapping[str, GradientEdge]  # where in the graph each weight's gradient is, by name
    parameters: Named  # all weights, by name, in the order of the flat vectors
    num_bytes: int  # what the graph keeps alive

    def accumulate(self, direction: Named, total: Named, weight: float) -> None:
        r"""Add the weighted product of the named weights' block and a vector to `total`, in place.

        Reverse over reverse, :math:`Hv = \nabla_w (\nabla_w L \cdot v)` (Pearlmutter, "Fast exact
        multiplication by the Hessian", 1994). The forward modes of differentiation are silently
        wrong through layer and batch normalisation in current PyTorch and are not used. The `grad`
        of the weights, which are the objective's own copies, points into `total` meanwhile: each
        term is added as soon as it is known, and the product is never held twice.
        """
        found = [name for name in direction if name in self.edges]
        if not found:  # a loss that is linear in its weights
            return
        along = [direction[name] for name in found]
        if weight != 1.0:
            along = list(torch._foreach_mul(along, weight))
        weights = [self.parameters[name] for name in total]
        for parameter, term in zip(weights, total.values(), strict=True):
            parameter.grad = term
        try:
            edges = [self.edges[name] for name in found]
            with naming_the_operation():
                torch.autograd.backward(edges, along, retain_graph=True, inputs=weights)
        finally:
            for parameter in weights:
                parameter.grad = None


class GraphStore(dict[int, BatchGraph]):
    """Graphs by batch: those that fit the budget of bytes are kept, others rebuilt when asked for.

    A product costs two gradients on a kept graph and three on one that is rebuilt.
    """

    def __init__(self, build: Callable[[int], BatchGraph], budget: float) -> None:
        super().__init__()
        self._build, self._budget = build, budget

    @property
    def num_bytes(self) -> int:
        """The bytes that the kept graphs hold."""
        return sum(graph.num_bytes for graph in self.values())

    def __missing__(self, index: int) -> BatchGraph:
        graph = self._build(index)
        if self.num_bytes + graph.num_bytes <= self._budget:
            self[index] = graph
        return graph
