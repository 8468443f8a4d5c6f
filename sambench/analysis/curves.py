"""What predictions tell besides accuracy: operating points, calibration, ROC and reliability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.special import expit, logit

from sambench.analysis.inference import Floats
from sambench.analysis.predictions import Predictions, read_predictions
from sambench.errors import StoreError
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.tree import Store

RATES: Floats = np.linspace(0.0, 1.0, 201)
"""False positive rates at which curves are averaged."""

BINS = 15
"""Of confidence, everywhere (Guo et al. 2017)."""

OPERATING_POINT = 0.9
"""Sensitivity, or specificity, at which the other one is asked for."""

MOST_STEPS = 100
"""Of Newton's method; some 6 to 10 are needed, more where the classes are all but separated."""


def with_predictions(record: RunRecord, predictions: Predictions) -> RunRecord:
    """Return a record whose test section has what its predictions tell of two classes besides.

    `sensitivity_at_90` (specificity), `specificity_at_90` (sensitivity), and `calibration_slope`;
    None where they are not defined.
    """
    final = record.final or {}
    if predictions.probabilities.shape[1] != 2 or "test" not in final:
        return record
    scores, positive = predictions.probabilities[:, 1], predictions.labels == 1
    points = roc_points(scores, positive)
    found: dict[str, float | None] = {"calibration_slope": calibration_slope(scores, positive)}
    if points is not None:
        false, true = points
        found["sensitivity_at_90"] = float(true[false <= 1 - OPERATING_POINT + 1e-12].max())
        found["specificity_at_90"] = float(1 - false[true >= OPERATING_POINT - 1e-12].min())
    return replace(record, final={**final, "test": {**final["test"], **found}})


def with_stored_predictions(
    records: Iterable[RunRecord], store: Store
) -> tuple[tuple[RunRecord, ...], dict[str, Predictions], list[str]]:
    """Return records with what is stored of their predictions, and these by the run's id.

    Predictions that are damaged are left out: a message for each file of a completed run says so.
    """
    read: dict[str, Predictions] = {}
    found, damaged = list(records), []
    for place, record in enumerate(found):
        path = store.predictions(record.config)
        if path.exists():
            try:
                read[record.id] = read_predictions(path, record)
                found[place] = with_predictions(record, read[record.id])
            except StoreError as error:
                damaged += [str(error)] if record.status == COMPLETED else []
    return tuple(found), read, damaged


def roc_points(scores: Floats, positive: NDArray[np.bool_]) -> tuple[Floats, Floats] | None:
    """Return false and true positive rates at every threshold, from (0, 0) to (1, 1).

    Images of one score are passed at once, so the area below the straight lines between the points
    counts ties half. None where there is no positive or no negative. Both are of shape (N,).
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(positive[order])[ends]
    true = np.concatenate([[0.0], hits / positives])
    false = np.concatenate([[0.0], (ends + 1 - hits) / negatives])
    return false, true


def calibration_slope(scores: Floats, positive: NDArray[np.bool_]) -> float | None:
    """Return the slope of a logistic regression of the class on the logit of its probability.

    1 is well calibrated; below 1 probabilities are too extreme (Cox 1958). By Newton's method with
    steps halved until the loss falls, which is convex. None where the scores, the probabilities of
    the class, separate the classes or are of one, without a finite slope. Both have shape (N,).
    """
    x = logit(np.clip(scores, 1e-7, 1 - 1e-7))
    one, other = x[positive], x[~positive]
    if not (len(one) and len(other)) or one.min() >= other.max() or other.min() >= one.max():
        return None
    spread = x.std()
    design = np.column_stack([np.ones_like(x), (x - x.mean()) / spread])
    signs = np.where(positive, 1.0, -1.0)

    def loss(weights: Floats) -> float:
        return float(np.logaddexp(0.0, -signs * (design @ weights)).sum())

    weights = np.zeros(2)
    for _ in range(MOST_STEPS):
        p = expit(design @ weights)
        hessian = design.T @ (design * (p * (1 - p))[:, None])
        try:
            step = np.linalg.solve(hessian, design.T @ (positive - p))
        except np.linalg.LinAlgError:  # they separate but for rounding
            return None
        before = loss(weights) * (1 + 1e-12)  # near the minimum losses differ by rounding alone
        while loss(weights + step) > before:
            step = step / 2
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            return float(weights[1] / spread)
    return None


def mean_roc(runs: Sequence[Predictions]) -> tuple[Floats, list[float]] | None:
    """Return the mean true positive rates at `RATES` (Fawcett 2006, section 9.1), and runs' areas.

    Of more than two classes, whose second is the positive one, curve and area are means over each
    class against the rest. None where no run has positives and negatives.
    """
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
            curves.append(np.mean([np.interp(RATES, *points) for points in known], axis=0))
            areas.append(float(np.mean([np.trapezoid(true, false) for false, true in known])))
    return (np.mean(curves, axis=0), areas) if areas else None


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The B bins of confidence that hold an image at least, ascending."""

    confidence: Floats  # mean over the images of each, (B,)
    accuracy: Floats  # share of them that is right, (B,)
    images: NDArray[np.int64]  # how many, over all runs, (B,)


def reliability(runs: Sequence[Predictions], bins: int = BINS) -> Reliability:
    """Sort the images of all runs into equal bins of confidence (Guo et al. 2017, section 2).

    Bin b holds confidences in ((b - 1) / bins, b / bins]. Pooling weighs each run's share of a bin
    by its images there. A ValueError is raised if there is no run.
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
