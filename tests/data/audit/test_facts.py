from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from sambench.data.audit.facts import edges, grow, leak_of, purest_halves

NAMES, CLASSES = "abcd", "0123"


def speckle(side: int = 100) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(40, 200, (side, side), dtype=np.uint8)


def test_an_image_up_to_its_edges() -> None:
    found = edges(speckle())
    assert found == {"border": 0, "margin": 0, "marks": 0}


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("level", [0, 120, 255])
def test_a_flat_border_on_any_side(turn: int, level: int) -> None:
    image = speckle()
    image[:7] = level
    image[:7, ::2] += np.uint8(0 if level == 255 else 5)  # noise of compression
    found = edges(np.ascontiguousarray(np.rot90(image, turn)))
    assert found["border"] == 0.07
    assert found["margin"] == (0.07 if level == 0 else 0)


@pytest.mark.parametrize("turn", range(4))
def test_text_in_a_dark_margin(turn: int) -> None:
    image = speckle()
    image[:20] = 3
    image[5:10, 40:50] = 255
    found = edges(np.ascontiguousarray(np.rot90(image, turn)))
    assert found == {"border": 0.05, "margin": 0.2, "marks": 50 / 10_000}


def test_a_mark_in_a_corner_counts_once() -> None:
    image = speckle()
    image[:20] = 0
    image[:, :20] = 0
    image[2:4, 2:4] = 255
    assert edges(image)["marks"] == 4 / 10_000


def test_marks_in_the_picture_itself_are_not_counted() -> None:
    image = speckle()
    image[50:55, 50:55] = 255
    assert edges(image)["marks"] == 0


def test_a_black_image_is_all_border() -> None:
    found = edges(np.zeros((30, 40), np.uint8))
    assert found == {"border": 1, "margin": 1, "marks": 0}


def problem(seed: int, classes: int = 2, number: int = 150):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(number, 4))
    score = features[:, 1] + 0.7 * np.abs(features[:, 3]) + 0.3 * generator.normal(size=number)
    labels = np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))
    return features, labels


@pytest.mark.parametrize("depth", [1, 2])  # deeper, leaves are small and features tie
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_tree_of_scikit_learn(seed: int, classes: int, depth: int) -> None:
    features, labels = problem(seed, classes)
    others, _ = problem(seed + 100, classes)
    expected = DecisionTreeClassifier(max_depth=depth, random_state=0).fit(features, labels)
    for asked in (features, others):
        told, _ = grow(features, labels, asked, NAMES, CLASSES, depth)
        assert np.array_equal(told, expected.predict(asked))


@pytest.mark.parametrize("seed", range(5))
def test_the_first_question_is_the_purest_of_all(seed: int) -> None:
    """Against trying every threshold of every feature, the impurity written out."""
    generator = np.random.default_rng(seed)
    features = generator.integers(0, 6, (40, 3)).astype(float)
    labels = generator.integers(0, 3, 40)

    def impurity(feature: int, threshold: float) -> float:
        low = features[:, feature] <= threshold
        total = 0.0
        for part in (labels[low], labels[~low]):
            shares = np.bincount(part) / len(part)
            total += len(part) * (1 - (shares**2).sum())
        return total

    tried = itertools.product(range(3), np.arange(5) + 0.5)
    best = min(impurity(f, t) for f, t in tried if 0 < (features[:, f] <= t).sum() < 40)
    assert impurity(*purest_halves(features, labels)) == pytest.approx(best, abs=1e-9)


def test_what_does_not_vary_asks_nothing() -> None:
    for features, labels in (
        (np.ones((5, 2)), np.array([0, 1, 1, 0, 1])),
        (np.arange(3.0)[:, None], np.array([1, 1, 1])),
    ):
        told, rule = grow(features, labels, features, NAMES, CLASSES)
        assert (told.tolist(), rule) == ([1] * len(features), "1")


def test_cross_validation_counts_what_was_not_trained_on() -> None:
    features, labels = problem(0)
    folds = np.arange(len(labels)) % 5
    right = 0
    for fold in range(5):
        model = DecisionTreeClassifier(max_depth=2, random_state=0)
        model.fit(features[folds != fold], labels[folds != fold])
        right += (model.predict(features[folds == fold]) == labels[folds == fold]).sum()
    found = leak_of(dict(zip(NAMES, features.T, strict=True)), labels, folds, CLASSES)
    assert (found.facts, found.accuracy) == (tuple(NAMES), right / len(labels))


def test_a_fact_that_tells_nothing_gains_nothing() -> None:
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(2000, 3)), generator.random(2000) < 0.3
    facts = dict(zip("abc", features.T, strict=True))
    found = leak_of(facts, labels.astype(np.int64), np.arange(2000) % 5, CLASSES)
    assert found.accuracy == pytest.approx(0.7, abs=0.03)


def test_a_tree_in_words() -> None:
    features = np.array([[1230, 0.2], [1230, 0.3], [1239, 0.2], [1239, 0.3]])
    names, classes = ["bytes", "white"], ["benign", "malignant"]

    def said(*labels: int) -> str:
        order = np.repeat(np.arange(4), [1, 1, 2, 2])
        return grow(features[order], np.array(labels)[order], features, names, classes)[1]

    inner = "(white <= 0.25: malignant, else benign)"
    assert said(1, 0, 1, 1) == f"bytes <= 1234: {inner}, else malignant"
    assert said(0, 0, 1, 1) == "bytes <= 1234: benign, else malignant"
    same = grow(np.arange(5.0)[:, None], np.array([0, 0, 1, 0, 0]), features, names, classes, 1)
    assert same[1] == "benign"
