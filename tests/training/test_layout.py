"""Channels last where it belongs; moments lie as their weights do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from sambench.models.model import build_model
from sambench.optim import build
from sambench.training.engine import layout_of
from sambench.training.snapshot import align_moments
from tests.training.test_loop import training, weights

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


@pytest.mark.parametrize(
    ("model", "last"),
    [("small-cnn", True), ("resnet50", True), ("vgg16", True), ("vit", False), ("swin", False)],
)
def test_convolutional_networks_go_channels_last(model: str, last: bool) -> None:
    with torch.device("meta"):
        network = build_model(model, classes=2, image_size=32, pretrained=False)
    assert (layout_of(network, GPU) == torch.channels_last) is last
    assert (layout_of(network, CPU) == torch.channels_last) is last
    assert layout_of(network, torch.device("mps")) == torch.contiguous_format


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (nn.Conv2d(3, 8, 1, stride=2), False),
        (nn.Conv2d(3, 8, 1, stride=(1, 2)), False),
        (nn.Conv2d(16, 8, 1, stride=2), True),
        (nn.Conv2d(3, 8, 1), True),
        (nn.Conv2d(3, 8, 3, stride=2), True),
    ],
)
def test_where_a_library_writes_beyond_its_memory_channels_do_not_go_last(
    first: nn.Module, last: bool
) -> None:
    network = nn.Sequential(first, nn.Conv2d(8, 8, 3))
    assert (layout_of(network, CPU) == torch.channels_last) is last
    assert layout_of(network, GPU) == torch.channels_last


def test_networks_with_a_tensor_of_five_dimensions_stay_as_they_are() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv3d(1, 4, 3))
    network.to(memory_format=layout_of(network, CPU))
    assert layout_of(network, GPU) == torch.contiguous_format


@pytest.mark.parametrize("optimizer", ["sam", "fsam", "gcsam", "crsam"])
def test_the_layout_changes_rounding_and_nothing_else(
    tmp_path: Path, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU, on SGD: both layouts sum the same products in another order."""
    given = {"optimizer": {"name": optimizer, "base": "sgd"}, "lr": 0.01}
    usual = training(tmp_path / "usual", **given)
    assert not usual.engine.described()["channels_last"]  # its network has one convolution
    usual.run()
    monkeypatch.setattr(
        "sambench.training.loop.layout_of", lambda model, device: torch.channels_last
    )
    other = training(tmp_path / "other", **given)
    assert other.engine.described()["channels_last"]
    other.run()
    assert other.model[0].weight.is_contiguous(memory_format=torch.channels_last)
    expected = weights(usual)
    for name, found in weights(other).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-5)


def test_moments_of_another_layout_are_laid_out_anew() -> None:
    model = nn.Conv2d(2, 3, 3)
    inputs = torch.randn(4, 2, 6, 6)
    optimizer = build("fsam", model.parameters(), lr=0.1)

    def closure() -> torch.Tensor:
        loss = model(inputs).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    before = {k: v.clone() for k, v in optimizer.state[model.weight].items()}
    mean = optimizer.method.memory["mean"].tensors[0].clone()
    model.to(memory_format=torch.channels_last)
    align_moments(optimizer)
    for name, value in optimizer.state[model.weight].items():
        assert torch.equal(value, before[name])
        assert value.dim() == 0 or value.stride() == model.weight.stride()
    kept = optimizer.method.memory["mean"].tensors[0]
    assert torch.equal(kept, mean)
    assert kept.stride() == model.weight.stride()
    optimizer.step(closure)
