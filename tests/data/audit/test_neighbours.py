from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sambench.data.audit import neighbours
from sambench.data.audit.neighbours import LARGEST_DISTANCE, near_pairs


def brute_force(hashes: NDArray[np.uint64], distance: int) -> dict[tuple[int, int], int]:
    """Compare all pairs, a pair at a time, with Python's integers."""
    found = {}
    for first, one in enumerate(hashes.tolist()):
        for second in range(first + 1, len(hashes)):
            apart = (one ^ int(hashes[second])).bit_count()
            if apart <= distance:
                found[first, second] = apart
    return found


def search(hashes: NDArray[np.uint64], distance: int) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    for pairs, apart in near_pairs(hashes, distance):
        for pair, bits in zip(map(tuple, pairs.tolist()), apart.tolist(), strict=True):
            assert pair not in found, "a pair is found once"
            found[pair] = bits
    return found


def clustered(number: int, seed: int, most: int = 12) -> NDArray[np.uint64]:
    """Hashes around a few centres: some pairs at each small distance, as of real copies."""
    generator = np.random.default_rng(seed)
    centres = generator.integers(0, 2**64, max(1, number // 6), dtype=np.uint64)
    hashes = generator.choice(centres, number)
    for index in range(number):
        for bit in generator.choice(64, generator.integers(0, most), replace=False).tolist():
            hashes[index] ^= np.uint64(1) << np.uint64(bit)
    return hashes


@pytest.mark.parametrize("distance", [0, 1, 3, 4, 8, 10, LARGEST_DISTANCE])
def test_the_search_finds_what_comparing_all_pairs_finds(distance: int) -> None:
    hashes = clustered(120, seed=distance)
    expected = brute_force(hashes, distance)
    assert search(hashes, distance) == expected
    assert len(expected) > (100 if distance >= 8 else 5 if distance else -1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.sets(st.integers(0, 63), max_size=9)), max_size=12),
    st.integers(0, 9),
)
def test_the_search_is_exact_whatever_the_hashes(
    originals: list[int], copies: list[tuple[int, set[int]]], distance: int
) -> None:
    made = [
        originals[place % len(originals)] ^ sum(1 << bit for bit in flips)
        for place, flips in copies
        if originals
    ]
    hashes = np.array(originals + made, dtype=np.uint64)
    assert search(hashes, distance) == brute_force(hashes, distance)


def test_many_equal_hashes_are_looked_at_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.concatenate([np.full(40, 7, np.uint64), clustered(30, seed=0)])
    expected = brute_force(hashes, 8)
    monkeypatch.setattr(neighbours, "BLOCK", 50)
    sizes = [len(pairs) for pairs, _ in near_pairs(hashes, 8)]
    assert sum(sizes) == len(expected) >= 40 * 39 / 2
    assert max(sizes) <= 50 + 70  # a block ends with the row that fills it


@pytest.mark.parametrize("number", [0, 1])
def test_nothing_to_compare(number: int) -> None:
    assert search(np.arange(number, dtype=np.uint64), 8) == {}


@pytest.mark.parametrize("distance", [-1, LARGEST_DISTANCE + 1])
def test_a_distance_that_bands_cannot_serve(distance: int) -> None:
    with pytest.raises(ValueError, match="is outside 0\\.\\.15"):
        list(near_pairs(np.zeros(2, np.uint64), distance))
