"""What tells the class without a look at the lesion: columns, files, the edges of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from sambench.data.audit.tree import cross_validated_accuracy, grow, in_words
from sambench.data.prepared import FIXED_COLUMNS, Prepared
from sambench.data.source import Fact
from sambench.data.splits import Population, deal

Facts = Mapping[str, NDArray[np.float64]]
DEPTH, FOLDS = 2, 5
WHITE, BLACK = 250, 5

FLAT = 8
"""Grey levels that a line of a flat border spans at most: JPEG's noise."""

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


class Edges(NamedTuple):
    """What is at the edges of one image."""

    flat: float  # width of the widest flat border as a share of the side
    margin: float  # width of the widest dark margin as a share of the side
    marks: float  # share of the image's pixels that are bright and in a dark margin: text, scales


def find_shortcuts(prepared: Prepared) -> tuple[Shortcut, ...]:
    """Return the columns that the source told and that have a few values, the strongest first."""
    labels = [prepared.classes[label] for label in prepared.labels]
    most = min(MOST_VALUES, len(prepared) // LEAST_IMAGES)
    found = [
        _shortcut(name, values, labels, prepared.classes)
        for name, values in prepared.columns.items()
        if name not in FIXED_COLUMNS and 2 <= len(set(values)) <= most
    ]
    return tuple(sorted(found, key=lambda one: -one.accuracy))


def _shortcut(
    column: str, values: Sequence[Fact], labels: Sequence[str], classes: Sequence[str]
) -> Shortcut:
    counted = Counter(zip(values, labels, strict=True))
    ordered = sorted(set(values), key=lambda value: (value is None, value))
    table = np.array([[counted[value, label] for label in classes] for value in ordered])
    present = table[:, table.sum(axis=0) > 0]
    texts = ["" if value is None else str(value) for value in ordered]
    rows = [dict(zip(classes, row, strict=True)) for row in table.tolist()]
    return Shortcut(
        column=column,
        counts=dict(zip(texts, rows, strict=True)),
        accuracy=float(table.max(axis=1).sum() / len(labels)),
        p=float(chi2_contingency(present).pvalue) if min(present.shape) > 1 else 1.0,
    )


def file_facts(prepared: Prepared, images: Iterable[NDArray[np.uint8]]) -> Facts:
    """Return each fact of all images, shape (N,), by name; facts that never vary are left out.

    Size and mode are the file's; brightness, contrast and edges are measured on the prepared
    `images`, which every file has been resized to.
    """
    bytes_, width, height = (
        np.array([float(value or 0) for value in prepared.column(f"file_{name}")])
        for name in ("bytes", "width", "height")
    )
    _, mode = np.unique(list(map(str, prepared.column("file_mode"))), return_inverse=True)
    measured = np.array([_measure(image) for image in images], dtype=np.float64).T
    names = ("brightness", "contrast", "black", "white", "border", "margin", "marks")
    facts = {
        "bytes": bytes_,
        "width": width,
        "height": height,
        "aspect": width / height,
        "mode": mode.astype(np.float64),
        **dict(zip(names, measured, strict=True)),
    }
    return {name: values for name, values in facts.items() if np.ptp(values) > 0}


def _measure(image: NDArray[np.uint8]) -> tuple[float, ...]:
    # the mean of the channels, rounded down: exact for grey, and integers are fast
    grey = (image.sum(axis=2, dtype=np.uint16) // image.shape[2]).astype(np.uint8)
    share = np.bincount(grey.reshape(-1), minlength=256) / grey.size
    mean = share @ np.arange(256)
    contrast = np.sqrt(share @ (np.arange(256) - mean) ** 2)
    return (mean, contrast, share[: BLACK + 1].sum(), share[WHITE:].sum(), *edges(grey))


def edges(grey: NDArray[np.uint8]) -> Edges:
    """Measure what is burned into the edges of a grey image, shape (H, W)."""
    flat, margin = 0.0, 0.0
    marked = np.zeros(grey.shape, dtype=bool)
    for side in range(4):
        view, mark = np.rot90(grey, side), np.rot90(marked, side)  # views: the side is on top
        span = view.max(axis=1).astype(int) - view.min(axis=1)
        flat = max(flat, _run(span <= FLAT) / len(view))
        dark = _run((view <= DARK).mean(axis=1) >= DARK_SHARE)
        margin = max(margin, dark / len(view))
        mark[:dark] |= view[:dark] >= BRIGHT
    return Edges(flat, margin, float(marked.mean()))


def _run(lines: NDArray[np.bool_]) -> int:
    """Return how many lines from the first on are true."""
    return len(lines) if lines.all() else int(lines.argmin())


def find_leaks(prepared: Prepared, facts: Facts) -> tuple[Leak, ...]:
    """Return what trees tell from all facts together, and from each alone, the best first."""
    if not facts:
        return ()
    folds = deal(Population.of(prepared), FOLDS, seed=0)

    def leak(*names: str) -> Leak:
        features = np.stack([facts[name] for name in names], axis=1)
        return Leak(
            facts=names,
            accuracy=cross_validated_accuracy(features, prepared.labels, folds, DEPTH),
            rule=in_words(grow(features, prepared.labels, DEPTH), names, prepared.classes),
        )

    return (leak(*facts), *sorted(map(leak, facts), key=lambda one: -one.accuracy))
