from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from sambench.training.evaluate import (
    CALIBRATION_BINS,
    auroc,
    classification_metrics,
    expected_calibration_error,
)

TOLERANCE = 1e-12
Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def random_case(seed: int, classes: int, number: int = 300) -> tuple[Array, Labels]:
    """Return probabilities with many ties, and labels that follow them loosely."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(1, 8, (number, classes)).astype(float)
    labels = np.array([generator.choice(classes, p=row / row.sum()) for row in scores])
    labels[:classes] = np.arange(classes)
    return scores / scores.sum(axis=1, keepdims=True), labels.astype(np.int64)


def cases(classes: int) -> list[Any]:
    return [
        pytest.param(*random_case(seed, classes), id=f"{classes} classes, seed {seed}")
        for seed in range(6)
    ]


def near(expected: float) -> object:
    return pytest.approx(expected, abs=TOLERANCE, rel=TOLERANCE)


def calibration_error(probabilities: Array, labels: Labels) -> float:
    """Bin by bin, as Guo et al. (2017) write it: bins (k/15, (k+1)/15]."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    total = 0.0
    edges = [index / CALIBRATION_BINS for index in range(CALIBRATION_BINS + 1)]
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = abs(correct[inside].mean() - confidence[inside].mean())
            total += inside.mean() * gap
    return total


@pytest.mark.parametrize(("probabilities", "labels"), [*cases(2), *cases(4)])
def test_metrics_of_any_number_of_classes(probabilities: Array, labels: Labels) -> None:
    found = classification_metrics(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    classes = probabilities.shape[1]
    assert found["n"] == len(labels)
    assert found["loss"] == near(sklearn_metrics.log_loss(labels, probabilities))
    assert found["accuracy"] == near(sklearn_metrics.accuracy_score(labels, predicted))
    assert found["balanced_accuracy"] == near(
        sklearn_metrics.balanced_accuracy_score(labels, predicted)
    )
    assert found["majority_accuracy"] == near(np.bincount(labels).max() / len(labels))
    brier = sum(
        sklearn_metrics.brier_score_loss(labels == k, probabilities[:, k]) for k in range(classes)
    )
    assert found["brier"] == near(brier)
    assert found["collapsed"] is False


@pytest.mark.parametrize(("probabilities", "labels"), cases(2))
def test_metrics_of_two_classes(probabilities: Array, labels: Labels) -> None:
    found = classification_metrics(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    assert found["auroc"] == near(sklearn_metrics.roc_auc_score(labels, probabilities[:, 1]))
    assert found["sensitivity"] == near(sklearn_metrics.recall_score(labels, predicted))
    assert found["specificity"] == near(
        sklearn_metrics.recall_score(labels, predicted, pos_label=0)
    )
    assert found["f1"] == near(sklearn_metrics.f1_score(labels, predicted))


@pytest.mark.parametrize(("probabilities", "labels"), cases(4))
def test_metrics_of_four_classes(probabilities: Array, labels: Labels) -> None:
    found = classification_metrics(probabilities, labels)
    predicted = probabilities.argmax(axis=1)
    area = sklearn_metrics.roc_auc_score(labels, probabilities, multi_class="ovr")
    assert found["auroc"] == near(area)
    assert found["sensitivity"] == near(
        sklearn_metrics.recall_score(labels, predicted, average="macro")
    )
    specificities = [
        sklearn_metrics.recall_score(labels == k, predicted == k, pos_label=False) for k in range(4)
    ]
    assert found["specificity"] == near(float(np.mean(specificities)))
    assert found["f1"] == near(sklearn_metrics.f1_score(labels, predicted, average="macro"))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_calibration_against_its_definition(classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.full(classes, 0.5), 500)
    labels = generator.integers(0, classes, 500)
    found = expected_calibration_error(probabilities, labels)
    assert found == near(calibration_error(probabilities, labels))


def test_calibration_of_a_sure_and_right_classifier() -> None:
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0


def test_calibration_of_a_sure_and_wrong_classifier() -> None:
    assert expected_calibration_error(np.eye(2), np.array([1, 0])) == 1


def test_the_last_bin_of_confidence_includes_one() -> None:
    probabilities = np.array([[0.95, 0.05], [1.0, 0.0]])
    found = expected_calibration_error(probabilities, np.array([0, 1]))
    assert found == near((0.95 + 1.0 - 1) / 2)


def test_ties_count_half() -> None:
    probabilities = np.array([[0.5, 0.5], [0.5, 0.5], [0.9, 0.1]])
    assert auroc(probabilities, np.array([1, 0, 0])) == 0.75


def test_one_class_only() -> None:
    probabilities = np.array([[0.2, 0.8], [0.6, 0.4]])
    found = classification_metrics(probabilities, np.array([1, 1]))
    assert (found["auroc"], found["specificity"]) == (None, None)
    assert (found["sensitivity"], found["balanced_accuracy"]) == (0.5, 0.5)
    assert found["majority_accuracy"] == 1
    assert found["collapsed"] is False


def test_no_image_of_the_positive_class() -> None:
    probabilities = np.array([[0.8, 0.2], [0.6, 0.4]])
    found = classification_metrics(probabilities, np.array([0, 0]))
    assert (found["sensitivity"], found["f1"], found["auroc"]) == (None, None, None)
    assert found["specificity"] == 1


def test_a_class_that_is_absent_is_left_out_of_the_means() -> None:
    probabilities, labels = random_case(0, 4)
    kept = labels != 3
    probabilities, labels = probabilities[kept], labels[kept]
    predicted = probabilities.argmax(axis=1)
    found = classification_metrics(probabilities, labels)
    areas = [sklearn_metrics.roc_auc_score(labels == k, probabilities[:, k]) for k in range(3)]
    assert found["auroc"] == near(float(np.mean(areas)))
    recall = sklearn_metrics.recall_score(labels, predicted, average="macro", labels=[0, 1, 2])
    assert found["sensitivity"] == near(recall)
    assert found["balanced_accuracy"] == near(recall)


def test_what_is_certain_and_right_has_a_loss_of_zero_without_a_sign() -> None:
    found = classification_metrics(np.eye(2)[[0, 1, 1]], np.array([0, 1, 1]))
    assert str(found["loss"]) == "0.0"


def test_a_certain_mistake_has_a_finite_loss() -> None:
    found = classification_metrics(np.array([[1.0, 0.0]]), np.array([1]))
    assert found["loss"] == near(-np.log(np.finfo(float).tiny))


@pytest.mark.parametrize(
    ("predicted", "labels", "expected"),
    [
        ([0, 0, 0], [0, 1, 0], True),
        ([1, 1, 1], [0, 1, 0], True),
        ([1, 1, 0], [0, 1, 0], False),
        ([0, 0, 0], [0, 0, 0], False),
        ([2, 2, 2], [0, 1, 0], True),
    ],
)
def test_collapse(predicted: list[int], labels: list[int], expected: bool) -> None:
    found = classification_metrics(np.eye(3)[predicted], np.array(labels))
    assert found["collapsed"] is expected


def test_values_are_plain() -> None:
    found = classification_metrics(*random_case(0, 2))
    kinds = {name: type(value) for name, value in found.items()}
    assert kinds == {
        "n": int,
        "loss": float,
        "accuracy": float,
        "balanced_accuracy": float,
        "auroc": float,
        "sensitivity": float,
        "specificity": float,
        "f1": float,
        "ece": float,
        "brier": float,
        "majority_accuracy": float,
        "collapsed": bool,
    }
