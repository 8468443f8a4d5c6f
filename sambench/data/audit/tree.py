"""A small decision tree: what a few thresholds on a few numbers already tell of the class.

CART with the Gini impurity (Breiman, Friedman, Olshen, Stone, Classification and Regression Trees,
1984): of all thresholds of all features the one that leaves the purest halves, again in each half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """The class of all that gets here."""

    label: int


@dataclass(frozen=True, kw_only=True)
class Fork:
    """A question: at most `threshold` in column `feature` goes to `below`, the rest to `above`."""

    feature: int
    threshold: float
    below: Tree
    above: Tree


Tree = Leaf | Fork


def grow(features: Features, labels: Labels, depth: int) -> Tree:
    """Grow a tree of at most `depth` questions in a row, of features (N, F) and labels from 0."""
    counts = np.bincount(labels)
    found = _best(features, labels) if depth and (counts > 0).sum() > 1 else None
    if found is None:
        return Leaf(label=int(counts.argmax()))
    feature, threshold = found
    low = features[:, feature] <= threshold
    return Fork(
        feature=feature,
        threshold=threshold,
        below=grow(features[low], labels[low], depth - 1),
        above=grow(features[~low], labels[~low], depth - 1),
    )


def classify(tree: Tree, features: Features) -> Labels:
    """Return the class that a tree gives to each row, shape (N,)."""
    if isinstance(tree, Leaf):
        return np.full(len(features), tree.label, dtype=np.int64)
    low = features[:, tree.feature] <= tree.threshold
    return np.where(low, classify(tree.below, features), classify(tree.above, features))


def cross_validated_accuracy(
    features: Features, labels: Labels, folds: NDArray[np.int64], depth: int
) -> float:
    """Return the share of rows that trees grown on the other folds classify correctly."""
    right = 0
    for fold in np.unique(folds):
        held = folds == fold
        tree = grow(features[~held], labels[~held], depth)
        right += int((classify(tree, features[held]) == labels[held]).sum())
    return right / len(labels)


def in_words(tree: Tree, features: Sequence[str], classes: Sequence[str]) -> str:
    """Return a tree as one sentence.

    >>> in_words(Fork(feature=0, threshold=3, below=Leaf(label=0), above=Leaf(label=1)),
    ...          ["width"], ["benign", "malignant"])
    'width <= 3: benign, else malignant'
    """
    if isinstance(tree, Leaf):
        return classes[tree.label]
    parts = [in_words(part, features, classes) for part in (tree.below, tree.above)]
    if parts[0] == parts[1]:
        return parts[0]
    below, above = (f"({part})" if "," in part else part for part in parts)
    return f"{features[tree.feature]} <= {tree.threshold:.4g}: {below}, else {above}"


def _best(features: Features, labels: Labels) -> tuple[int, float] | None:
    """Return feature and threshold of the purest halves; None if no feature varies."""
    best, found = np.inf, None
    for feature, values in enumerate(features.T):
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        cuts = np.flatnonzero(np.diff(ordered) > 0)
        if not len(cuts):
            continue
        below = np.cumsum(np.eye(labels.max() + 1)[labels[order]], axis=0)
        left, right = below[cuts], below[-1] - below[cuts]
        # the Gini impurity of both halves together, up to a constant and a factor
        low, high = ((half**2).sum(axis=1) / half.sum(axis=1) for half in (left, right))
        impurity = -low - high
        place = int(impurity.argmin())
        if impurity[place] < best - 1e-12:
            best = float(impurity[place])
            found = feature, float(ordered[cuts[place]] + ordered[cuts[place] + 1]) / 2
    return found
