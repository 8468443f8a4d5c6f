"""Predictions of a network on images, in evaluation mode and float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sambench.data.batches import Images

BATCH_SIZE = 64

FIRST_LOOK = 16
"""Images that `reaches_accuracy` looks at first; then twice as many, up to `BATCH_SIZE`."""


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch the network to evaluation without gradients; put each module's mode back after."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def predict(model: nn.Module, images: Images) -> NDArray[np.float64]:
    """Return the class probabilities of each image, shape (N, K), softmax taken in float64."""
    with evaluation_mode(model):
        logits = [model(inputs).double() for inputs, _ in images.in_order(BATCH_SIZE)]
    probabilities: NDArray[np.float64] = torch.cat(logits).softmax(dim=1).cpu().numpy()
    return probabilities


def reaches_accuracy(model: nn.Module, images: Images, target: float, doubtful: Tensor) -> bool:
    """Whether the network's accuracy on the images is at least the target.

    Decides exactly as a full evaluation does, but looks at the doubtful images first, a few of them
    at first, and stops as soon as too many are wrong or too few are left: a "no" costs little, and
    only a "yes" looks at all.

    Args:
        model: The network.
        images: All images of the part.
        target: Accuracy in 0..1.
        doubtful: Mask of shape (N,): the images that are likely wrong.
    """
    allowed = int(np.floor((1 - target) * len(images) + 1e-9))
    order = torch.argsort(doubtful.int(), descending=True, stable=True).cpu()
    wrong = seen = 0
    size = FIRST_LOOK
    with evaluation_mode(model):
        while wrong <= allowed < wrong + len(images) - seen:
            inputs, labels = images.batch(order[seen : seen + size])
            wrong += int((model(inputs).argmax(dim=1) != labels).sum())
            seen, size = seen + len(labels), min(2 * size, BATCH_SIZE)
    return wrong <= allowed
