"""Wrong labels on purpose: the classic test of what an optimizer memorises (Foret et al. 2021)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


def with_wrong_labels(
    labels: Labels, ids: Sequence[str], classes: int, share: float, seed: int
) -> Labels:
    """Return the labels with symmetric noise: exactly `round(share * N)` of them are wrong.

    Which images, and which of the other classes each gets, follows from a hash of seed and id:
    neither order nor a library's version matters, and with a larger share the images that were
    wrong stay so. `classes` is how many there are.
    """
    number = round(share * len(labels))
    if number and classes < 2:
        raise ValueError("one class alone has no wrong label")
    draws = [hashlib.sha256(f"label-noise:{seed}:{id}".encode()).digest() for id in ids]
    chosen = sorted(range(len(ids)), key=draws.__getitem__)[:number]
    wrong = labels.copy()
    for index in chosen:
        step = 1 + int.from_bytes(draws[index][-8:]) % (classes - 1)
        wrong[index] = (labels[index] + step) % classes
    return wrong
