from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from sambench.config.run_config import RunConfig
from sambench.data.shifts import SEVERITIES, STRENGTHS, Draws, shifted
from sambench.files.description import described

CPU = torch.device("cpu")
IDS = [f"image{number}" for number in range(24)]
ALL = [(family, name) for family, names in STRENGTHS.items() for name in names]


def grey(level: int, side: int = 64, number: int = len(IDS)) -> Tensor:
    return torch.full((number, 1, side, side), level, dtype=torch.uint8)


def draws(side: int = 64, number: int = len(IDS)) -> Draws:
    return Draws.of(IDS[:number], side, side, CPU)


def picture(side: int = 64) -> Tensor:
    field = gaussian_filter(np.random.default_rng(0).normal(size=(side, side)), 2)
    image = 128 + 40 * field / field.std()
    pixels = torch.from_numpy(np.clip(image, 0, 255).astype(np.uint8))
    return pixels.expand(len(IDS), 1, side, side).clone()


def test_the_settings_name_every_family() -> None:
    choices = {field.name: field.choices for field in described(RunConfig)}
    assert choices["shifts"] == ("none", *STRENGTHS)
    assert all(len(a) == len(SEVERITIES) for names in STRENGTHS.values() for a in names.values())


@pytest.mark.parametrize("severity", SEVERITIES)
def test_speckle_has_the_stated_spread(severity: int) -> None:
    strength = STRENGTHS["ultrasound"]["speckle"][severity - 1]
    found = shifted(grey(60), "ultrasound", "speckle", severity, draws()).double() / 60
    # 98,304 draws; at the strongest a share of them is cut off at black
    assert found.mean().item() == pytest.approx(1, abs=0.02)
    assert found.std().item() == pytest.approx(strength, rel=0.05)


def test_speckle_leaves_black_black() -> None:
    assert shifted(grey(0), "ultrasound", "speckle", 5, draws()).max() == 0


@pytest.mark.parametrize("level", [40, 160])
def test_quantum_noise_grows_with_the_root_of_the_exposure(level: int) -> None:
    photons = STRENGTHS["xray"]["noise"][2]
    found = shifted(grey(level), "xray", "noise", 3, draws()).double() / 255
    expected = (level / 255 / photons) ** 0.5
    assert found.std().item() == pytest.approx(expected, rel=0.03)
    assert found.mean().item() == pytest.approx(level / 255, abs=0.002)


def test_gain_of_ultrasound_adds_and_of_x_rays_multiplies() -> None:
    drawn = draws()
    signs = drawn.signs.flatten()
    added = shifted(grey(100), "ultrasound", "gain", 2, drawn)[:, 0, 0, 0]
    assert torch.equal(added, (100 + signs * 255 * 6 / 60).round().to(torch.uint8))
    multiplied = shifted(grey(100), "xray", "gain", 2, drawn)[:, 0, 0, 0]
    assert torch.equal(multiplied, (100 * (1 + 0.2 * signs)).round().to(torch.uint8))
    assert set(signs.tolist()) == {-1, 1}


def test_gamma_bends_the_grey_map_either_way() -> None:
    drawn = draws()
    found = shifted(grey(64), "ultrasound", "gamma", 5, drawn)[:, 0, 0, 0]
    brighter, darker = round(255 * (64 / 255) ** 0.5), round(255 * (64 / 255) ** 2)
    expected = torch.where(drawn.signs.flatten() < 0, brighter, darker).to(torch.uint8)
    assert torch.equal(found, expected)
    for end in (0, 255):
        assert (shifted(grey(end), "xray", "gamma", 5, drawn) == end).all()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_is_gaussian_in_pixels_of_an_image_of_256(severity: int) -> None:
    wide = torch.full((1, 1, 256, 256), 0, dtype=torch.uint8)
    wide[..., 100:150, 90:170] = 200
    deviation = STRENGTHS["xray"]["blur"][severity - 1]
    found = shifted(wide, "xray", "blur", severity, draws(256, 1))[0, 0].double().numpy()
    expected = gaussian_filter(wide[0, 0].double().numpy(), deviation, truncate=3, mode="mirror")
    assert np.abs(found - expected).max() < 2  # rounded, and the kernel ends at three SD


@pytest.mark.parametrize(("family", "name"), ALL)
def test_each_severity_is_farther_from_the_original(family: str, name: str) -> None:
    image, drawn = picture(), draws()
    distances = [
        (shifted(image, family, name, severity, drawn).double() - image.double()).square().mean()
        for severity in SEVERITIES
    ]
    assert all(one < two for one, two in itertools.pairwise(distances))
    assert distances[0] > 0


@pytest.mark.parametrize(("family", "name"), ALL)
def test_a_batch_is_disturbed_as_its_images_are_alone(family: str, name: str) -> None:
    image = picture(32)
    together = shifted(image, family, name, 3, draws(32))
    for index in (0, 7, 23):
        alone = Draws.of([IDS[index]], 32, 32, CPU)
        one = shifted(image[index : index + 1], family, name, 3, alone)
        # a grey level where the sum of the blur is taken in another order
        assert (one[0].int() - together[index].int()).abs().max() <= (name == "blur")


def test_colour_images_are_disturbed_alike_in_all_channels() -> None:
    colour = picture(32).expand(-1, 3, -1, -1)
    for family, name in ALL:
        found = shifted(colour, family, name, 4, draws(32))
        assert found.shape == colour.shape
        assert torch.equal(found[:, 0], found[:, 2])


def test_the_global_generator_is_not_touched() -> None:
    state = torch.random.get_rng_state()
    draws()
    assert torch.equal(torch.random.get_rng_state(), state)
