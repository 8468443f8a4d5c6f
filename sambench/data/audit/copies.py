"""Which images are copies of each other, and how sure that is.

Three grades. *Identical*: the same file or the same pixels. *Certain*: so alike in their fine
structure that among all pairs of unlike images of this very set a hundredth of one pair is
expected to be. *Possible*: alike, to be judged by eye; nothing is done with these.

The null distribution is the set's own: correlations of random pairs whose perceptual hashes are
the nearest beyond the reach of the search, since images in one pose are mistaken for copies. Its
upper tail is taken as exponential in Fisher's z = atanh(r), fitted between the 90th and the 99th
percentile. Where many pairs are within a few bits and most of them are unlike (many images on one
template), their own distribution sets a higher bar at that distance. So the bar rises where images
resemble each other (chest X-rays of 28 pixels: 0.88), and falls where not (breast ultrasound: 0.5).
Borders of one grey, as of letterboxes, are left out: their edges would make all images alike.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import math
import tempfile
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn, irfft2, rfft2
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sambench.data.source import Progress

Pixels = NDArray[np.uint8]
Integers = NDArray[np.int64]
Fine = NDArray[np.float32]
Groups = tuple[tuple[int, ...], ...]

SIDE = 64  # side of a thumbnail, large enough to show speckle; smaller images keep their own side
FINE_SIGMA = 2.0
"""What is left of a thumbnail without its Gaussian blur of this SD is its fine structure: that is
the image's own, whereas any two chest X-rays share their broad light and dark."""

NEAR, FAR = 8, 16
"""Bits of the perceptual hash that may differ between candidates: at least and at most so many."""

FLAT = 8  # most that grey varies within a line of a border

EXPECTED = 0.01  # false pairs expected among all pairs of a set, where none is a copy
POSSIBLE = 0.6  # correlation from which a pair within `NEAR` bits is possibly a copy
UNKNOWN_NULL, LEAST_NULL = 0.8, 500
"""The bar of a set with fewer pairs than this: too few to tell what unlike images are like."""

FLOOR = 0.4  # least bar of all
SHIFT = 3  # pixels of a thumbnail of `SIDE` that a copy may be shifted by: 5 % of the side
MOST_POSSIBLE = 1000

_SAMPLE, _NULL, _BLOCK, _PART, _TOLD = 300_000, 4000, 256, 64, 4096
_THREADS = 4
_CELLS, _HELD, _STEPS, _BAND, _MOST = 1 << 16, 1 << 18, 2000, 4, 10_000
_NOBODY: Progress = lambda done, total, what: None  # noqa: E731


@dataclass(frozen=True, kw_only=True, eq=False)
class Looks:
    """Images by what can be compared; those that are not `textured` are flat."""

    hashes: NDArray[np.uint64]  # (N,) perceptual hashes
    digests: Sequence[bytes]  # first half of the sha256 of each image's pixels
    textured: NDArray[np.bool_]
    fine: NDArray[np.float16]  # (N, side, side) fine structure, each of norm 1 or flat, on disk


@dataclass(frozen=True)
class Pair:
    """Positions of two images that are nearly the same, in order."""

    first: int
    second: int
    distance: int  # bits of the perceptual hash that differ
    correlation: float  # of their fine structure


@dataclass(frozen=True, kw_only=True, eq=False)
class Copies:
    """All copies in a dataset."""

    same_file: Groups  # groups of positions of byte-identical files
    same_pixels: Groups  # groups of positions of images with the same pixels
    certain: tuple[Pair, ...]  # beyond the bar; of the same pixels only the first takes part
    possible: tuple[Pair, ...]  # the most alike of the pairs below it that resemble copies
    bars: tuple[float, ...]  # correlation of fine structure that is certain, by bits that differ
    family: Integers  # (N,) the first that each is an identical or certain copy of, by any chain

    def partners(self) -> dict[int, set[int]]:
        """Return for each image its copies, identical or certain, without going along chains."""
        same: dict[int, set[int]] = {}
        for group in (*self.same_file, *self.same_pixels):
            for position in group:
                same.setdefault(position, set()).update(group)
        found = {position: {*others} for position, others in same.items()}
        for pair in self.certain:
            for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
                for position in same.get(one, (one,)):
                    found.setdefault(position, set()).update(same.get(other, (other,)))
        return {position: others - {position} for position, others in found.items()}


def look(images: Iterable[Pixels]) -> Looks:
    """Look at each image (H, W, C) once, in threads; much room is taken in a temporary file."""
    hashes: list[NDArray[np.uint64]] = []
    textured: list[NDArray[np.bool_]] = []
    digests: list[bytes] = []
    source = iter(images)
    with tempfile.TemporaryFile() as file, ThreadPoolExecutor(_THREADS) as pool:
        while block := list(itertools.islice(source, _BLOCK)):
            side = min(SIDE, *block[0].shape[:2])
            parts = [block[start : start + _PART] for start in range(0, len(block), _PART)]
            for own, hashed, fine in pool.map(_look_at, parts):
                digests += own
                hashes.append(hashed)
                textured.append(np.asarray(fine.any(axis=(1, 2))))
                file.write(fine.astype(np.float16).tobytes())  # float16 errs by 0.05 %
        file.flush()
        kept = np.memmap(file, np.float16, "r")
    return Looks(
        hashes=np.concatenate(hashes),
        digests=digests,
        textured=np.concatenate(textured),
        fine=kept.reshape(-1, side, side),
    )


def _look_at(images: Sequence[Pixels]) -> tuple[list[bytes], NDArray[np.uint64], Fine]:
    """Return the digests, perceptual hashes and fine structure of some images."""
    digests = [hashlib.sha256(image.tobytes()).digest()[:16] for image in images]
    colours = (image[..., 0] if image.shape[-1] == 1 else image for image in images)
    grey = [Image.fromarray(pixels).convert("L") for pixels in colours]
    small, side = _thumbnails(grey, SIDE), min(SIDE, *images[0].shape[:2])
    seen = small if side == SIDE else _thumbnails(grey, side)
    inside = np.stack([_within_borders(np.asarray(one), side) for one in grey])
    fine, bordered = fine_structure(seen), ~inside.all(axis=(1, 2))
    if bordered.any():
        fine[bordered] = fine_structure(seen[bordered], inside[bordered])
    return digests, perceptual_hashes(small), fine


def _within_borders(pixels: Pixels, side: int) -> NDArray[np.bool_]:
    """Return which pixels of a thumbnail are within borders of one grey around an image (H, W).

    Edges of such borders, as of letterboxes and bars, are alike in unlike images.
    """
    ends = []
    for lines in (pixels, pixels.T):
        inside = np.flatnonzero(np.ptp(lines, axis=1) > FLAT)
        first, last = (inside[0], inside[-1] + 1) if len(inside) else (0, len(lines))
        place = np.arange(side)  # of a thumbnail's line, which is some lines of the image
        ends.append(
            (place * len(lines) >= first * side) & ((place + 1) * len(lines) <= last * side)
        )
    return np.logical_and.outer(*ends)


def perceptual_hashes(thumbnails: Pixels) -> NDArray[np.uint64]:
    """Return the 64-bit perceptual hash of each thumbnail, (N, 64, 64).

    The image is averaged to 32 x 32 and cosine transformed; of the 8 x 8 lowest frequencies each
    gives a bit: is it above their median? (Zauner, Implementation and Benchmarking of Perceptual
    Image Hash Functions, 2010.)
    """
    number, half = len(thumbnails), SIDE // 2
    averaged = thumbnails.reshape(number, half, 2, half, 2).mean(axis=(2, 4))
    low = dctn(averaged, axes=(1, 2))[:, :8, :8].reshape(number, 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.asarray(np.packbits(bits, axis=1).view(np.uint64)[:, 0], dtype=np.uint64)


def fine_structure(thumbnails: Pixels, inside: NDArray[np.bool_] | None = None) -> Fine:
    """Return each thumbnail without its blur, mean 0 and norm 1; all zero where it is flat.

    Where it is not `inside`, of the same shape, it is zero too, and blurs nothing.
    """
    pixels, sigma = thumbnails.astype(np.float32), FINE_SIGMA * thumbnails.shape[1] / SIDE
    if inside is None:
        fine = pixels - gaussian_filter(pixels, (0, sigma, sigma))  # which keeps the mean
    else:
        kept = (pixels * inside, inside.astype(np.float32))
        blur, share = (gaussian_filter(one, (0, sigma, sigma)) for one in kept)
        fine = np.where(inside, pixels - blur / np.maximum(share, 1e-3), 0)
        total, number = (one.sum(axis=(1, 2), keepdims=True) for one in (fine, inside))
        fine -= np.where(inside, total / np.maximum(number, 1), 0)
    norms = np.sqrt(np.square(fine).sum(axis=(1, 2), keepdims=True))
    return np.asarray(np.where(norms > 1e-3, fine / np.maximum(norms, 1e-3), 0), dtype=np.float32)


def _thumbnails(images: Iterable[Image.Image], side: int) -> Pixels:
    return np.stack([np.asarray(one.resize((side, side), Image.Resampling.BOX)) for one in images])


def find_copies(
    looks: Looks, checksums: Sequence[Hashable], progress: Progress = _NOBODY
) -> Copies:
    """Find all copies in quadratic time; `checksums` are of the files, None where there is none."""
    same_file = groups_of(checksums)
    same_pixels = groups_of(looks.digests)
    alone = looks.textured.copy()
    alone[[other for _, *rest in same_pixels for other in rest]] = False
    certain, possible, bars = _near(looks, looks, np.flatnonzero(alone), progress)
    pairs = ((pair.first, pair.second) for pair in certain)
    return Copies(
        same_file=same_file,
        same_pixels=same_pixels,
        certain=certain,
        possible=possible,
        bars=bars,
        family=join(len(looks.digests), [*same_pixels, *same_file, *pairs]),
    )


def join(number: int, groups: Iterable[Sequence[int]]) -> Integers:
    """Return for each of `number` things the first that it is joined to by groups, one or many."""
    links = [(first, other) for first, *others in groups for other in others]
    ends = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(number, number))
    _, part = connected_components(graph, directed=False)
    _, first = np.unique(part, return_index=True)
    return np.asarray(first[part], dtype=np.int64)


def find_turned(
    images: Iterable[Pixels], looks: Looks, copies: Copies, progress: Progress = _NOBODY
) -> tuple[Pair, ...]:
    """Return certain copies that are mirrored or turned by right angles, the most alike first.

    Such as sets have that were augmented before. The images (H, W, C) with H = W are gone through
    seven times; what are copies as they are is left out. Each way has a bar of its own.
    """
    found: dict[tuple[int, int], Pair] = {}
    positions = np.flatnonzero(looks.textured)
    for way in range(1, 8):
        turned = look(np.rot90(image[:: 1 - 2 * (way > 3)], way % 4) for image in images)
        certain, _, _ = _near(looks, turned, positions, _NOBODY)
        progress(way, 7, "looking for mirrored and turned copies")
        for pair in certain:
            both = (pair.first, pair.second)
            if copies.family[pair.first] != copies.family[pair.second]:
                found[both] = max(pair, found.get(both, pair), key=lambda one: one.correlation)
    return tuple(sorted(found.values(), key=lambda pair: -pair.correlation))


def near_pairs(
    hashes: NDArray[np.uint64],
    others: NDArray[np.uint64],
    distance: int,
    progress: Progress = _NOBODY,
) -> Iterator[tuple[Integers, Integers]]:
    """Yield every pair i < j of hashes within the distance once, sorted, in blocks.

    Each block has positions, shape (P, 2), and how many bits of each pair differ, shape (P,). The
    second of a pair is of the `others`, as many, which may be the same.
    """
    number, start, held = len(hashes), 0, 0
    pairs, distances = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    while start < number:
        rows = hashes[start : start + max(1, _CELLS // (number - start))]
        apart = np.bitwise_count(rows[:, None] ^ others[None, start:]).ravel()
        near = np.flatnonzero(apart <= distance)
        row, column = np.divmod(near, number - start)
        pairs.append(np.stack([row, column], axis=1)[column > row] + start)
        distances.append(apart[near[column > row]].astype(np.int64))
        start, held = start + len(rows), held + len(pairs[-1])
        if held >= _HELD or start == number:
            yield np.concatenate(pairs), np.concatenate(distances)
            pairs, distances, held = pairs[:1], distances[:1], 0
        if start // _TOLD > (start - len(rows)) // _TOLD or start == number:
            progress(start, number, "comparing images")


def bar_of(null: NDArray[np.float64], pairs: int) -> float:
    """Return the correlation that `EXPECTED` of so many pairs of unlike images are beyond.

    `null` has correlations of pairs that are unlike but for a few, shape (S,).
    """
    if len(null) < LEAST_NULL:
        return UNKNOWN_NULL
    z = np.arctanh(np.clip(null, -0.9999, 0.9999))
    z = z[z < _beyond(z, 0.5, 0.9, pairs)]  # copies among the pairs
    return max(FLOOR, math.tanh(_beyond(z, 0.9, 0.99, pairs)))


def _beyond(z: NDArray[np.float64], low: float, high: float, pairs: int) -> float:
    """Continue the tail that two quantiles describe to where `EXPECTED` of the pairs are left."""
    at_low, at_high = np.quantile(z, (low, high))
    rate = (at_high - at_low) / math.log((1 - low) / (1 - high))
    return float(at_low + rate * math.log((1 - low) * pairs / EXPECTED))


def _bar_and_reach(looks: Looks, others: Looks, positions: Integers) -> tuple[float, int]:
    """Return the bar, and how far hashes may differ for the comparison to take bearable time.

    Here and below the second image of a pair is looked at in `others`, which may be the same.
    """
    number = len(positions)
    pairs = number * (number - 1) // 2
    if pairs <= _SAMPLE:
        sample = np.stack(np.triu_indices(number, 1), axis=1)
    else:
        sample = np.random.default_rng(0).integers(0, number, (_SAMPLE, 2))
        sample = np.sort(sample[sample[:, 0] != sample[:, 1]], axis=1)
    hashes, theirs = looks.hashes[positions], others.hashes[positions]
    apart = np.bitwise_count(hashes[sample[:, 0]] ^ theirs[sample[:, 1]])
    expected = np.bincount(apart, minlength=65).cumsum() * (pairs / max(1, len(sample)))
    reach = NEAR + int((expected[NEAR + 1 : FAR + 1] <= 200_000 + 10 * number).sum())
    unlike = np.flatnonzero(apart > reach)
    if 2 * len(unlike) < len(sample):  # all images resemble each other: any pair is of the null
        unlike = np.arange(len(sample))[:: -(-len(sample) // _NULL)]
    nearest = sample[unlike[np.argsort(apart[unlike], kind="stable")[:_NULL]]]
    nearest = nearest[np.argsort(nearest[:, 0], kind="stable")]
    null = _correlations(looks, others, positions[nearest]).astype(np.float64)
    return bar_of(null, pairs), reach


def _near(
    looks: Looks, others: Looks, positions: Integers, progress: Progress
) -> tuple[tuple[Pair, ...], tuple[Pair, ...], tuple[float, ...]]:
    """Return the certain and the most alike of the possible pairs, in order, and the bars."""
    bar, reach = _bar_and_reach(looks, others, positions)
    likely: list[Pair] = []
    seen = np.zeros((reach + 1, _STEPS), dtype=np.int64)
    hashes, theirs = looks.hashes[positions], others.hashes[positions]
    for places, apart in near_pairs(hashes, theirs, reach, progress):
        pairs = positions[places]
        agreement = _correlations(looks, others, pairs)
        step = np.clip((agreement + 1) / 2 * _STEPS, 0, _STEPS - 1).astype(np.int64)
        np.add.at(seen, (apart, step), 1)
        alike = (agreement >= bar) | ((agreement >= POSSIBLE) & (apart <= NEAR))
        for place in np.flatnonzero(alike).tolist():
            correlation = round(float(agreement[place]), 4)
            first, second = pairs[place].tolist()
            likely.append(Pair(first, second, int(apart[place]), correlation))
    bars = tuple(_bars(seen, bar))
    certain = tuple(pair for pair in likely if pair.correlation >= bars[pair.distance])
    unsure = (pair for pair in likely if pair.correlation < bars[pair.distance])
    possible = heapq.nlargest(MOST_POSSIBLE, unsure, key=lambda pair: pair.correlation)
    return certain, tuple(possible), bars


def _bars(seen: Integers, bar: float) -> Iterator[float]:
    """Yield the bar of each distance: higher where the pairs there, mostly unlike, ask for it.

    `seen` counts pairs by distance and by correlation, in steps from -1 to 1.
    """
    centres = (np.arange(_STEPS) + 0.5) * 2 / _STEPS - 1
    for distance in range(len(seen)):
        low = distance - distance % _BAND
        counts = seen[low : low + _BAND].sum(axis=0)
        own = np.repeat(centres, np.minimum(counts, _MOST))
        unlike = len(own) >= LEAST_NULL and np.median(own) < bar
        yield max(bar, bar_of(own, int(counts.sum()))) if unlike else bar


def _correlations(looks: Looks, others: Looks, pairs: Integers) -> NDArray[np.float32]:
    """Return the largest circular cross-correlation of each pair over the small shifts.

    `pairs`, shape (P, 2), are sorted by the first, which is transformed once in each block.
    """
    agreement = np.empty(len(pairs), dtype=np.float32)
    shape = looks.fine.shape[1:]
    most = max(1, round(SHIFT * shape[0] / SIDE))
    shifts = np.arange(-most, most + 1)
    for start in range(0, len(pairs), _BLOCK):
        block = pairs[start : start + _BLOCK]
        firsts, place = np.unique(block[:, 0], return_inverse=True)
        spectra = np.conj(rfft2(looks.fine[firsts].astype(np.float32)))[place]
        spectra *= rfft2(others.fine[block[:, 1]].astype(np.float32))
        correlation = irfft2(spectra, s=shape, overwrite_x=True)
        agreement[start : start + _BLOCK] = correlation[:, shifts[:, None], shifts].max(axis=(1, 2))
    return agreement


def groups_of(keys: Sequence[Hashable]) -> Groups:
    """Return the positions of equal keys, where there are several; None is equal to no other."""
    often = (key for key, number in Counter(keys).items() if number > 1)
    members: dict[Hashable, list[int]] = {key: [] for key in often if key is not None}
    for position, key in enumerate(keys):
        if key in members:
            members[key].append(position)
    return tuple(map(tuple, members.values()))
