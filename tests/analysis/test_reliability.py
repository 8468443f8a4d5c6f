from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix as reference_matrix

from sambench.analysis.curves import BINS, confusion_matrix, reliability
from sambench.analysis.predictions import Predictions
from sambench.training.metrics import CALIBRATION_BINS, expected_calibration_error


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
