"""The loss of a network away from its weights, and what looking at it costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sambench.curvature.batches import Batch, Loss
from sambench.curvature.checks import check_function
from sambench.curvature.evaluation import tracking_layers
from sambench.curvature.objective import BatchNorm, Objective
from sambench.errors import CurvatureError

FORWARD_SHARE = 1 / 3  # of a gradient: a backward pass takes about two forward passes


@dataclass(frozen=True)
class Point:
    """What the network does at one place."""

    loss: float
    """The mean over all samples; infinite where the arithmetic overflows."""
    accuracy: float
    """The share of samples classified right; NaN where the targets are no classes."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Work done, in passes over all samples."""

    forward_passes: float
    gradients: float

    @property
    def gradient_equivalents(self) -> float:
        """The work in gradients, a forward pass counting a third."""
        return self.gradients + FORWARD_SHARE * self.forward_passes


class LossSurface(Objective):
    """The mean loss over fixed batches as a function of flat weights, first derivatives included.

    Weights are in the order of `model.named_parameters()`. Every pass works on copies: the model,
    its buffers, gradients, modes and the random state stay as they are, bit for bit.

    Args:
        model: The network; evaluated in eval mode.
        loss: Mean loss of a batch, from float64 outputs and targets.
        batches: Pairs (inputs, targets).
        batch_norm: What batch normalisation normalises by: "eval", the running statistics; "train",
            those of the batch; "recalibrate", running statistics measured anew on the batches: at
            every point that `at` looks at, for one more pass each, and once, at the network's own
            weights, for `loss` and `value_and_gradient`.

    Raises:
        CurvatureError: If nothing is trainable, weights are not float32 or float64, or data lacks.
        ValueError: If `batch_norm` is none of the three.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        batches: Iterable[Batch],
        *,
        batch_norm: BatchNorm = "eval",
    ) -> None:
        super().__init__(model, loss, batches, batch_norm=batch_norm)
        check_function(self)
        self.center = self.flatten(self.parameters)
        self.num_samples = sum(self.batch_sizes)
        self._forwards = self._gradients = 0

    @property
    def cost(self) -> Cost:
        """The passes made so far."""
        return Cost(
            forward_passes=self._forwards / self.num_samples,
            gradients=self._gradients / self.num_samples,
        )

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """The model's buffers, running statistics among them."""
        return self._buffers

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the named tensors, one for every trainable weight, as one detached vector."""
        return torch.cat([tensors[name].detach().reshape(-1) for name in self.parameters])

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the parts of a vector by the names of the weights, as views of it."""
        shapes = [weight.shape for weight in self.parameters.values()]
        parts = torch.split(vector, [shape.numel() for shape in shapes])
        return {
            name: part.view(shape)
            for name, part, shape in zip(self.parameters, parts, shapes, strict=True)
        }

    def at(self, weights: Tensor, buffers: Mapping[str, Tensor] | None = None) -> Point:
        """Return mean loss and accuracy over all samples.

        Args:
            weights: Flat, of shape (size,).
            buffers: In place of those that `batch_norm` asks for.
        """
        if buffers is None and self.batch_norm == "recalibrate":
            buffers = self.recalibrated(weights)
        total, right = 0.0, 0.0
        values = self.unflatten(weights)
        for index, size in enumerate(self.batch_sizes):
            outputs, targets, loss = self._forward(index, values, buffers)
            total += size * loss
            right += _classified_right(outputs, targets)
        mean = total / self.num_samples
        return Point(mean if math.isfinite(mean) else math.inf, right / self.num_samples)

    def recalibrated(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the buffers with the statistics that batch normalisation measures at `weights`.

        Raises:
            CurvatureError: If a batch has a single value per channel, which has no variance.
        """
        if tracking_layers(self.model):
            self._forwards += self.num_samples
        return self.statistics_at(self.unflatten(weights))

    def loss(self, weights: Tensor, index: int | None = None) -> float:
        """Return the mean loss of one batch, or of all samples.

        Raises:
            CurvatureError: If it is not finite.
        """
        values = self.unflatten(weights)
        chosen = range(len(self.batch_sizes)) if index is None else (index,)
        sizes = [self.batch_sizes[i] for i in chosen]
        losses = [self._forward(i, values, None)[2] for i in chosen]
        return _finite(sum(n * x for n, x in zip(sizes, losses, strict=True)) / sum(sizes))

    def value_and_gradient(self, weights: Tensor, index: int | None = None) -> tuple[float, Tensor]:
        """Return the mean loss of one batch, or of all samples, and its flat gradient.

        Raises:
            CurvatureError: If the loss is not finite.
        """
        chosen = range(len(self.batch_sizes)) if index is None else (index,)
        count = sum(self.batch_sizes[i] for i in chosen)
        total, gradient = 0.0, torch.zeros_like(self.center)
        for i in chosen:
            share = self.batch_sizes[i] / count
            value, part = self._backward(i, weights)
            total += share * value
            gradient.add_(part, alpha=share)
        return _finite(total), gradient

    def _forward(
        self, index: int, values: Mapping[str, Tensor], buffers: Mapping[str, Tensor] | None
    ) -> tuple[Tensor, Tensor, float]:
        inputs, targets = self._load(index)
        with self.isolated(), torch.no_grad():
            outputs = self._outputs(inputs, values, self._buffers if buffers is None else buffers)
            loss = self.loss_of(outputs, targets)
        self._forwards += len(inputs)
        return outputs, targets, float(loss)

    def _backward(self, index: int, weights: Tensor) -> tuple[float, Tensor]:
        inputs, targets = self._load(index)
        with self.isolated():
            leaf = weights.detach().clone().requires_grad_()
            outputs = self._outputs(inputs, self.unflatten(leaf), self._buffers)
            loss = self.loss_of(outputs, targets)
            (gradient,) = torch.autograd.grad(loss, leaf)
        self._gradients += len(inputs)
        return float(loss.detach()), gradient


def _classified_right(outputs: Tensor, targets: Tensor) -> float:
    if targets.is_floating_point() or outputs.ndim != 2 or targets.ndim != 1:
        return math.nan
    return float((outputs.argmax(1) == targets).sum())


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise CurvatureError(
            f"the loss at perturbed weights is {loss}: the perturbation is too large for this "
            "network, or its weights have diverged; take a smaller radius"
        )
    return loss
