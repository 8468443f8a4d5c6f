"""The loss that a run minimises: cross entropy, perhaps smoothed and weighted by class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sambench.config.run_config import RunConfig


@dataclass(eq=False)
class CrossEntropy:
    r"""Cross entropy with soft targets and class weights.

    .. math:: \ell(z, y) = -\sum_c w_c \, q_c \log \operatorname{softmax}(z)_c, \qquad
              q_c = (1 - \varepsilon) [c = y] + \varepsilon / K
    """

    label_smoothing: float = 0.0  # the share epsilon that goes to all K classes alike
    class_weights: Tensor | None = None  # w, shape (K,); None for ones

    @classmethod
    def of(cls, config: RunConfig, labels: Tensor, classes: int) -> CrossEntropy:
        """Return the loss of a run, given its training images' labels (N,) and how many classes."""
        weights = balanced_weights(labels, classes) if config.class_weights == "balanced" else None
        return cls(config.label_smoothing, weights)

    def each(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each image, shape (B,), from logits (B, K) and labels (B,)."""
        weights = self.class_weights
        return functional.cross_entropy(
            logits,
            targets,
            weight=None if weights is None else weights.to(logits.dtype),
            label_smoothing=self.label_smoothing,
            reduction="none",
        )

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of the images' losses; torch's own would divide by their weights."""
        if self.class_weights is not None:
            return self.each(logits, targets).mean()
        return functional.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Return N / (K n_c) for each class c, 1 in the mean over images; 0 without images."""
    counts = torch.bincount(labels, minlength=classes)
    weights = len(labels) / (torch.count_nonzero(counts) * counts).double()
    return torch.where(counts > 0, weights, 0.0)
