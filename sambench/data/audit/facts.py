"""What a file tells of its image without anybody looking at the lesion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sambench.data.audit.borders import edges
from sambench.data.audit.tree import cross_validated_accuracy, grow, in_words
from sambench.data.prepared import Prepared
from sambench.data.splits import Population, deal

DEPTH = 2
FOLDS = 5
WHITE, BLACK = 250, 5


@dataclass(frozen=True, kw_only=True)
class Leak:
    """How well a tree of depth 2 tells the class from facts of the file.

    Attributes:
        facts: What the tree was given.
        accuracy: Cross-validated, copies kept in one fold.
        rule: The tree grown on all images, in words.
    """

    facts: tuple[str, ...]
    accuracy: float
    rule: str


def file_facts(
    prepared: Prepared, images: Iterable[NDArray[np.uint8]]
) -> dict[str, NDArray[np.float64]]:
    """Return each fact of all images, shape (N,), by name; facts that never vary are left out.

    `images` are those of the dataset, perhaps counted by somebody on the way.

    Size and mode are the file's; brightness, contrast and edges are measured on the prepared
    image, which every file has been resized to.
    """
    width, height = (_numbers(prepared, f"file_{name}") for name in ("width", "height"))
    modes = [str(mode) for mode in prepared.column("file_mode")]
    known = sorted(set(modes))
    facts = {
        "bytes": _numbers(prepared, "file_bytes"),
        "width": width,
        "height": height,
        "aspect": width / height,
        "mode": np.array([known.index(mode) for mode in modes], dtype=np.float64),
        **_pixels(images),
    }
    return {name: values for name, values in facts.items() if np.ptp(values) > 0}


def find_leaks(prepared: Prepared, facts: dict[str, NDArray[np.float64]]) -> tuple[Leak, ...]:
    """Return what trees tell from all facts together, and from each alone, the best first."""
    if not facts:
        return ()
    folds = deal(Population.of(prepared), FOLDS, seed=0)
    names = tuple(facts)
    alone = sorted(
        (_leak(prepared, facts, (name,), folds) for name in names),
        key=lambda leak: -leak.accuracy,
    )
    return (_leak(prepared, facts, names, folds), *alone)


def _leak(
    prepared: Prepared,
    facts: dict[str, NDArray[np.float64]],
    names: tuple[str, ...],
    folds: NDArray[np.int64],
) -> Leak:
    features = np.stack([facts[name] for name in names], axis=1)
    return Leak(
        facts=names,
        accuracy=cross_validated_accuracy(features, prepared.labels, folds, DEPTH),
        rule=in_words(grow(features, prepared.labels, DEPTH), names, prepared.classes),
    )


def _pixels(images: Iterable[NDArray[np.uint8]]) -> dict[str, NDArray[np.float64]]:
    rows = []
    for image in images:
        # the mean of the channels, rounded down: exact for grey, and integers are fast
        grey = (image.sum(axis=2, dtype=np.uint16) // image.shape[2]).astype(np.uint8)
        share = np.bincount(grey.reshape(-1), minlength=256) / grey.size
        mean = share @ np.arange(256)
        contrast = np.sqrt(share @ (np.arange(256) - mean) ** 2)
        found = edges(grey)
        rows.append(
            (
                mean,
                contrast,
                share[: BLACK + 1].sum(),
                share[WHITE:].sum(),
                found.flat,
                found.margin,
                found.marks,
            )
        )
    names = ("brightness", "contrast", "black", "white", "border", "margin", "marks")
    return dict(zip(names, np.array(rows, dtype=np.float64).T, strict=True))


def _numbers(prepared: Prepared, column: str) -> NDArray[np.float64]:
    return np.array([float(value or 0) for value in prepared.column(column)])
