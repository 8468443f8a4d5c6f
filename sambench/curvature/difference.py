"""Hessian-vector products from first derivatives alone, for operations that have no second."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from sambench.curvature.objective import Objective


class DifferenceProduct:
    r"""Central differences of gradients, :math:`Hv \approx (g(w + hv) - g(w - hv)) / 2h`.

    Two gradients for each product, as on a kept graph, and nothing is kept; but truncation of the
    order of :math:`h^2` and rounding of the order of :math:`\epsilon / h` remain, so the step

    .. math:: h = \epsilon^{1/3} \max(1, \|w\|) / \|v\|

    balances them for a loss whose third derivatives are moderate: relative errors near 1e-9 in
    float64 and 1e-3 in float32, worse through kinks such as ReLU's. The result is not exactly
    symmetric or linear.

    Args:
        objective: The loss and its weights.
        index: Of the batch.
        names: The weights whose diagonal block is wanted; all by default.
    """

    num_bytes = 0

    def __init__(
        self, objective: Objective, index: int, names: Collection[str] | None = None
    ) -> None:
        self._objective = objective
        self._index = index
        self._names = [n for n in objective.parameters if names is None or n in names]

    def accumulate(
        self, direction: Sequence[Tensor], total: Sequence[Tensor], weight: float
    ) -> None:
        """Add the weighted Hessian-vector product to `total`, in place."""
        length = _norm(direction)
        if length == 0:
            return
        weights = [self._objective.parameters[name] for name in self._names]
        precision = torch.finfo(weights[0].dtype).eps
        step = precision ** (1 / 3) * max(1.0, _norm(weights)) / length
        named = dict(zip(self._names, direction, strict=True))
        for sign in (1.0, -1.0):
            _, gradients = self._objective.displaced(named, sign * step).first_order(self._index)
            by_name = dict(zip(self._objective.parameters, gradients, strict=True))
            terms = [by_name[name] for name in self._names]
            torch._foreach_add_(list(total), terms, alpha=sign * weight / (2 * step))

    def restricted(self, names: Collection[str]) -> DifferenceProduct:
        """Return the product of the diagonal block of some of the weights."""
        return DifferenceProduct(self._objective, self._index, names)


def _norm(tensors: Sequence[Tensor]) -> float:
    with torch.no_grad():
        return float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors)))))
