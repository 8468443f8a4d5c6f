from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sambench.data.audit.facts import edges


def speckle(side: int = 100) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(40, 200, (side, side), dtype=np.uint8)


def test_an_image_up_to_its_edges() -> None:
    found = edges(speckle())
    assert (found.flat, found.margin, found.marks) == (0, 0, 0)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("level", [0, 120, 255])
def test_a_flat_border_on_any_side(turn: int, level: int) -> None:
    image = speckle()
    image[:7] = level
    image[:7, ::2] += np.uint8(0 if level == 255 else 5)  # noise of compression
    found = edges(np.ascontiguousarray(np.rot90(image, turn)))
    assert found.flat == 0.07
    assert found.margin == (0.07 if level == 0 else 0)


@pytest.mark.parametrize("turn", range(4))
def test_text_in_a_dark_margin(turn: int) -> None:
    image = speckle()
    image[:20] = 3
    image[5:10, 40:50] = 255
    found = edges(np.ascontiguousarray(np.rot90(image, turn)))
    assert found.margin == 0.2
    assert found.flat == 0.05
    assert found.marks == 50 / 10_000


def test_a_mark_in_a_corner_counts_once() -> None:
    image = speckle()
    image[:20] = 0
    image[:, :20] = 0
    image[2:4, 2:4] = 255
    assert edges(image).marks == 4 / 10_000


def test_marks_in_the_picture_itself_are_not_counted() -> None:
    image = speckle()
    image[50:55, 50:55] = 255
    assert edges(image).marks == 0


def test_a_black_image_is_all_border() -> None:
    found = edges(np.zeros((30, 40), np.uint8))
    assert (found.flat, found.margin, found.marks) == (1, 1, 0)
