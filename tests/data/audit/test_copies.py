from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from sambench.data.audit.copies import Copies, find_copies, join
from sambench.data.audit.looks import look

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
    assert [(pair.first, pair.second) for pair in found.near] == [(0, 3)]
    assert found.family.tolist() == [0, 1, 0, 0, 1]
    assert found.families() == ((0, 2, 3), (1, 4))


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
    (pair,) = copies_of(picture(5), picture(6), change(picture(6))).near
    assert (pair.first, pair.second) == (1, 2)
    assert pair.distance <= 8
    assert pair.correlation > 0.8


def test_bodies_that_are_merely_alike_are_no_copies() -> None:
    """The hash alone takes them for copies, as it does for chest X-rays; their speckle differs."""
    images = [same_body(seed) for seed in range(8)]
    looks = look(images)
    from sambench.data.audit.looks import perceptual_hashes

    first, *others = perceptual_hashes(looks.thumbnails).tolist()
    assert sum((first ^ other).bit_count() <= 8 for other in others) >= 4
    assert find_copies(looks, range(8)).near == ()


def test_flat_images_are_copies_only_if_they_are_equal() -> None:
    black, grey = (np.full((64, 64, 1), level, np.uint8) for level in (0, 90))
    found = copies_of(black, grey, black)
    assert found.same_pixels == ((0, 2),)
    assert found.near == ()


def test_conflicts_are_families_of_several_labels() -> None:
    one, two, three = picture(0), picture(1), picture(2)
    found = copies_of(one, one, two, compressed(two), three)
    assert found.conflicts(["benign", "malignant", "benign", "benign", "malignant"]) == ((0, 1),)


def test_images_without_files_of_their_own_are_not_one_file() -> None:
    assert copies_of(picture(0), picture(1), checksums=[None, None]).same_file == ()


def test_nothing_to_compare() -> None:
    found = copies_of()
    assert found.families() == ()
    assert found.family.shape == (0,)


def test_joining_goes_through_any_chain() -> None:
    assert join(6, [(4, 2), (1, 4), (3, 5)]).tolist() == [0, 1, 1, 3, 1, 3]
    assert join(2, []).tolist() == [0, 1]
