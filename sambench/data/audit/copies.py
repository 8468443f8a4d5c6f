"""Which images are copies of each other: the same file, the same pixels, or nearly so."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sambench.data.audit.looks import SIDE, Looks, fine_structure, perceptual_hashes
from sambench.data.audit.neighbours import near_pairs

Integers = NDArray[np.int64]
Groups = tuple[tuple[int, ...], ...]

DISTANCE = 8
"""Most bits of the perceptual hash that differ between candidates."""

CORRELATION = 0.6
"""Least correlation of the fine structure of two near-duplicates, at the best of the shifts.

Chosen by eye on real images. Of 300 chest X-rays 45 pairs are within 8 bits and 40 of them are
merely alike: these reach 0.58 at most (two films that may be of one patient), half of them 0.31;
the 5 true copies have 0.998 and more. Of 647 breast ultrasound images 156 pairs are within 8 bits
and all are of one scan; 149 of them have 0.62 and more. The seven that are missed are crops of
another scale (0.22, 0.48) and neighbouring frames (0.44 to 0.57).
"""

SHIFT = 3
"""Pixels of the thumbnail that a copy may be shifted by: 5 % of the side."""

_BLOCK, _CANDIDATES = 256, 1 << 20


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two images that are nearly the same.

    Attributes:
        first: Position of the one that comes first.
        second: Position of the other.
        distance: Bits of the perceptual hash that differ.
        correlation: Of their fine structure.
    """

    first: int
    second: int
    distance: int
    correlation: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Copies:
    """All copies in a dataset.

    Attributes:
        same_file: Groups of positions of byte-identical files.
        same_pixels: Groups of positions of images with the same pixels.
        near: Near-duplicates; of images with the same pixels only the first takes part.
        family: (N,) position of the first image that this one is a copy of, through any chain of
            copies; its own where there is none.
    """

    same_file: Groups
    same_pixels: Groups
    near: tuple[Pair, ...]
    family: Integers

    def families(self) -> Groups:
        """Return the positions of all images that have a copy, family by family."""
        return _groups(self.family.tolist())

    def conflicts(self, labels: Sequence[Hashable]) -> Groups:
        """Return the families whose images differ in label."""
        return tuple(
            members for members in self.families() if len({labels[i] for i in members}) > 1
        )


def find_copies(looks: Looks, checksums: Sequence[Hashable]) -> Copies:
    """Find all copies.

    Args:
        looks: Of the images.
        checksums: Of their files; None where there is no file for each image.
    """
    number = len(looks.digests)
    same_file = _groups([i if c is None else c for i, c in enumerate(checksums)])
    same_pixels = _groups(looks.digests)
    others = {other for _, *rest in same_pixels for other in rest}
    different = np.array([i for i in range(number) if i not in others], dtype=np.int64)
    near = tuple(_near(looks.thumbnails[different], different))
    links = [(first, other) for first, *rest in same_pixels + same_file for other in rest]
    links += [(pair.first, pair.second) for pair in near]
    return Copies(
        same_file=same_file,
        same_pixels=same_pixels,
        near=near,
        family=join(number, links),
    )


def join(number: int, links: Sequence[tuple[int, int]]) -> Integers:
    """Return for each of `number` things the first that links lead to."""
    if not number:
        return np.zeros(0, dtype=np.int64)
    ends = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(number, number))
    _, part = connected_components(graph, directed=False)
    _, first = np.unique(part, return_index=True)
    return np.asarray(first[part], dtype=np.int64)


def _near(thumbnails: NDArray[np.uint8], positions: Integers) -> Iterator[Pair]:
    """Yield the candidates whose fine structure agrees."""
    fine = _compact(thumbnails)
    found = []
    for pairs, distances in _gathered(near_pairs(perceptual_hashes(thumbnails), DISTANCE)):
        agreement = _correlations(fine, pairs)
        for place in np.flatnonzero(agreement >= CORRELATION).tolist():
            first, second = positions[pairs[place]].tolist()
            correlation = round(float(agreement[place]), 4)
            found.append((first, second, int(distances[place]), correlation))
    for first, second, distance, correlation in sorted(found):
        yield Pair(first=first, second=second, distance=distance, correlation=correlation)


def _compact(thumbnails: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Return the fine structure of all thumbnails in half the room: float16 errs by 0.05 %."""
    fine = np.empty(thumbnails.shape, dtype=np.float16)
    for start in range(0, len(thumbnails), _BLOCK):
        fine[start : start + _BLOCK] = fine_structure(thumbnails[start : start + _BLOCK])
    return fine


def _gathered(
    found: Iterable[tuple[Integers, Integers]],
) -> Iterator[tuple[Integers, Integers]]:
    """Join many small arrays of candidates to few large ones, sorted by the first of the pairs."""
    pairs: list[Integers] = []
    distances: list[Integers] = []
    for pair, distance in found:
        pairs.append(pair)
        distances.append(distance)
        if sum(map(len, distances)) >= _CANDIDATES:
            yield _sorted(pairs, distances)
            pairs, distances = [], []
    if pairs:
        yield _sorted(pairs, distances)


def _sorted(pairs: list[Integers], distances: list[Integers]) -> tuple[Integers, Integers]:
    together = np.concatenate(pairs)
    order = np.argsort(together[:, 0], kind="stable")
    return together[order], np.concatenate(distances)[order]


def _correlations(fine: NDArray[np.float16], pairs: Integers) -> NDArray[np.float32]:
    """Return the largest circular cross-correlation of each pair over the small shifts.

    Args:
        fine: (N, SIDE, SIDE) of norm 1.
        pairs: (P, 2), sorted by the first, which is transformed once in each block.
    """
    agreement = np.empty(len(pairs), dtype=np.float32)
    shifts = np.arange(-SHIFT, SHIFT + 1)
    for start in range(0, len(pairs), _BLOCK):
        block = pairs[start : start + _BLOCK]
        firsts, place = np.unique(block[:, 0], return_inverse=True)
        spectra = np.conj(rfft2(fine[firsts].astype(np.float32)))[place]
        spectra *= rfft2(fine[block[:, 1]].astype(np.float32))
        correlation = irfft2(spectra, s=(SIDE, SIDE), overwrite_x=True)
        agreement[start : start + _BLOCK] = correlation[:, shifts[:, None], shifts].max(axis=(1, 2))
    return agreement


def _groups(keys: Sequence[Hashable]) -> Groups:
    """Return the positions of equal keys, where there are several."""
    members: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        members.setdefault(key, []).append(position)
    return tuple(tuple(group) for group in members.values() if len(group) > 1)
