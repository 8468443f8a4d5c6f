"""Predictions of a network on images, in evaluation mode and float32; also on disturbed ones."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sambench.data.batches import Images
from sambench.data.shifts import SEVERITIES, STRENGTHS, Draws, shifted
from sambench.training.metrics import classification_metrics

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


def fit(model: nn.Module, images: Images) -> dict[str, Any]:
    """Return the loss and the accuracy of a network on images, as the record has them."""
    metrics = classification_metrics(predict(model, images), images.labels.cpu().numpy())
    return {name: metrics[name] for name in ("loss", "accuracy")}


def reaches_accuracy(model: nn.Module, images: Images, target: float, doubtful: Tensor) -> bool:
    """Whether the network's accuracy on the images is at least the target.

    Decides exactly as a full evaluation does, but looks at the doubtful images first (a mask of
    shape (N,): those that are likely wrong), a few of them at first, and stops as soon as too many
    are wrong or too few are left: a "no" costs little, and only a "yes" looks at all.
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


def robust_accuracy(
    model: nn.Module, images: Images, ids: Sequence[str], family: str
) -> dict[str, Any]:
    """Return the accuracy of a network on test images under each disturbance of a family.

    The draws follow from the images' ids. Under `shifts` is the family, then `severities`, for each
    disturbance the accuracies by severity, and the `mean` of all of these.
    """
    names = STRENGTHS[family]
    hits = torch.zeros(len(names), len(SEVERITIES), dtype=torch.int64, device=images.device)
    with evaluation_mode(model):
        for indices in torch.arange(len(images)).split(BATCH_SIZE):
            height, width = images.side
            drawn = Draws.of([ids[i] for i in indices.tolist()], height, width, images.device)
            for row, name in enumerate(names):
                for column, severity in enumerate(SEVERITIES):
                    disturb = functools.partial(
                        shifted, family=family, name=name, severity=severity, draws=drawn
                    )
                    inputs, labels = images.batch(indices, disturb)
                    hits[row, column] += (model(inputs).argmax(dim=1) == labels).sum()
    accuracy = hits.cpu().double() / len(images)
    return {
        "shifts": family,
        "severities": list(SEVERITIES),
        **{name: accuracy[row].tolist() for row, name in enumerate(names)},
        "mean": float(accuracy.mean()),
    }
