"""The twice differentiable graph of one batch, and how many of them are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from sambench.curvature.derivatives import naming_the_operation


class BatchGraph:
    """The gradient of one batch's loss, held ready to be differentiated along any direction.

    Args:
        edges: Where in the graph each weight's gradient is, by name.
        parameters: All weights, by name, in the order of the flat vectors.
        num_bytes: What the graph keeps alive.
    """

    def __init__(
        self, edges: Mapping[str, GradientEdge], parameters: Mapping[str, Tensor], num_bytes: int
    ) -> None:
        self._edges = edges
        self._parameters = parameters
        self.num_bytes = num_bytes

    def accumulate(
        self, direction: Sequence[Tensor], total: Sequence[Tensor], weight: float
    ) -> None:
        r"""Add the weighted Hessian-vector product to `total`, in place.

        Reverse over reverse, :math:`Hv = \nabla_w (\nabla_w L \cdot v)` (Pearlmutter, "Fast exact
        multiplication by the Hessian", 1994). The forward modes of differentiation are silently
        wrong through layer and batch normalisation in current PyTorch and are not used.

        The weights are the objective's own copies, so that their `grad` is free to point into
        `total` for as long as the pass takes: each term is added as soon as it is known, in memory
        that is still at hand, and the product is never held twice.
        """
        rows = [row for row, name in enumerate(self._parameters) if name in self._edges]
        if not rows:  # a loss that is linear in its weights
            return
        along = [direction[row] for row in rows]
        if weight != 1.0:
            along = list(torch._foreach_mul(along, weight))
        weights = tuple(self._parameters.values())
        edges = [self._edges[name] for name in self._parameters if name in self._edges]
        for parameter, term in zip(weights, total, strict=True):
            parameter.grad = term
        try:
            with naming_the_operation():
                torch.autograd.backward(edges, along, retain_graph=True, inputs=weights)
        finally:
            for parameter in weights:
                parameter.grad = None

    def restricted(self, names: Collection[str]) -> BatchGraph:
        """Return the graph of the diagonal block of some of the weights."""
        edges = {name: edge for name, edge in self._edges.items() if name in names}
        weights = {name: weight for name, weight in self._parameters.items() if name in names}
        return BatchGraph(edges, weights, self.num_bytes)


class GraphStore:
    """Graphs by batch: those that fit the budget are kept, the others rebuilt when asked for.

    A product costs two gradients on a kept graph and three on one that is rebuilt.

    Args:
        build: Makes the graph of a batch.
        budget: Bytes that kept graphs may hold together; the graph in use comes on top.
    """

    def __init__(self, build: Callable[[int], BatchGraph], budget: float) -> None:
        self._build = build
        self._budget = budget
        self._graphs: dict[int, BatchGraph] = {}

    @property
    def num_bytes(self) -> int:
        """The bytes that the kept graphs hold."""
        return sum(graph.num_bytes for graph in self._graphs.values())

    def get(self, index: int) -> BatchGraph:
        """Return the graph of a batch, kept or fresh."""
        if index in self._graphs:
            return self._graphs[index]
        graph = self._build(index)
        if self.num_bytes + graph.num_bytes <= self._budget:
            self._graphs[index] = graph
        return graph

    def clear(self) -> None:
        """Release all kept graphs."""
        self._graphs.clear()
