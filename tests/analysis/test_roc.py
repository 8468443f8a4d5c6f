from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from sambench.analysis.curves import RATES, mean_roc, roc_points
from sambench.analysis.predictions import Predictions


def predictions(seed: int, classes: int = 2, number: int = 90) -> Predictions:
    source = np.random.default_rng(seed)
    labels = np.arange(number) % classes
    raw = source.integers(1, 8, size=(number, classes)) + 4.0 * np.eye(classes)[labels]
    return Predictions(
        ids=np.array([str(k) for k in range(number)]),
        probabilities=raw / raw.sum(axis=1, keepdims=True),  # whole numbers: there are ties
        labels=labels.astype(np.int64),
    )


def interpolated(run: Predictions, k: int, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    scores, positive = run.probabilities[:, k], run.labels == k
    false, true, _ = roc_curve(positive, scores, drop_intermediate=False)
    return np.interp(grid, false, true)


def test_points_are_scikit_learns() -> None:
    run = predictions(0)
    scores, positive = run.probabilities[:, 1], run.labels == 1
    points = roc_points(scores, positive)
    assert points is not None
    false, true, _ = roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(points, (false, true), atol=1e-15)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_mean_curve_and_areas(classes: int) -> None:
    runs = [predictions(seed, classes) for seed in range(4)]
    found = mean_roc(runs)
    assert found is not None
    mean, own = found
    positives = [1] if classes == 2 else list(range(classes))
    curves = [np.mean([interpolated(run, k, RATES) for k in positives], axis=0) for run in runs]
    np.testing.assert_allclose(mean, np.mean(curves, axis=0), atol=1e-12)
    areas = [
        np.mean([roc_auc_score(run.labels == k, run.probabilities[:, k]) for k in positives])
        for run in runs
    ]
    np.testing.assert_allclose(own, areas, atol=1e-12)


def test_where_a_curve_is_upright_its_upper_end_counts() -> None:
    run = Predictions(
        ids=np.array(["a", "b", "c", "d"]),
        probabilities=np.array([[0.1, 0.9], [0.2, 0.8], [0.7, 0.3], [0.8, 0.2]]),
        labels=np.array([1, 1, 0, 0]),
    )
    found = mean_roc([run])
    assert found is not None
    assert (found[0].tolist(), found[1]) == ([1.0] * 201, [1.0])


def test_one_class_has_no_curve() -> None:
    run = predictions(0)
    one = Predictions(ids=run.ids, probabilities=run.probabilities, labels=run.labels * 0)
    assert mean_roc([one]) is None
    assert mean_roc([]) is None
    found = mean_roc([one, run])
    assert found is not None
    assert len(found[1]) == 1
