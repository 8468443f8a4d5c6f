from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix as reference_matrix

from sambench.analysis.curves import BINS, calibration_slope, confusion_matrix, reliability
from sambench.analysis.inference import Floats
from sambench.analysis.predictions import Predictions
from sambench.training.evaluate import CALIBRATION_BINS, expected_calibration_error


def predictions(seed: int, classes: int = 3, number: int = 200) -> Predictions:
    source = np.random.default_rng(seed)
    probabilities = source.dirichlet(np.ones(classes), size=number)
    return Predictions(
        ids=np.array([str(k) for k in range(number)]),
        probabilities=probabilities,
        labels=source.integers(0, classes, number),
    )


def test_bins_are_scikit_learns() -> None:
    runs = [predictions(seed) for seed in range(3)]
    found = reliability(runs, bins=10)
    correct = np.concatenate([run.correct for run in runs])
    confidence = np.concatenate([run.probabilities.max(axis=1) for run in runs])
    accuracy, mean = calibration_curve(correct, confidence, n_bins=10)
    np.testing.assert_allclose(found.accuracy, accuracy, atol=1e-15)
    np.testing.assert_allclose(found.confidence, mean, atol=1e-12)
    assert found.images.sum() == 600


def test_its_gaps_are_the_expected_calibration_error_of_the_record() -> None:
    run = predictions(5)
    found = reliability([run])
    assert BINS == CALIBRATION_BINS  # fifteen, everywhere
    gaps = np.abs(found.confidence - found.accuracy) @ found.images / found.images.sum()
    assert gaps == pytest.approx(
        expected_calibration_error(run.probabilities, run.labels), abs=1e-12
    )


def test_the_matrix_is_scikit_learns() -> None:
    run = predictions(2)
    expected = reference_matrix(run.labels, run.probabilities.argmax(axis=1), labels=[0, 1, 2])
    np.testing.assert_array_equal(confusion_matrix(run), expected)


def test_a_class_that_nothing_is_taken_for_has_its_column() -> None:
    run = Predictions(
        ids=np.array(["a", "b"]),
        probabilities=np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]]),
        labels=np.array([0, 1]),
    )
    assert confusion_matrix(run).tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("slope", [0.1, 0.186, 0.25, 0.5, 0.8, 1.0, 1.5, 3.0])
def test_the_slope_of_networks_however_sure_of_themselves(slope: float) -> None:
    """By another optimizer: Newton's undamped steps from 1 went to and fro for slopes below 0.4."""
    draw = np.random.default_rng(round(1000 * slope))
    for images in (100, 2000):
        logits = draw.normal(0.5, 2 / slope, images)
        positive = draw.random(images) < expit(slope * logits)
        found = calibration_slope(expit(logits), positive)
        x, signs = np.clip(logits, -logit(1 - 1e-7), logit(1 - 1e-7)), np.where(positive, 1, -1)

        def loss(weights: Floats, x: Floats = x, signs: Floats = signs) -> tuple[float, Floats]:
            margins = signs * (weights[0] + weights[1] * x)
            pull = signs * expit(-margins)
            return np.logaddexp(0, -margins).sum(), -np.array([pull.sum(), (pull * x).sum()])

        other = minimize(loss, np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-8})
        assert found == pytest.approx(other.x[1], abs=1e-6)


def test_a_slope_needs_classes_that_overlap() -> None:
    positive = np.array([False, False, True, True])
    apart, touching, backwards = [0.1, 0.2, 0.6, 0.7], [0.1, 0.6, 0.6, 0.7], [0.7, 0.6, 0.2, 0.1]
    for scores in (apart, touching, backwards, [0.5] * 4):
        assert calibration_slope(np.array(scores), positive) is None
    overlapping = np.array([0.1, 0.6, 0.55, 0.7])
    assert calibration_slope(overlapping, positive) is not None
    assert calibration_slope(overlapping, positive | True) is None


def test_scores_that_separate_but_for_rounding_have_no_slope() -> None:
    """Newton's equations are singular on the way to an infinite slope."""
    near = 0.5 + 1e-12
    scores = np.array([near, near, near, 1e-8, 0.5, 1e-8, 0.5, near])
    positive = np.array([0, 1, 1, 0, 1, 0, 0, 1]) > 0
    assert calibration_slope(scores, positive) is None
