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
    """A question.

    Attributes:
        feature: Column of the features.
        threshold: At most this goes to `below`.
        below: The rest of the tree for small values.
        above: The rest of the tree for large values.
    """

    feature: int
    threshold: float
    below: Tree
    above: Tree


Tree = Leaf | Fork


def grow(features: Features, labels: Labels, depth: int) -> Tree:
    """Grow a tree.

    Args:
        features: Shape (N, F), finite.
        labels: Shape (N,), from 0.
        depth: Most questions in a row.
    """
    counts = np.bincount(labels)
    leaf = Leaf(label=int(counts.argmax()))
    found = _best(features, labels) if depth and (counts > 0).sum() > 1 else None
    if found is None:
        return leaf
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
    labels = np.empty(len(features), dtype=np.int64)
    labels[low] = classify(tree.below, features[low])
    labels[~low] = classify(tree.above, features[~low])
    return labels


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
    below, above = (in_words(part, features, classes) for part in (tree.below, tree.above))
    if below == above:
        return below
    below = f"({below})" if "," in below else below
    above = f"({above})" if "," in above else above
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
        sizes = left.sum(axis=1), right.sum(axis=1)
        # the Gini impurity of both halves together, up to a constant and a factor
        impurity = -(left**2).sum(axis=1) / sizes[0] - (right**2).sum(axis=1) / sizes[1]
        place = int(impurity.argmin())
        if impurity[place] < best - 1e-12:
            best = float(impurity[place])
            found = feature, float(ordered[cuts[place]] + ordered[cuts[place] + 1]) / 2
    return found
