from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sambench.data.audit import copies
from sambench.data.audit.copies import SIDE, fine_structure, look


def noise(side: int, channels: int = 1, seed: int = 0) -> NDArray[np.uint8]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (side, side, channels), dtype=np.uint8)


def smooth(seed: int, side: int = 128) -> NDArray[np.uint8]:
    """A picture with structure at many scales."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(1, 1, side, side)
    for scale in (4, 8, 16, 32, 64):
        field = torch.randn(1, 1, scale, scale, generator=generator)
        total += torch.nn.functional.interpolate(field, size=side, mode="bicubic") / scale**0.5
    low, high = total.min(), total.max()
    return (255 * (total - low) / (high - low)).to(torch.uint8)[0, 0, :, :, None].numpy()


def bits(one: np.uint64, two: np.uint64) -> int:
    return (int(one) ^ int(two)).bit_count()


@pytest.mark.parametrize(("side", "kept"), [(8, 8), (28, 28), (64, 64), (224, 64), (299, 64)])
def test_small_images_keep_their_side(side: int, kept: int) -> None:
    found = look([noise(side, channels=3), np.full((side, side, 3), 7, np.uint8)])
    assert found.fine.shape == (2, kept, kept)
    assert found.textured.tolist() == [True, False]


@pytest.mark.parametrize("side", [64, 128, 256])
def test_the_fine_structure_is_of_the_mean_over_areas(side: int) -> None:
    image = noise(side)
    step = side // SIDE
    mean = image[..., 0].reshape(1, SIDE, step, SIDE, step).mean(axis=(2, 4))
    found = look([image]).fine
    assert (found * fine_structure(np.rint(mean).astype(np.uint8))).sum() > 0.999


def test_more_images_than_a_block_are_read_back_in_order(monkeypatch) -> None:
    monkeypatch.setattr(copies, "_BLOCK", 7)
    monkeypatch.setattr(copies, "_PART", 2)  # of each block, to a thread
    images = [noise(64, seed=seed) for seed in range(11)]
    found = look(images)
    wanted = fine_structure(np.stack([image[..., 0] for image in images]))
    np.testing.assert_allclose(found.fine, wanted, atol=1e-4)
    assert found.digests == [digest for image in images for digest in look([image]).digests]
    assert found.hashes.tolist() == [int(look([image]).hashes[0]) for image in images]
    assert len(found.textured) == 11


def test_the_digest_is_of_the_pixels() -> None:
    image = noise(16, channels=3)
    view = noise(32, channels=3)[::2, ::2]
    assert look([image, view]).digests == [
        hashlib.sha256(np.ascontiguousarray(i).tobytes()).digest()[:16] for i in (image, view)
    ]


def test_the_hash_follows_its_definition() -> None:
    """Against the cosine transform written out as a sum, in float64."""
    image = smooth(3, side=64)
    grey = image[..., 0].reshape(32, 2, 32, 2).mean(axis=(1, 3))
    k, n = np.arange(8)[:, None], np.arange(32)[None]
    basis = np.cos(np.pi * k * (2 * n + 1) / 64)
    low = basis @ grey @ basis.T
    expected = np.packbits((low > np.median(low)).reshape(-1)).view(np.uint64)[0]
    assert look([image]).hashes[0] == expected


def test_the_hash_keeps_what_a_copy_changes_and_no_other_picture_has_it() -> None:
    image = smooth(0)
    brighter = np.clip(image.astype(int) + 20, 0, 255).astype(np.uint8)
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 6, image.shape), 0, 255)
    shifted = np.roll(image, 2, axis=1)
    others = [smooth(seed) for seed in range(1, 12)]
    made = [image, brighter, noisy.astype(np.uint8), shifted, *others]
    hashes = look(made).hashes
    assert max(bits(hashes[0], hashes[i]) for i in (1, 2, 3)) <= 8
    assert min(bits(hashes[0], other) for other in hashes[4:]) > 8


def test_fine_structure_has_mean_zero_and_norm_one() -> None:
    thumbnails = [smooth(1, side=64), noise(64), np.full((64, 64, 1), 9, np.uint8)]
    fine = fine_structure(np.stack(thumbnails)[..., 0])
    assert np.abs(fine.mean(axis=(1, 2))).max() < 1e-6
    norms = np.sqrt((fine.astype(np.float64) ** 2).sum(axis=(1, 2)))
    np.testing.assert_allclose(norms, [1, 1, 0], atol=1e-5)


def test_fine_structure_does_not_see_a_slow_change_of_light() -> None:
    image = noise(64)
    ramp = np.linspace(0, 60, 64)[None, :, None]
    lit = np.clip(image / 2 + ramp, 0, 255).astype(np.uint8)
    one, two = fine_structure(np.stack([image, lit])[..., 0]).reshape(2, -1)
    assert one @ two > 0.95
