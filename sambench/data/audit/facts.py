"""What tells the class without a look at the lesion: columns, files, the edges of images.

How much facts of files tell is measured by a small decision tree: CART with the Gini impurity
(Breiman, Friedman, Olshen, Stone, Classification and Regression Trees, 1984): of all thresholds of
all features the one that leaves the purest halves, again in each half.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from sambench.data.prepared import FIXED_COLUMNS, Prepared
from sambench.data.splits import deal

Facts = Mapping[str, NDArray[np.float64]]
Features = NDArray[np.float64]
Labels = NDArray[np.int64]
DEPTH, FOLDS = 2, 5
WHITE, BLACK = 250, 5

FLAT = 8  # grey levels that a line of a flat border spans at most: JPEG's noise
DARK, DARK_SHARE, BRIGHT = 16, 0.8, 150
"""A line of a margin has this share of pixels at most so dark; a mark is at least so bright."""

MOST_VALUES, LEAST_IMAGES = 30, 5
"""Columns of more values, or fewer images to a value (patients), fit the classes by chance."""


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """What a column of the samples alone tells of the class: the centre, the device, the fold."""

    column: str  # its name
    counts: Mapping[str, Mapping[str, int]]  # images of each class by value; "" where empty
    accuracy: float  # of giving each image the most frequent class of its value
    p: float  # of Pearson's chi-squared test that class and column are independent


@dataclass(frozen=True, kw_only=True)
class Leak:
    """How well a tree of depth 2 tells the class from facts of the file."""

    facts: tuple[str, ...]  # what the tree was given
    accuracy: float  # cross-validated, copies kept in one fold
    rule: str  # the tree grown on all images, in words


def find_shortcuts(prepared: Prepared) -> tuple[Shortcut, ...]:
    """Return the columns that the source told and that have a few values, the strongest first."""
    most = min(MOST_VALUES, len(prepared) // LEAST_IMAGES)
    found = []
    for name in [name for name in prepared.columns if name not in FIXED_COLUMNS]:
        counts = prepared.count_by(name)
        if not 2 <= len(counts) <= most:
            continue
        table = np.array([[*row.values()] for row in counts.values()])
        present = table[:, table.any(axis=0)]
        shortcut = Shortcut(
            column=name,
            counts={"" if value is None else str(value): row for value, row in counts.items()},
            accuracy=float(table.max(axis=1).sum() / len(prepared)),
            p=float(chi2_contingency(present).pvalue),  # 1 if there is one class alone
        )
        found.append(shortcut)
    return tuple(sorted(found, key=lambda one: -one.accuracy))


def file_facts(prepared: Prepared, images: Iterable[NDArray[np.uint8]]) -> Facts:
    """Return each fact of all images, shape (N,), by name; facts that never vary are left out.

    Size and mode are the file's; brightness, contrast and edges are measured on the prepared
    `images`, which every file has been resized to.
    """
    facts = {
        name: np.array([float(value or 0) for value in prepared.column(f"file_{name}")])
        for name in ("bytes", "width", "height")
    }
    facts["aspect"] = facts["width"] / facts["height"]
    _, mode = np.unique(list(map(str, prepared.column("file_mode"))), return_inverse=True)
    facts["mode"] = mode.astype(np.float64)
    measured = [_measure(image) for image in images]
    facts |= {name: np.array([one[name] for one in measured]) for name in measured[0]}
    return {name: values for name, values in facts.items() if np.ptp(values) > 0}


def _measure(image: NDArray[np.uint8]) -> dict[str, float]:
    # the mean of the channels, rounded down: exact for grey, and integers are fast
    grey = (image.sum(axis=2, dtype=np.uint16) // image.shape[2]).astype(np.uint8)
    share = np.bincount(grey.reshape(-1), minlength=256) / grey.size
    mean = share @ np.arange(256)
    contrast = np.sqrt(share @ (np.arange(256) - mean) ** 2)
    black, white = share[: BLACK + 1].sum(), share[WHITE:].sum()
    of_all = {"brightness": mean, "contrast": contrast, "black": black, "white": white}
    return {**of_all, **edges(grey)}


def edges(grey: NDArray[np.uint8]) -> dict[str, float]:
    """Measure what is burned into the edges of a grey image, shape (H, W).

    Return the widths of the widest flat border and of the widest dark margin as shares of the side,
    and the share of pixels that are bright marks in a dark margin: text, scales.
    """
    flat, margin = 0.0, 0.0
    marked = np.zeros(grey.shape, dtype=bool)
    for side in range(4):
        view, mark = np.rot90(grey, side), np.rot90(marked, side)  # views: the side is on top
        span = view.max(axis=1).astype(int) - view.min(axis=1)
        flat = max(flat, _run(span <= FLAT) / len(view))
        dark = _run((view <= DARK).mean(axis=1) >= DARK_SHARE)
        margin = max(margin, dark / len(view))
        mark[:dark] |= view[:dark] >= BRIGHT
    return {"border": flat, "margin": margin, "marks": float(marked.mean())}


def _run(lines: NDArray[np.bool_]) -> int:
    """Return how many lines from the first on are true."""
    return len(lines) if lines.all() else int(lines.argmin())


def find_leaks(prepared: Prepared, facts: Facts) -> tuple[Leak, ...]:
    """Return what trees tell from all facts together, and from each alone, the best first."""
    if not facts:
        return ()
    labels, classes = prepared.labels, prepared.classes
    folds = deal(labels, prepared.groups, [1 / FOLDS] * FOLDS, seed=0)
    alone = (leak_of({n: values}, labels, folds, classes) for n, values in facts.items())
    return (leak_of(facts, labels, folds, classes), *sorted(alone, key=lambda one: -one.accuracy))


def leak_of(facts: Facts, labels: Labels, folds: Labels, classes: Sequence[str]) -> Leak:
    """Return the share of images that trees grown on the other folds (N,) classify correctly."""
    names, features = tuple(facts), np.stack([*facts.values()], axis=1)
    right = 0
    for fold in np.unique(folds):
        held = folds == fold
        told, _ = grow(features[~held], labels[~held], features[held], names, classes)
        right += int((told == labels[held]).sum())
    _, rule = grow(features, labels, features, names, classes)
    return Leak(facts=names, accuracy=right / len(labels), rule=rule)


def grow(
    features: Features,
    labels: Labels,
    asked: Features,
    names: Sequence[str],
    classes: Sequence[str],
    depth: int = DEPTH,
) -> tuple[Labels, str]:
    """Grow a tree of at most `depth` questions in a row, of features (N, F) and labels (N,) from 0.

    Return the class that it gives to each row of `asked` (M, F), and the tree as one sentence with
    the names of the features and classes: "width <= 3: benign, else malignant".
    """
    counts = np.bincount(labels)
    found = purest_halves(features, labels) if depth and (counts > 0).sum() > 1 else None
    if found is None:
        commonest = int(counts.argmax())
        return np.full(len(asked), commonest), classes[commonest]
    feature, threshold = found
    low = features[:, feature] <= threshold
    (below, if_low), (above, if_high) = (
        grow(features[half], labels[half], asked, names, classes, depth - 1) for half in (low, ~low)
    )
    told = np.where(asked[:, feature] <= threshold, below, above)
    if if_low == if_high:
        return told, if_low
    if_low, if_high = (f"({part})" if "," in part else part for part in (if_low, if_high))
    return told, f"{names[feature]} <= {threshold:.4g}: {if_low}, else {if_high}"


def purest_halves(features: Features, labels: Labels) -> tuple[int, float] | None:
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
