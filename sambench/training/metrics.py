"""Metrics of a classifier from its predicted probabilities, in numpy.

Checked against scikit-learn in the tests. The Brier score is the sum over classes of squared
differences, which for two classes is twice scikit-learn's. For more than two classes AUROC is the
mean over classes against the rest, and sensitivity, specificity and F1 are means over classes too;
for two classes they are those of class 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

CALIBRATION_BINS = 15


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
        "loss": float(-np.log(likelihood).mean()),
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
