from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from sambench.config.run_config import PAPERS, RunConfig
from sambench.data.augment import AUGMENTATIONS, make_augmentation, standard
from sambench.files.description import described


def picture(number: int = 1, side: int = 16, channels: int = 1) -> Tensor:
    """Images whose pixels are all different."""
    count = number * channels * side * side
    return torch.arange(count, dtype=torch.int32).reshape(number, channels, side, side)


def changed(pixels: Tensor, seed: int) -> Tensor:
    return AUGMENTATIONS["flip-shift"](pixels, torch.Generator().manual_seed(seed))


def shifted(image: Tensor, rows: int, columns: int, mirrored: bool) -> Tensor:
    """Move an image by whole pixels, its edges repeated; written with padding as an oracle."""
    image = image.flip(-1) if mirrored else image
    height, width = image.shape[-2:]
    reach = 4
    padded = torch.nn.functional.pad(image[None].double(), (reach,) * 4, mode="replicate")[0]
    top, left = reach + rows, reach + columns
    return padded[:, top : top + height, left : left + width].to(image.dtype)


def test_none() -> None:
    assert make_augmentation("none", 0) is None


def test_every_result_is_a_mirrored_shift_of_up_to_an_eighth() -> None:
    pixels = picture(channels=3)
    found = set()
    moves = [(r, c, m) for r in range(-2, 3) for c in range(-2, 3) for m in (False, True)]
    expected = {move: shifted(pixels[0], *move) for move in moves}
    for seed in range(300):
        result = changed(pixels, seed)[0]
        matching = [move for move, image in expected.items() if torch.equal(image, result)]
        assert len(matching) == 1
        found.update(matching)
    assert len(found) > 45


def test_half_of_the_images_are_mirrored() -> None:
    ramp = torch.arange(16).expand(1000, 1, 16, 16)
    result = changed(ramp, 0)
    mirrored = (result[:, 0, 0, 0] > result[:, 0, 0, -1]).sum()
    assert 420 <= mirrored <= 580


def test_each_image_of_a_batch_is_drawn_for_itself() -> None:
    pixels = picture().expand(64, -1, -1, -1)
    distinct = {tuple(image.flatten().tolist()) for image in changed(pixels, 0)}
    assert len(distinct) > 30


@pytest.mark.parametrize("type", [torch.uint8, torch.float32])
def test_the_type_and_the_originals_stay(type: torch.dtype) -> None:
    pixels = (picture(2) % 256).to(type)
    before = pixels.clone()
    assert changed(pixels, 0).dtype == type
    assert torch.equal(pixels, before)


def test_the_seed_decides() -> None:
    pixels = picture(8)
    one, two = make_augmentation("flip-shift", 5), make_augmentation("flip-shift", 6)
    again = make_augmentation("flip-shift", 5)
    assert one is not None
    assert two is not None
    assert again is not None
    first = one(pixels)
    assert torch.equal(first, again(pixels))
    assert not torch.equal(first, two(pixels))


def test_the_global_generator_is_not_touched() -> None:
    state = torch.random.get_rng_state()
    changed(picture(4), 0)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_image_too_small_for_an_eighth_moves_by_one_pixel() -> None:
    results = {tuple(changed(picture(side=3), seed).flatten().tolist()) for seed in range(100)}
    assert len(results) == 18


def test_every_named_augmentation_is_a_setting() -> None:
    choices = {field.name: field.choices for field in described(RunConfig)}
    assert choices["augmentation"] == ("none", *AUGMENTATIONS, PAPERS)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_augmentation(name: str, channels: int) -> None:
    pixels = (picture(6, channels=channels) % 256).to(torch.uint8)
    before = pixels.clone()
    state = torch.random.get_rng_state()
    results = [
        AUGMENTATIONS[name](pixels, torch.Generator().manual_seed(seed)).float()
        for seed in (0, 0, 1)
    ]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert results[0].shape == pixels.shape
    assert results[0].min() >= 0
    assert results[0].max() <= 255
    assert torch.equal(pixels, before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_pad_crop_flip_is_what_its_name_says() -> None:
    """Against torch's own padding and slicing: every result is a crop of the padded image."""
    pixels = picture(channels=3) + 1
    padded = torch.nn.functional.pad(pixels, (2, 2, 2, 2))[0]
    expected = {}
    for row, column in itertools.product(range(5), range(5)):
        crop = padded[:, row : row + 16, column : column + 16]
        expected[row, column, False], expected[row, column, True] = crop, crop.flip(-1)
    found = set()
    for seed in range(300):
        result = AUGMENTATIONS["pad-crop-flip"](pixels, torch.Generator().manual_seed(seed))[0]
        matching = [move for move, image in expected.items() if torch.equal(image, result)]
        assert len(matching) == 1
        found.update(matching)
    assert len(found) > 45


def test_standard_keeps_a_flat_image_flat_and_changes_its_brightness() -> None:
    pixels = torch.full((500, 1, 8, 8), 100, dtype=torch.uint8)
    result = standard(pixels, torch.Generator().manual_seed(0))
    assert (result.amax(dim=(1, 2, 3)) - result.amin(dim=(1, 2, 3))).max() < 1e-3
    levels = result[:, 0, 0, 0]
    assert levels.min() >= 100 - 25.5 - 1e-3
    assert levels.max() <= 100 + 25.5 + 1e-3
    assert levels.mean().item() == pytest.approx(100, abs=3)  # an SD of the mean is 0.66
    assert levels.std().item() == pytest.approx(51 / 12**0.5, rel=0.1)


def test_standard_rotates_scales_and_mirrors_within_its_bounds() -> None:
    """Two bright dots show where the middle and the right went."""
    side = 101
    pixels = torch.zeros(400, 1, side, side, dtype=torch.uint8)
    pixels[:, :, 48:53, 48:53] = 120
    pixels[:, :, 48:53, 78:83] = 250
    image = standard(pixels, torch.Generator().manual_seed(0))[:, 0]
    weight = (image - image.amin(dim=(1, 2), keepdim=True)).square()
    weight = torch.where(weight > 0.6 * weight.amax(dim=(1, 2), keepdim=True), weight, 0.0)
    place = torch.arange(side) - 50.0
    total = weight.sum(dim=(1, 2))
    right = (weight.sum(dim=1) * place).sum(dim=1) / total
    down = (weight.sum(dim=2) * place).sum(dim=1) / total
    distance, angle = torch.hypot(right, down) / 30, torch.atan2(down, right.abs())
    assert 0.88 < distance.min() < 0.93
    assert 1.07 < distance.max() < 1.12
    degrees = angle.abs().rad2deg()
    assert 8.5 < degrees.max() < 10.5
    assert 150 < (right < 0).sum() < 250
