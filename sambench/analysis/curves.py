"""Curves over runs: ROC and reliability of their predictions, and learning epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sambench.analysis.predictions import Predictions, roc_points
from sambench.analysis.targets import Epochs

POINTS = 201
"""False positive rates at which curves are averaged."""

BINS = 15
"""Of confidence, everywhere (Guo et al. 2017)."""

EPOCH, PASSES, SECONDS = "epoch", "gradient_evaluations", "train_seconds"
AXES = (EPOCH, PASSES, SECONDS)
"""What a run may have spent at the end of an epoch."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MeanRoc:
    """The mean curve of some runs.

    Attributes:
        false_positive_rates: Shape (201,).
        mean: True positive rates at these, shape (201,).
        sd: Their standard deviation over runs; zero for one run.
        areas: The runs' own, not that of the mean curve.
    """

    false_positive_rates: Floats
    mean: Floats
    sd: Floats
    areas: tuple[float, ...]


def mean_roc(runs: Sequence[Predictions]) -> MeanRoc | None:
    """Average curves vertically, at fixed false positive rates (Fawcett 2006, section 9.1).

    Of two classes the second is the positive one. Of more, a run's curve is the mean over the
    curves of each class against the rest, its area the mean of their areas (macro average).

    Args:
        runs: Predictions of each.

    Returns:
        None where no run has positives and negatives.
    """
    grid: Floats = np.linspace(0.0, 1.0, POINTS)
    curves: list[Floats] = []
    areas: list[float] = []
    for run in runs:
        classes = run.probabilities.shape[1]
        known = [
            points
            for k in ([1] if classes == 2 else range(classes))
            if (points := roc_points(run.probabilities[:, k], run.labels == k)) is not None
        ]
        if known:
            curves.append(np.mean([np.interp(grid, *points) for points in known], axis=0))
            areas.append(float(np.mean([_area(*points) for points in known])))
    if not areas:
        return None
    curves_of_all = np.stack(curves)
    sd = curves_of_all.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros(POINTS)
    return MeanRoc(
        false_positive_rates=grid, mean=curves_of_all.mean(axis=0), sd=sd, areas=tuple(areas)
    )


def _area(false: Floats, true: Floats) -> float:
    return float(np.diff(false) @ (true[1:] + true[:-1]) / 2)


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


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Runs of one optimizer, as far as all of them went.

    Attributes:
        spent: For each of `AXES`, the mean over runs at the end of each epoch, shape (E,).
        mean: Of the quantity, shape (E,); the geometric mean where it was asked for.
        low: Mean minus one standard deviation; the mean over the geometric one.
        high: Mean plus one standard deviation; likewise.
        runs: Number of runs.
    """

    spent: dict[str, Floats]
    mean: Floats
    low: Floats
    high: Floats
    runs: int


def learning_curve(
    histories: Sequence[Epochs], quantity: str, *, geometric: bool = False
) -> LearningCurve | None:
    """Average runs epoch by epoch.

    Runs may end at different epochs; the curve ends with the first of them, lest the mean jump
    where one leaves it.

    Args:
        histories: The epochs of each run.
        quantity: Which of an epoch's numbers.
        geometric: Average logarithms, as a logarithmic axis asks for.

    Returns:
        None where a run lacks the quantity, or has no epoch.

    Raises:
        ValueError: If an epoch lacks what it had spent.
    """
    length = min((len(epochs) for epochs in histories), default=0)
    if not length or any(e.get(quantity) is None for h in histories for e in h[:length]):
        return None
    try:
        spent = {axis: _table(histories, axis, length).mean(axis=0) for axis in AXES}
        values = _table(histories, quantity, length)
    except (KeyError, TypeError) as error:
        raise ValueError(f"an epoch has no number {error}") from error
    if geometric:
        values = np.log(np.maximum(values, np.finfo(np.float64).tiny))
    mean = values.mean(axis=0)
    sd = values.std(axis=0, ddof=1) if len(histories) > 1 else np.zeros(length)
    sides = (mean, mean - sd, mean + sd)
    mean, low, high = (np.exp(side) for side in sides) if geometric else sides
    return LearningCurve(spent=spent, mean=mean, low=low, high=high, runs=len(histories))


def _table(histories: Sequence[Epochs], key: str, length: int) -> Floats:
    return np.array([[float(e[key]) for e in h[:length]] for h in histories], dtype=np.float64)
