from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from sambench.data.audit import copies
from sambench.data.audit.copies import (
    LEAST_NULL,
    UNKNOWN_NULL,
    Copies,
    Looks,
    Pair,
    bar_of,
    find_copies,
    find_turned,
    groups_of,
    join,
    look,
    near_pairs,
)
from sambench.data.source import Sample
from sambench.data.writing import Drops, _reasons

Picture = NDArray[np.uint8]


def picture(seed: int, side: int = 128) -> Picture:
    """Broad light and dark under speckle."""
    generator = np.random.default_rng(seed)
    broad = gaussian_filter(generator.normal(size=(side, side)), side / 16)
    speckle = gaussian_filter(generator.normal(size=(side, side)), 1.2)
    grey = 128 + 60 * broad / broad.std() + 20 * speckle / speckle.std()
    return np.clip(grey, 0, 255).astype(np.uint8)[..., None]


def same_body(seed: int, side: int = 128) -> Picture:
    """The broad light and dark of `picture(0)` under another speckle: two X-rays, two people."""
    broad = gaussian_filter(picture(0)[..., 0].astype(float), 6)
    speckle = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 1.2)
    return np.clip(broad + 20 * speckle / speckle.std(), 0, 255).astype(np.uint8)[..., None]


def compressed(image: Picture) -> Picture:
    """Shrink and enlarge: the same scan saved at another size."""
    small = Image.fromarray(image[..., 0]).resize((100, 100)).resize((128, 128))
    return np.asarray(small)[..., None]


def copies_of(*images: Picture, checksums: list[object] | None = None) -> Copies:
    return find_copies(look(images), checksums or list(range(len(images))))


def test_three_kinds_of_copies() -> None:
    one, two = picture(0), picture(1)
    found = copies_of(one, two, one, compressed(one), two, checksums=["a", "b", "c", "d", "b"])
    assert found.same_file == ((1, 4),)
    assert found.same_pixels == ((0, 2), (1, 4))
    assert [(pair.first, pair.second) for pair in found.certain] == [(0, 3)]
    assert found.family.tolist() == [0, 1, 0, 0, 1]
    assert groups_of(found.family.tolist()) == ((0, 2, 3), (1, 4))


@pytest.mark.parametrize(
    "change",
    [
        compressed,
        lambda image: np.clip(0.8 * image.astype(float) + 30, 0, 255).astype(np.uint8),
        lambda image: np.roll(image, (2, -2), axis=(0, 1)),
        lambda image: np.where(np.arange(128)[:, None, None] > 122, 255, image).astype(np.uint8),
    ],
    ids=["resized", "brighter", "shifted", "with a bar"],
)
def test_what_somebody_does_to_a_copy(change) -> None:
    (pair,) = copies_of(picture(5), picture(6), change(picture(6))).certain
    assert (pair.first, pair.second) == (1, 2)
    assert pair.distance <= 8
    assert pair.correlation > 0.8


def bordered(image: Picture) -> Picture:
    """The image in a black frame."""
    inside = np.pad(np.ones((116, 116, 1), bool), ((6, 6), (6, 6), (0, 0)))
    return np.where(inside, image, 0).astype(np.uint8)


@pytest.mark.parametrize("every", [1, 2])
def test_borders_do_not_make_unlike_images_alike(every: int) -> None:
    """The edges of borders are the finest structure that there is, and the same in all."""
    images = [bordered(picture(n)) if n % every == 0 else picture(n) for n in range(40)]
    noisy = images[4] + np.random.default_rng(0).normal(0, 24, (128, 128, 1))
    found = copies_of(*images, bordered(np.clip(noisy, 0, 255).astype(np.uint8)))
    assert max(found.bars) < 0.5
    assert [(pair.first, pair.second) for pair in found.certain] == [(4, 40)]


def turned_among(*images: Picture) -> tuple[Pair, ...]:
    looks = look(images)
    return find_turned(images, looks, find_copies(looks, range(len(images))))


WAYS = [
    *(lambda image, k=k: np.rot90(image, k) for k in (1, 2, 3)),
    *(lambda image, k=k: np.rot90(image[:, ::-1], k) for k in range(4)),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("side", [64, 28])
def test_mirrored_and_turned_copies_are_found(way: Callable[[Picture], Picture], side: int) -> None:
    images = [picture(seed, side=side) for seed in range(20)]
    copy = np.clip(0.8 * way(images[3]).astype(float) + 30, 0, 255).astype(np.uint8)
    for made, wanted in (([*images, copy], (3, 20)), ([copy, *images], (0, 4))):
        (pair,) = turned_among(*made)
        assert (pair.first, pair.second) == wanted
        assert pair.correlation > 0.8


def test_unlike_images_and_plain_copies_are_no_turned_ones() -> None:
    images = [picture(seed, side=64) for seed in range(60)]
    even = (images[0].astype(int) + images[0][:, ::-1]) // 2  # the same in a mirror
    assert turned_among(*images, compressed(images[7]), even.astype(np.uint8)) == ()
    assert turned_among(*images, even.astype(np.uint8), even.astype(np.uint8)) == ()
    assert turned_among(*(same_body(seed) for seed in range(8))) == ()


def test_a_copy_among_images_in_few_poses() -> None:
    """Whom the hash takes for alike are compared with the unlike that it takes for nearly alike."""
    generator = np.random.default_rng(0)
    pose, number = np.arange(200) // 10, 201
    fine = generator.standard_normal((20, 16, 16))[pose] + generator.standard_normal((200, 16, 16))
    fine = np.concatenate([fine, fine[:1] + 0.6 * generator.standard_normal((1, 16, 16))])
    fine -= fine.mean(axis=(1, 2), keepdims=True)
    fine /= np.sqrt(np.square(fine).sum(axis=(1, 2), keepdims=True))
    bits = generator.integers(0, 2, (20, 64), dtype=np.uint8)[pose]
    for row in bits:
        row[generator.choice(64, 10, replace=False)] ^= 1  # of a pose, 16 of 64 differ on average
    looks = Looks(
        hashes=np.packbits(np.concatenate([bits, bits[:1]]), axis=1).view(np.uint64)[:, 0],
        digests=[bytes([place]) for place in range(number)],
        textured=np.ones(number, dtype=np.bool_),
        fine=fine.astype(np.float16),
    )
    found = find_copies(looks, range(number))
    assert [(pair.first, pair.second) for pair in found.certain] == [(0, 200)]
    assert 0.8 < found.certain[0].correlation < 0.95


def test_bodies_that_are_merely_alike_are_no_copies() -> None:
    """The hash alone takes them for copies, as it does for chest X-rays; their speckle differs."""
    images = [same_body(seed) for seed in range(8)]
    looks = look(images)
    first, *others = looks.hashes.tolist()
    assert sum((first ^ other).bit_count() <= 8 for other in others) >= 4
    assert find_copies(looks, range(8)).certain == ()


def test_flat_images_are_copies_only_if_they_are_equal() -> None:
    black, grey = (np.full((64, 64, 1), level, np.uint8) for level in (0, 90))
    found = copies_of(black, grey, black)
    assert found.same_pixels == ((0, 2),)
    assert found.certain == ()


def test_partners_are_an_images_own_copies_and_not_their_copies() -> None:
    """Of identical images one was compared; what it is a copy of, the other is too."""
    found = Copies(
        same_file=((0, 1),),
        same_pixels=((0, 1), (5, 6)),
        certain=(
            Pair(first=0, second=2, distance=1, correlation=0.9),
            Pair(first=2, second=3, distance=1, correlation=0.9),
        ),
        possible=(Pair(first=3, second=4, distance=1, correlation=0.7),),
        bars=(0.8,) * 9,
        family=join(7, [(0, 1), (0, 2), (2, 3), (5, 6)]),
    )
    assert found.partners() == {0: {1, 2}, 1: {0, 2}, 2: {0, 1, 3}, 3: {2}, 5: {6}, 6: {5}}
    assert groups_of(found.family.tolist()) == ((0, 1, 2, 3), (5, 6))
    samples = [Sample(id=f"i{n}", path=Path(), file="", label="a") for n in range(7)]
    left_out = dict(_reasons(samples, found, Drops(duplicates=True)))
    assert left_out == {n: f"a copy of i{of}" for n, of in {1: 0, 2: 0, 6: 5}.items()}  # 3 stays


def test_random_crops_of_different_images_are_no_copies() -> None:
    """Unlike images of one texture: at a hundredth of a false pair expected, none is found."""
    images = [picture(seed, side=64) for seed in range(120)]
    for side in (64, 32):
        found = copies_of(*(image[:side, :side] for image in images))
        assert (found.certain, found.possible) == ((), ())
        assert max(found.bars) < 1


def test_the_bar_follows_the_sets_own_null() -> None:
    """Where all images share structure the bar is higher, and copies are found all the same."""
    unlike = [picture(seed, side=64) for seed in range(60)]
    shared = picture(1000, side=64).astype(int)
    alike = [np.clip((image + 2 * shared) // 3, 0, 255).astype(np.uint8) for image in unlike]
    low, high = copies_of(*unlike), copies_of(*alike, alike[7] // 2 + 60)
    assert min(high.bars) > min(low.bars) + 0.2
    assert [(pair.first, pair.second) for pair in high.certain] == [(7, 60)]


def test_a_template_under_many_images_invents_no_copies() -> None:
    """Forty templates with edges, each under many images: those pairs are alike in fine detail."""
    generator = np.random.default_rng(0)
    coarse = generator.normal(size=(40, 8, 8)).repeat(8, 1).repeat(8, 2)
    speckle = generator.normal(size=(400, 64, 64))
    grey = 128 + 40 * coarse[np.arange(400) % 40] + 25 * speckle
    images = [*np.clip(grey, 0, 255).astype(np.uint8)[..., None]]
    found = copies_of(*images, images[3] // 2 + 60)
    assert [(pair.first, pair.second) for pair in found.certain] == [(3, 400)]


def test_the_false_rate_of_the_bar_is_what_it_says() -> None:
    """Null correlations drawn from a known law: about 0.01 of the pairs are beyond the bar."""
    generator = np.random.default_rng(0)
    pairs, scale = 100_000, 0.05
    bar = bar_of(np.tanh(generator.exponential(scale, 20_000) + 0.2), pairs)
    expected = pairs * np.exp(-(np.arctanh(bar) - 0.2) / scale)
    assert 0.001 < expected < 0.1  # the 99th percentile of 20,000 is uncertain by 7 %
    few_copies = np.concatenate([np.tanh(generator.exponential(scale, 3960) + 0.2), [0.98] * 40])
    assert bar_of(few_copies, pairs) < bar + 0.1
    assert bar_of(np.full(LEAST_NULL - 1, 0.1), pairs) == UNKNOWN_NULL


@pytest.mark.parametrize("distance", [0, 3, 8, 16])
def test_all_near_pairs_are_found_once_and_in_order(distance: int, monkeypatch) -> None:
    monkeypatch.setattr(copies, "_CELLS", 1000)
    monkeypatch.setattr(copies, "_HELD", 50)
    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 2**64, 9, dtype=np.uint64)[generator.integers(0, 9, 400)]
    flips = np.packbits(generator.random((400, 64)) < 0.06, axis=1).view(np.uint64)[:, 0]
    hashes = patterns ^ flips
    found = [*near_pairs(hashes, hashes, distance)]
    apart = {
        (i, j): (int(hashes[i]) ^ int(hashes[j])).bit_count()
        for i in range(400)
        for j in range(i + 1, 400)
    }
    wanted = {pair: bits for pair, bits in apart.items() if bits <= distance}
    pairs = np.concatenate([pairs for pairs, _ in found])
    bits = np.concatenate([bits for _, bits in found])
    assert dict(zip(map(tuple, pairs.tolist()), bits.tolist(), strict=True)) == wanted
    assert len(pairs) == len(wanted)
    assert (np.diff(pairs[:, 0]) >= 0).all()


def test_equal_hashes_in_masses_come_in_blocks() -> None:
    hashes = np.zeros(2000, np.uint64)
    blocks = [len(pairs) for pairs, _ in near_pairs(hashes, hashes, 8)]
    assert sum(blocks) == 2000 * 1999 // 2
    assert max(blocks) < 400_000


def test_images_without_files_of_their_own_are_not_one_file() -> None:
    assert copies_of(picture(0), picture(1), checksums=[None, None]).same_file == ()


def test_joining_goes_through_any_chain() -> None:
    assert join(6, [(4, 2), (1, 4), (3, 5)]).tolist() == [0, 1, 1, 3, 1, 3]
    assert join(2, []).tolist() == [0, 1]
