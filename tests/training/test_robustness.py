from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sambench.training.evaluate as module
from sambench.data.batches import Images, Scaling
from sambench.data.shifts import SEVERITIES, STRENGTHS, Draws, shifted
from sambench.training.evaluate import robust_accuracy

CPU = torch.device("cpu")
IDS = [f"image{number}" for number in range(50)]


class Brightness(nn.Module):
    """Names the class by the mean grey: exact on bright and dark images."""

    def forward(self, inputs: Tensor) -> Tensor:
        mean = inputs.mean(dim=(1, 2, 3))
        return torch.stack([0.45 - mean, mean - 0.45], dim=1)


@pytest.fixture
def part() -> Images:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 50)
    level = np.where(labels, 140, 90)[:, None, None, None]
    pixels = np.clip(level + generator.normal(0, 25, (50, 16, 16, 1)), 0, 255)
    return Images(pixels.astype(np.uint8), labels, CPU, Scaling())


@pytest.mark.parametrize("family", STRENGTHS)
def test_it_is_the_accuracy_on_the_disturbed_images(part: Images, family: str) -> None:
    """Against disturbing all images at once and counting by hand."""
    model = Brightness()
    found = robust_accuracy(model, part, IDS, family)
    drawn = Draws.of(IDS, 16, 16, CPU)
    expected = []
    for name in STRENGTHS[family]:
        for severity, accuracy in zip(SEVERITIES, found[name], strict=True):
            inputs, labels = part.batch(
                torch.arange(50),
                lambda x, n=name, s=severity: shifted(x, family, n, s, drawn),
            )
            right = (model(inputs).argmax(dim=1) == labels).double().mean().item()
            assert accuracy == pytest.approx(right, abs=1e-12)
            expected.append(right)
    assert found["mean"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert found["shifts"] == family
    assert found["severities"] == [1, 2, 3, 4, 5]
    assert len(set(expected)) > 2, "the disturbances change something"


@pytest.mark.parametrize("size", [1, 7, 50])
def test_the_size_of_batches_does_not_matter(
    part: Images, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = robust_accuracy(Brightness(), part, IDS, "xray")
    monkeypatch.setattr(module, "BATCH_SIZE", size)
    assert robust_accuracy(Brightness(), part, IDS, "xray") == expected


def test_the_network_is_left_in_its_mode(part: Images) -> None:
    model = Brightness().train()
    robust_accuracy(model, part, IDS, "ultrasound")
    assert model.training
