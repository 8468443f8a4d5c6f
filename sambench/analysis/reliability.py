"""Whether confidence is accuracy: bins of the most probable class's probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sambench.analysis.predictions import Predictions

BINS = 10


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Bins of confidence that hold an image at least, ascending.

    Attributes:
        confidence: Mean over the images of each, shape (B,).
        accuracy: Share of them that is right, shape (B,).
        images: How many, over all runs, shape (B,).
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    images: NDArray[np.int64]


def reliability(runs: Sequence[Predictions], bins: int = BINS) -> Reliability:
    """Sort the images of all runs into equal bins of confidence (Guo et al. 2017, section 2).

    Bin b holds confidences in ((b - 1) / bins, b / bins]. Pooling weighs each run's share of a bin
    by its images there.

    Args:
        runs: Predictions of each.
        bins: Number of bins between 0 and 1.

    Raises:
        ValueError: If there is no run.
    """
    confidence = np.concatenate([run.probabilities.max(axis=1) for run in runs])
    correct = np.concatenate([run.correct for run in runs])
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    images = np.bincount(place, minlength=bins)
    filled = images > 0
    sums = [np.bincount(place, weights=values, minlength=bins) for values in (confidence, correct)]
    return Reliability(
        confidence=sums[0][filled] / images[filled],
        accuracy=sums[1][filled] / images[filled],
        images=images[filled],
    )


def confusion_matrix(run: Predictions) -> NDArray[np.int64]:
    """Return how many images of each class (row) were taken for each class (column), (K, K)."""
    classes = run.probabilities.shape[1]
    pairs = run.labels * classes + run.probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
