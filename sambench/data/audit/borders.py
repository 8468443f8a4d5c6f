"""What is burned into the edges of images: flat borders, and marks in dark margins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLAT = 8
"""Grey levels that a line of a flat border spans at most: JPEG's noise."""

DARK, DARK_SHARE, BRIGHT = 16, 0.8, 150
"""A line of a margin has this share of pixels at most so dark; a mark is at least so bright."""


@dataclass(frozen=True, kw_only=True)
class Edges:
    """What is at the edges of one image.

    Attributes:
        flat: Width of the widest flat border as a share of the side.
        margin: Width of the widest dark margin as a share of the side.
        marks: Share of the image's pixels that are bright and in a dark margin: text, scales.
    """

    flat: float
    margin: float
    marks: float


def edges(grey: NDArray[np.uint8]) -> Edges:
    """Measure the edges of a grey image, shape (H, W)."""
    flat, margin = 0.0, 0.0
    marked = np.zeros(grey.shape, dtype=bool)
    for side in range(4):
        view, mark = np.rot90(grey, side), np.rot90(marked, side)  # views: the side is on top
        lines = len(view)
        span = view.max(axis=1).astype(int) - view.min(axis=1)
        flat = max(flat, _run(span <= FLAT) / lines)
        dark = _run((view <= DARK).mean(axis=1) >= DARK_SHARE)
        margin = max(margin, dark / lines)
        mark[:dark] |= view[:dark] >= BRIGHT
    return Edges(flat=flat, margin=margin, marks=float(marked.mean()))


def _run(lines: NDArray[np.bool_]) -> int:
    """Return how many lines from the first on are true."""
    return len(lines) if lines.all() else int(lines.argmin())
