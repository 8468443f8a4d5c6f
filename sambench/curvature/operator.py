"""The Hessian of a network's mean loss as a symmetric linear operator."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from sambench.curvature.arguments import require_at_least
from sambench.curvature.checks import check_derivatives, check_function
from sambench.curvature.evaluation import Batch, Loss, exact_arithmetic
from sambench.curvature.graph import GraphStore
from sambench.curvature.objective import BatchNorm, Objective
from sambench.curvature.vectors import Named, flattened, parts_of, spare_bytes


class HessianOperator(AbstractContextManager["HessianOperator"]):
    r"""The Hessian :math:`H = \sum_b \frac{n_b}{N} \nabla^2 L_b` over all trainable weights.

    :math:`L_b` is the mean loss of batch b with :math:`n_b` samples, so an incomplete last batch
    counts by its samples, and H does not depend on how the data is cut; a loss or a network for
    which this does not hold is refused, except for a network in `batch_norm="train"`. Vectors are
    flat, in the order of `model.named_parameters()`. Weights and buffers are copied at
    construction; nothing of the model, of its gradients or of the random state is changed, and any
    number of operators may exist at once. Use it as a context manager, or `close()` it, to release
    the graphs.

    Args:
        model: The network, in any mode; evaluated in eval mode (dropout off).
        loss: Called as `loss(outputs.double(), targets)`; must be a mean over samples. Floating
            targets come as float64, and class weights of a module or a partial are made so.
        batches: Pairs (inputs, targets), the same at every pass: not augmented, not shuffled.
        graph_bytes: Memory for graphs that are kept between products; 0 rebuilds each one. By
            default half of the free device memory, or a quarter of the available host memory.
        batch_norm: "eval" normalises by the running statistics, as the network is deployed;
            "train" by those of each batch, so that H depends on how the data is cut; "recalibrate"
            by running statistics that are measured anew on the batches.
        l2: Weight of a penalty :math:`\frac{l_2}{2} \|w\|^2` on the loss; adds itself to each
            eigenvalue.

    Loss, network and second derivatives are checked on up to eight samples (see `checks`), at the
    price of about fifteen gradients of those in float64.

    Raises:
        CurvatureError: If nothing is trainable, there is no data, or a check fails; by products and
            gradients, if a loss is not finite or an operation has no second derivative.
        ValueError: If `batch_norm` is none of its choices, `l2` negative, or a vector or name of
            weights wrong.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(1, 1, bias=False).double()
        >>> batch = (torch.full((4, 1), 3.0), torch.zeros(4, 1))
        >>> with HessianOperator(model, torch.nn.functional.mse_loss, [batch]) as H:
        ...     print(H.matvec(torch.ones(1)))  # 2/n X'X
        tensor([18.], dtype=torch.float64)
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        batches: Iterable[Batch],
        *,
        graph_bytes: int | None = None,
        batch_norm: BatchNorm = "eval",
        l2: float = 0.0,
    ) -> None:
        require_at_least(0, l2=l2)
        self.l2, self.batch_norm = l2, batch_norm
        self._objective = Objective(model, loss, batches, batch_norm=batch_norm)
        self.device, self.dtype = self._objective.device, self._objective.dtype
        """Of the weights, and of the vectors: float32 or float64."""
        check_function(self._objective)
        self.derivative_error, self.product_error = check_derivatives(self._objective)
        """How far a product was off a difference of gradients (None where that was not settled),
        and how far by rounding, beside its length."""
        self._budget = spare_bytes(self.device) if graph_bytes is None else graph_bytes
        self._graphs = GraphStore(self._objective.graph, self._budget)
        self._indices = tuple(range(len(self._objective.batch_sizes)))
        self._weights: Named = self._objective.parameters
        self._scale: Tensor | None = None
        self._begin()

    @property
    def graph_bytes(self) -> int:
        """The bytes that the kept graphs hold now."""
        return self._graphs.num_bytes

    @property
    def layers(self) -> dict[str, tuple[str, ...]]:
        """The weights' names by module, in order; a numbered module is "features.4 (Conv2d)"."""
        modules = dict(self._objective.model.named_modules())
        found: dict[str, list[str]] = {}
        for name in self._weights:
            owner, parametrised, _ = name.partition(".parametrizations.")
            owner = owner if parametrised else name.rpartition(".")[0]
            label = owner or name
            if label.rpartition(".")[2].isdigit():
                label = f"{label} ({type(modules[owner]).__name__.removeprefix('Parametrized')})"
            found.setdefault(label, []).append(name)
        return {layer: tuple(names) for layer, names in found.items()}

    def matvec(self, vector: Tensor, out: Tensor | None = None) -> Tensor:
        """Return Hv for a flat vector.

        It is written to `out`, if given: contiguous, of the same kind, not `vector` itself. A loop
        that gives back memory it has used saves asking for it anew.
        """
        if out is None:
            return self._multiply(vector, 1)[0]
        self._multiply(vector, 1, out.unsqueeze(0))
        return out

    def matmat(self, vectors: Tensor) -> Tensor:
        """Return HV, one pass over the batches for all columns of V."""
        return self._multiply(vectors, 2).T

    def gradient(self) -> tuple[float, Tensor]:
        """Return the function whose Hessian this is, and its gradient: one pass over the batches.

        With `l2` its penalty is part of both; the gradient is in the operator's own coordinates.
        """
        with torch.inference_mode(False), torch.no_grad():
            weights = flattened(self._weights.values())
            loss = 0.5 * self.l2 * float(weights.double().square().sum())
            gradient = weights.mul_(self.l2)
            for index, count in zip(self._indices, self.batch_sizes, strict=True):
                share = count / self.num_samples
                value, parts = self._objective.first_order(index)
                loss += share * value
                totals = parts_of(gradient, self._weights)
                terms = [parts[name] for name in totals]
                torch._foreach_add_(list(totals.values()), terms, alpha=share)
            return loss, gradient if self._scale is None else gradient.mul_(self._scale)

    def batch(self, index: int) -> HessianOperator:
        """Return the Hessian of one batch's mean loss, which counts its own products.

        It shares the weights and the kept graphs, and keeps its own batch's graph until closed.
        """
        view = copy.copy(self)
        view._graphs = GraphStore(self._graphs.__getitem__, budget=float("inf"))
        view._indices = (self._indices[index],)
        return view._begin()

    def block(self, names: Iterable[str]) -> HessianOperator:
        """Return the diagonal block of some weights, such as one layer's (see `layers`).

        It shares the kept graphs and counts its own products, which go through less of them.
        """
        wanted = set(names)
        if not wanted or not wanted <= self._weights.keys():
            raise ValueError(f"no weights {sorted(wanted - self._weights.keys())}")
        view = copy.copy(self)
        view._weights = {name: w for name, w in self._weights.items() if name in wanted}
        view._graphs = GraphStore(self._graphs.__getitem__, budget=0)
        return view._begin()

    def adaptive(self) -> HessianOperator:
        r"""Return :math:`DHD` with :math:`D = \operatorname{diag} |w|`.

        The Hessian with respect to relative changes of the weights: scaling a layer up and the next
        one down, which leaves a ReLU network the same function, does not change it.
        """
        view = copy.copy(self)
        view._scale = torch.empty(0)
        return view._begin()

    def displaced(self, direction: Named, step: float) -> HessianOperator:
        """Return the Hessian at w + step · direction; weights that this does not name stay."""
        other = copy.copy(self)
        other._objective = self._objective.displaced(direction, step)
        other._weights = {name: other._objective.parameters[name] for name in self._weights}
        other._graphs = GraphStore(other._objective.graph, self._budget)
        return other._begin()

    def close(self) -> None:
        """Release the graphs. They are rebuilt if the operator is used again."""
        self._graphs.clear()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _multiply(self, given: Tensor, dimensions: int, out: Tensor | None = None) -> Tensor:
        """Return the products with the columns, as rows, written to `out` or a fresh tensor."""
        if given.ndim != dimensions or len(given) != self.size:
            raise ValueError(f"expected {self.size} rows, got shape {tuple(given.shape)}")
        with torch.inference_mode(False), exact_arithmetic(self.device):
            columns = given.detach().reshape(self.size, -1)
            along = columns.T.to(self.device, self.dtype).contiguous()
            products = torch.zeros_like(along) if out is None else out.zero_()
            along = along if self._scale is None else along * self._scale
            vectors = zip(along, products, strict=True)
            pairs = [[parts_of(vector, self._weights) for vector in pair] for pair in vectors]
            common = self.batch_sizes[0]
            for index, count in zip(self._indices, self.batch_sizes, strict=True):
                graph = self._graphs[index]
                for parts, totals in pairs:
                    graph.accumulate(parts, totals, count / common)
                del graph  # before the next is built
            if common != self.num_samples:
                products.mul_(common / self.num_samples)
            if self.l2:
                products.add_(along, alpha=self.l2)
            if self._scale is not None:
                products.mul_(self._scale)
        self.matvecs += len(along)
        return products

    def _begin(self) -> HessianOperator:
        """Measure weights and batches that are covered, and count products from zero."""
        self.size = sum(weight.numel() for weight in self._weights.values())
        """The number of trainable weights."""
        self.batch_sizes = tuple(self._objective.batch_sizes[index] for index in self._indices)
        """The number of samples of each batch."""
        self.num_batches, self.num_samples = len(self.batch_sizes), sum(self.batch_sizes)
        if self._scale is not None:
            self._scale = flattened(self._weights.values()).abs_()
        self.matvecs = 0
        return self
