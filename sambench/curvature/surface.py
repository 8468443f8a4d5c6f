"""The loss of a network away from its weights, and what looking at it costs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sambench.curvature.checks import check_function
from sambench.curvature.evaluation import Batch, Loss, tracking_layers
from sambench.curvature.objective import BatchNorm, Objective
from sambench.curvature.vectors import Named, flattened, parts_of
from sambench.errors import CurvatureError

FORWARD_SHARE = 1 / 3  # of a gradient: a backward pass takes about two forward passes


class Point(NamedTuple):
    """What the network does at one place."""

    loss: float  # the mean over all samples; infinite where the arithmetic overflows
    accuracy: float  # the share of samples classified right; NaN where the targets are no classes


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

    Weights are in the order of `model.named_parameters()`. Arguments and errors are those of
    `Objective`. With `batch_norm="recalibrate"` the statistics are measured anew at every point
    that `at` looks at, for one more pass each, and once, at the network's own weights, for `loss`
    and `value_and_gradient`.
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
        self.center = flattened(self.parameters.values())
        if not self.center.isfinite().all():
            raise CurvatureError("the weights are not finite: they have diverged; train them again")
        self._forwards = self._gradients = 0

    @property
    def cost(self) -> Cost:
        """The passes made so far."""
        return Cost(
            forward_passes=self._forwards / self.num_samples,
            gradients=self._gradients / self.num_samples,
        )

    def at(self, weights: Tensor, buffers: Named | None = None) -> Point:
        """Return mean loss and accuracy over all samples at flat weights.

        Buffers are those that `batch_norm` asks for unless they are given.
        """
        if buffers is None and self.batch_norm == "recalibrate":
            buffers = self.recalibrated(weights)
        total, right = 0.0, 0.0
        values = parts_of(weights, self.parameters)
        for index, size in enumerate(self.batch_sizes):
            outputs, targets, loss = self._forward(index, values, buffers)
            total += size * loss
            classes = (outputs.ndim, targets.ndim) == (2, 1) and not targets.is_floating_point()
            right += float((outputs.argmax(1) == targets).sum()) if classes else math.nan
        mean = total / self.num_samples
        return Point(mean if math.isfinite(mean) else math.inf, right / self.num_samples)

    def recalibrated(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the buffers with the statistics that batch normalisation measures at `weights`."""
        if tracking_layers(self.model):
            self._forwards += self.num_samples
        return self.statistics_at(parts_of(weights, self.parameters))

    def loss(self, weights: Tensor, index: int | None = None) -> float:
        """Return the mean loss of one batch, or of all samples; one not finite is an error."""
        values = parts_of(weights, self.parameters)
        chosen = range(len(self.batch_sizes)) if index is None else (index,)
        total = sum(self.batch_sizes[i] * self._forward(i, values)[2] for i in chosen)
        return _finite(total / sum(self.batch_sizes[i] for i in chosen))

    def value_and_gradient(self, weights: Tensor, index: int | None = None) -> tuple[float, Tensor]:
        """Return the same and its flat gradient."""
        chosen = range(len(self.batch_sizes)) if index is None else (index,)
        count = sum(self.batch_sizes[i] for i in chosen)
        total, gradient = 0.0, torch.zeros_like(self.center)
        with torch.inference_mode(False):
            parts = parts_of(weights.detach().clone(), self.parameters)
            leaves = {name: part.requires_grad_() for name, part in parts.items()}
        for i in chosen:
            share = self.batch_sizes[i] / count
            value, gradients = self.first_order(i, leaves)
            total += share * value
            gradient.add_(flattened(gradients.values()), alpha=share)
            self._gradients += self.batch_sizes[i]
        return _finite(total), gradient

    def _forward(
        self, index: int, values: Named, buffers: Named | None = None
    ) -> tuple[Tensor, Tensor, float]:
        inputs, targets = self.load(index)
        with self.isolated(), torch.no_grad():
            outputs = self.outputs(inputs, values, buffers)
            loss = self.loss_of(outputs, targets)
        self._forwards += len(inputs)
        return outputs, targets, float(loss)


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise CurvatureError(
            f"the loss at perturbed weights is {loss}: the perturbation is too large for this "
            "network, or its weights have diverged; take a smaller radius"
        )
    return loss
