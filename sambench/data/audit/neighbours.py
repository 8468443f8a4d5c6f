"""All pairs of 64-bit hashes within a Hamming distance, without comparing all pairs.

Multi-index hashing (Norouzi, Punjani, Fleet, Fast Exact Search in Hamming Space with Multi-Index
Hashing, 2014): a hash is four bands of 16 bits. Of two hashes within distance d some band is
within d // 4, by the pigeonhole principle; so it is enough to look up, for each band, the few
values that near. Exact, and one array operation for each such value.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

BANDS, BITS = 4, 16
BLOCK = 1 << 21
"""Most candidates looked at in one go: they take some hundred megabytes."""

LARGEST_DISTANCE = 15
"""Of the search; beyond it the bands are so far apart that looking them up finds nearly all."""


def near_pairs(hashes: NDArray[np.uint64], distance: int) -> Iterator[tuple[Integers, Integers]]:
    """Yield every pair i < j of hashes within the distance once, in arrays (P, 2) and (P,).

    Args:
        hashes: Shape (N,).
        distance: Most bits that differ, up to `LARGEST_DISTANCE`.

    Yields:
        The positions of pairs, and how many bits of each differ.
    """
    if not 0 <= distance <= LARGEST_DISTANCE:
        raise ValueError(f"distance={distance} is outside 0..{LARGEST_DISTANCE}")
    reach = distance // BANDS
    bands = np.stack(
        [(hashes >> np.uint64(BITS * band)) & np.uint64(0xFFFF) for band in range(BANDS)]
    )
    bands = bands.astype(np.int64)
    ones = _ones()
    for place, band in enumerate(bands):
        order, first, count = _buckets(band)
        for flip in np.flatnonzero(ones <= reach):
            wanted = band ^ flip
            for left, rank in _expand(count[wanted]):
                pairs = np.stack([left, order[first[wanted[left]] + rank]], axis=1)
                pairs = pairs[pairs[:, 0] < pairs[:, 1]]
                apart = ones[bands[:, pairs[:, 0]] ^ bands[:, pairs[:, 1]]]
                new = (apart[:place] > reach).all(axis=0)  # else an earlier band has found it
                near = new & (apart.sum(axis=0) <= distance)
                if near.any():
                    yield pairs[near], apart.sum(axis=0)[near]


def _ones() -> Integers:
    """Return the number of ones in each 16-bit value."""
    values = np.arange(1 << BITS)
    return np.asarray(sum((values >> bit) & 1 for bit in range(BITS)), dtype=np.int64)


def _buckets(band: Integers) -> tuple[Integers, Integers, Integers]:
    """Return positions sorted by value, and for each value its first place there and count."""
    count = np.bincount(band, minlength=1 << BITS)
    return np.argsort(band, kind="stable"), np.cumsum(count) - count, count


def _expand(counts: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Yield (i, 0), (i, 1) ... (i, counts[i] - 1) for all i, in blocks of about `BLOCK`."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BLOCK, side="right")))
        here = counts[start:stop]
        index = np.repeat(np.arange(start, stop), here)
        yield index, np.arange(len(index)) - np.repeat(np.cumsum(here) - here, here)
        start = stop
