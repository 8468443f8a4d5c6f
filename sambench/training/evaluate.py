"""Predictions of a network on images, in evaluation mode and float32, and metrics of them.

The metrics are checked against scikit-learn in the tests. The Brier score is the sum over classes
of squared differences, which for two classes is twice scikit-learn's.
"""

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
from sambench.training.precision import numerics

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

BATCH_SIZE = 64
CALIBRATION_BINS = 15

FIRST_LOOK = 16
"""Images that `reaches_accuracy` looks at first; then twice as many, up to `BATCH_SIZE`."""


class Diverged(Exception):
    """The training loss, or what the network puts out, became NaN or infinite."""


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation in float32 without gradients; put each module's mode back after."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.inference_mode(), numerics("fp32"):  # torch's convolutions take TF32 by default
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def predict(model: nn.Module, images: Images) -> Array:
    """Return the class probabilities of each image, shape (N, K), softmax taken in float64.

    Outputs that give none are Diverged: the training loss, which is that before each step, does
    not see what the last one did.
    """
    with evaluation_mode(model):
        logits = [model(inputs) for inputs, _ in images.in_order(BATCH_SIZE)]
    probabilities: Array = torch.cat(logits).cpu().double().softmax(dim=1).numpy()
    if wrong := int(np.isnan(probabilities).any(axis=1).sum()):
        told = f"of {wrong} of {len(probabilities)} images"
        raise Diverged(f"the network's output became NaN or infinite, {told}")
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


def classification_metrics(
    probabilities: Array, labels: Labels
) -> dict[str, float | int | bool | None]:
    """Return all metrics of a part, from probabilities (N, K) and labels (N,); a row sums to 1.

    They are called and meant as in `sambench.store.sections.training.Test`.
    """
    predicted = probabilities.argmax(axis=1)
    number, classes = probabilities.shape
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (labels, predicted), 1)
    present = np.flatnonzero(confusion.sum(axis=1))
    rates = [_rates(confusion, k) for k in ([1] if classes == 2 else present.tolist())]
    recall = confusion[present, present] / confusion[present].sum(axis=1)
    likelihood = np.maximum(probabilities[np.arange(number), labels], np.finfo(float).tiny)
    return {
        "n": number,
        "loss": float(-np.log(likelihood).mean()) + 0.0,  # none is -0.0
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": float(recall.mean()),
        "auroc": auroc(probabilities, labels),
        "sensitivity": _mean([r[0] for r in rates]),
        "specificity": _mean([r[1] for r in rates]),
        "f1": _mean([r[2] for r in rates]),
        "ece": expected_calibration_error(probabilities, labels),
        "brier": float(((probabilities - np.eye(classes)[labels]) ** 2).sum(axis=1).mean()),
        "majority_accuracy": float(confusion.sum(axis=1).max() / number),
        "collapsed": bool(len(present) > 1 and len(np.unique(predicted)) == 1),
    }


def auroc(probabilities: Array, labels: Labels) -> float | None:
    """Area under the ROC curve by the rank sum (ties count half); mean over classes beyond two."""
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    return _mean([_binary_auroc(probabilities[:, k], labels == k) for k in classes])


def expected_calibration_error(probabilities: Array, labels: Labels) -> float:
    """Mean |confidence - accuracy| over equal bins of confidence, weighted by their size."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    gap = np.bincount(bins, weights=confidence - correct, minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(labels))


def _binary_auroc(scores: Array, positive: NDArray[np.bool_]) -> float | None:
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    rank_sum = ranks[positive].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def _rates(confusion: Array, k: int) -> tuple[float | None, float | None, float | None]:
    """Return sensitivity, specificity and F1 of class k against the rest; None where undefined."""
    hit = confusion[k, k]
    actual, predicted = confusion[k].sum(), confusion[:, k].sum()
    rest = confusion.sum() - actual
    rejected = rest - (predicted - hit)
    return (
        float(hit / actual) if actual else None,
        float(rejected / rest) if rest else None,
        float(2 * hit / (actual + predicted)) if actual + predicted else None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
