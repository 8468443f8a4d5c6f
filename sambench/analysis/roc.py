"""Receiver operating characteristic: of one run, and the mean over runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sambench.analysis.predictions import Predictions
from sambench.analysis.statistics import Summary

POINTS = 201
"""False positive rates at which curves are averaged."""

Floats = NDArray[np.float64]


def roc_points(scores: Floats, positive: NDArray[np.bool_]) -> tuple[Floats, Floats] | None:
    """Return false and true positive rates at every threshold, from (0, 0) to (1, 1).

    Images of one score are passed at once, so the area below the straight lines between the points
    counts ties half. None where there is no positive or no negative.

    Args:
        scores: Of each image, shape (N,).
        positive: Whether it is of the class, shape (N,).
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


@dataclass(frozen=True, kw_only=True)
class MeanRoc:
    """The mean curve of some runs.

    Attributes:
        false_positive_rates: Shape (201,).
        mean: True positive rates at these, shape (201,).
        sd: Their standard deviation over runs; zero for one run.
        area: The runs' own areas, not that of the mean curve.
    """

    false_positive_rates: Floats
    mean: Floats
    sd: Floats
    area: Summary


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
    area = Summary.of(areas)
    if area is None:
        return None
    curves_of_all = np.stack(curves)
    sd = curves_of_all.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros(POINTS)
    return MeanRoc(false_positive_rates=grid, mean=curves_of_all.mean(axis=0), sd=sd, area=area)


def _area(false: Floats, true: Floats) -> float:
    return float(np.diff(false) @ (true[1:] + true[:-1]) / 2)
