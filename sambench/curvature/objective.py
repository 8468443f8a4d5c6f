"""The mean loss of a model over fixed batches, as a function of its trainable weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from sambench.curvature.arguments import require_one_of
from sambench.curvature.evaluation import (
    Batch,
    Batches,
    Loss,
    exact_arithmetic,
    in_double,
    isolated,
    tracking_layers,
    unwrapped,
)
from sambench.curvature.graph import (
    BatchGraph,
    naming_the_operation,
    require_second_derivatives,
    saved_bytes,
)
from sambench.curvature.vectors import Named
from sambench.errors import CurvatureError

BatchNorm = Literal["eval", "train", "recalibrate"]
ONE_VALUE = "more than 1 value per channel"


class Objective:
    """A snapshot of a model's weights and buffers, with its loss and its batches.

    Works on copies handed to the model by `torch.func.functional_call`, so that the model's own
    weights, buffers, gradients and hooks are out of reach, and later training does not move the
    matrix under the algorithm. Frozen weights are not copied. Arguments and errors are those of
    `HessianOperator`; "recalibrate" measures the running statistics once.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        batches: Iterable[Batch],
        *,
        batch_norm: BatchNorm = "eval",
    ) -> None:
        require_one_of(BatchNorm, batch_norm=batch_norm)
        self.batch_norm = batch_norm
        self.model = unwrapped(model)
        _check_weights_are_there(self.model)
        self._loss = in_double(loss)
        self._batches = Batches(batches)
        with torch.inference_mode(False):
            self.parameters = {
                name: parameter.detach().clone().requires_grad_()
                for name, parameter in self.model.named_parameters()
                if parameter.requires_grad
            }
            self.buffers = {name: b.detach().clone() for name, b in self.model.named_buffers()}
        self.dtype, self.device = _common_kind(list(self.parameters.values()))
        self.batch_sizes = self._batches.sizes
        self.num_samples = sum(self.batch_sizes)
        self._graph_bytes: dict[torch.Size, int] = {}
        self.recalibrate()

    def displaced(self, direction: Named, step: float) -> Objective:
        """Return the objective at w + step · direction; weights not named in it stay."""
        other = copy.copy(self)
        with torch.inference_mode(False), torch.no_grad():
            other.parameters = {
                name: weight.clone().requires_grad_() for name, weight in self.parameters.items()
            }
            other.buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}
            for name in other.parameters.keys() & direction.keys():
                other.parameters[name].add_(direction[name], alpha=step)
        other.recalibrate()
        return other

    def in_double(self, count: int) -> Objective:
        """Return the objective in float64, over the first samples of the first batch."""
        other, pair = copy.copy(self), self.sample(count)
        other.dtype = torch.float64
        with torch.inference_mode(False):
            other._batches = Batches([pair])
            other.parameters = {
                name: weight.detach().double().requires_grad_()
                for name, weight in self.parameters.items()
            }
            every = {n: p.detach() for n, p in self.model.named_parameters()} | self.buffers
            other.buffers = {
                name: tensor.double() if tensor.is_floating_point() else tensor.clone()
                for name, tensor in every.items()
                if name not in self.parameters
            }
        other.batch_sizes, other._graph_bytes = other._batches.sizes, {}
        return other

    @torch.inference_mode(False)
    def load(self, index: int) -> Batch:
        """Return a batch on the device, in the types that network and loss take."""
        inputs, targets = (p.clone() if p.is_inference() else p for p in self._batches[index])
        kind = self.dtype if inputs.is_floating_point() else inputs.dtype
        target_kind = torch.float64 if targets.is_floating_point() else targets.dtype
        return inputs.to(self.device, kind), targets.to(self.device, target_kind)

    def sample(self, count: int) -> Batch:
        """Return the first samples of the first batch."""
        inputs, targets = self.load(0)
        return inputs[:count], targets[:count]

    def isolated(self) -> AbstractContextManager[None]:
        """Return the context in which the network is evaluated."""
        return isolated(self.model, self.device)

    def outputs(
        self, inputs: Tensor, weights: Named | None = None, buffers: Named | None = None
    ) -> Tensor:
        """Run the network, at its own weights and buffers unless told; called in isolation."""
        weights = self.parameters if weights is None else weights
        buffers = self.buffers if buffers is None else buffers
        if self.batch_norm == "train":  # the pass writes to its buffers
            buffers = {name: buffer.clone() for name, buffer in buffers.items()}
            for layer in tracking_layers(self.model):
                layer.training = True
        return self._run(inputs, {**weights, **buffers})

    def loss_of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of some outputs, in float64; refuse one that is no single number."""
        try:
            loss = self._loss(outputs.double(), targets)
        except RuntimeError as error:
            if "Float" not in str(error) or "Double" not in str(error):
                raise
            raise CurvatureError(
                "the loss has float32 tensors of its own, such as class weights, but gets float64 "
                "outputs: make them .double()"
            ) from error
        if not isinstance(loss, Tensor):
            raise CurvatureError(f"the loss is a {type(loss).__name__}, not a tensor of one number")
        if loss.dim():
            raise CurvatureError(
                f"the loss has the shape {tuple(loss.shape)} instead of being one number: use "
                'reduction="mean"'
            )
        return loss

    def first_order(self, index: int, weights: Named | None = None) -> tuple[float, Named]:
        """Return the mean loss of one batch, finite at the network's own weights, and gradient."""
        inputs, targets = self.load(index)
        chosen = self.parameters if weights is None else weights
        loss = self._evaluate(inputs, targets, chosen)
        if weights is None:
            self._check(loss, inputs, index)
        with exact_arithmetic(self.device), naming_the_operation():
            gradients = torch.autograd.grad(
                loss, list(chosen.values()), allow_unused=True, materialize_grads=True
            )
        return float(loss.detach()), dict(zip(chosen, gradients, strict=True))

    def graph(self, index: int) -> BatchGraph:
        r"""Return the differentiable gradient of one batch's mean loss.

        One first backward pass with `create_graph`. Only the edges of the graph are kept: the
        gradient's values would cost the size of the weights again and are not needed to
        differentiate it. Outputs go to the loss in float64, because on a fitted network
        :math:`\partial^2 L / \partial z^2 = \operatorname{diag} p - p p^T` is lost in the rounding
        of float32. A loss that is not finite, does not depend on the trainable weights or cannot be
        differentiated twice is refused.
        """
        inputs, targets = self.load(index)
        weights = list(self.parameters.values())
        is_new = inputs.shape not in self._graph_bytes  # counting costs half a gradient: once
        with saved_bytes(weights) if is_new else nullcontext() as saved:
            loss = self._evaluate(inputs, targets, self.parameters)
            self._check(loss, inputs, index)
            with exact_arithmetic(self.device), naming_the_operation():
                gradients = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
        edges = {
            name: get_gradient_edge(gradient)
            for name, gradient in zip(self.parameters, gradients, strict=True)
            if gradient is not None and gradient.requires_grad
        }
        if saved is not None:
            require_second_derivatives(loss, edges.values())
            self._graph_bytes[inputs.shape] = sum(saved.values())
        return BatchGraph(edges, self.parameters, self._graph_bytes[inputs.shape])

    def recalibrate(self) -> None:
        """Measure the running statistics at the present weights, in mode "recalibrate" only."""
        if self.batch_norm == "recalibrate":
            self.buffers = self.statistics_at(self.parameters)

    @torch.inference_mode(False)
    def statistics_at(self, weights: Named) -> dict[str, Tensor]:
        """Return the buffers, with statistics measured in one pass, batches weighted by samples.

        As n_b / (n_1 + ... + n_b) of what batch b sees goes into them, nothing before is left.
        """
        buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}
        layers, seen = tracking_layers(self.model), 0
        for index, count in enumerate(self.batch_sizes if layers else ()):
            inputs, _ = self.load(index)
            seen += count
            with self.isolated(), torch.no_grad():
                for layer in layers:
                    layer.training, layer.momentum = True, count / seen
                self._run(inputs, {**weights, **buffers})
        return buffers

    def _evaluate(self, inputs: Tensor, targets: Tensor, weights: Named) -> Tensor:
        with self.isolated():
            return self.loss_of(self.outputs(inputs, weights), targets)

    def _run(self, inputs: Tensor, state: dict[str, Tensor]) -> Tensor:
        try:
            outputs: Tensor = functional_call(self.model, state, (inputs,))
        except ValueError as error:
            if ONE_VALUE not in str(error):
                raise
            raise CurvatureError(
                f"batch normalisation has no statistics of a batch of {len(inputs)} "
                "sample: leave the batch out, or use batch_norm='eval'"
            ) from error
        if not isinstance(outputs, Tensor) or not outputs.dim():
            found = "single number" if isinstance(outputs, Tensor) else type(outputs).__name__
            raise CurvatureError(
                f"the model returns a {found}: wrap it in a module that returns all samples' "
                "outputs as one tensor, which the loss takes"
            )
        return outputs

    def _check(self, loss: Tensor, inputs: Tensor, index: int) -> None:
        if not bool(torch.isfinite(loss)):
            culprit = "the weights have diverged"
            if inputs.is_floating_point() and not bool(torch.isfinite(inputs).all()):
                culprit = "its inputs are not finite; leave it out or repair them"
            raise CurvatureError(f"the loss of batch {index} is {float(loss.detach())}: {culprit}")
        if not loss.requires_grad:
            raise CurvatureError(f"the loss of batch {index} depends on no trainable parameter")


def _check_weights_are_there(model: nn.Module) -> None:
    """Refuse weights that have no shape yet, or in whose place no others can be put."""
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise CurvatureError(
            "the model is made by torch.jit, which evaluates it at its own weights alone: give "
            "the network that was scripted or traced"
        )
    for name, held in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(held):
            raise CurvatureError(
                f"the model is lazy: {name} has no shape yet; run the model on a batch first"
            )


def _common_kind(weights: Sequence[Tensor]) -> tuple[torch.dtype, torch.device]:
    if not weights:
        raise CurvatureError(
            "the model has no trainable parameter: set requires_grad on those whose "
            "curvature is wanted"
        )
    kinds = {weight.dtype for weight in weights}
    if len(kinds) > 1 or not kinds <= {torch.float32, torch.float64}:
        names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        remedy = "convert the model with .float() or .double()"
        if any(kind.is_complex for kind in kinds):
            remedy = "keep them as pairs of real numbers, with torch.view_as_complex in forward"
        raise CurvatureError(f"the trainable parameters are {names}: {remedy}")
    return kinds.pop(), weights[0].device
