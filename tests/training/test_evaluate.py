"""Accuracy does not change with the size of batches or the order of the images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import sambench.training.evaluate as module
from sambench.data.batches import Images, Scaling
from sambench.models.model import build_model
from sambench.training.evaluate import classification_metrics, predict

CPU = torch.device("cpu")


@pytest.fixture
def as_before() -> Iterator[None]:
    switches = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [switch.allow_tf32 for switch in switches]
    yield
    for switch, allowed in zip(switches, before, strict=True):
        switch.allow_tf32 = allowed


@pytest.fixture
def case() -> tuple[torch.nn.Module, np.ndarray, np.ndarray]:
    """A network with batch normalisation that has seen some batches, and 90 images."""
    torch.manual_seed(0)
    model = build_model("small-cnn", classes=3, image_size=32, pretrained=False)
    model.train()
    for _ in range(3):
        model(torch.rand(16, 3, 32, 32))
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (90, 32, 32, 1), dtype=np.uint8)
    return model, pixels, generator.integers(0, 3, 90)


@pytest.mark.usefixtures("as_before")
def test_predictions_are_in_float32(case) -> None:
    """Torch allows TensorFloat-32 in convolutions by default, and a run in it in all products."""
    model, pixels, labels = case
    cudnn, products, seen = torch.backends.cudnn, torch.backends.cuda.matmul, set()
    cudnn.allow_tf32 = products.allow_tf32 = True
    model.register_forward_hook(lambda *_: seen.add((cudnn.allow_tf32, products.allow_tf32)))
    predict(model, Images(pixels, labels, CPU, Scaling()))
    assert seen == {(False, False)}
    assert cudnn.allow_tf32
    assert products.allow_tf32


def test_float64_is_taken_off_the_device(case, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Apple GPU, where `load_run` may have put the network, has none."""
    model, pixels, labels = case
    left: list[torch.dtype] = []
    to_cpu = torch.Tensor.cpu

    def noted(tensor: torch.Tensor) -> torch.Tensor:
        left.append(tensor.dtype)
        return to_cpu(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", noted)
    found = predict(model, Images(pixels, labels, CPU, Scaling()))
    assert left == [torch.float32]
    assert found.dtype == np.float64


@pytest.mark.parametrize("size", [1, 13, 64, 90])
def test_the_size_of_batches(case, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, pixels, labels = case
    part = Images(pixels, labels, CPU, Scaling())
    monkeypatch.setattr(module, "BATCH_SIZE", 90)
    whole = predict(model, part)
    monkeypatch.setattr(module, "BATCH_SIZE", size)
    found = predict(model, part)
    # float32 sums of a convolution may be taken in another order
    np.testing.assert_allclose(found, whole, atol=1e-5)
    accuracies = {classification_metrics(p, labels)["accuracy"] for p in (whole, found)}
    assert len(accuracies) == 1


def test_the_order_of_the_images(case) -> None:
    model, pixels, labels = case
    order = np.random.default_rng(1).permutation(90)
    straight = predict(model, Images(pixels, labels, CPU, Scaling()))
    mixed = predict(model, Images(pixels[order], labels[order], CPU, Scaling()))
    np.testing.assert_allclose(mixed, straight[order], atol=1e-5)
    assert (
        classification_metrics(mixed, labels[order])["accuracy"]
        == classification_metrics(straight, labels)["accuracy"]
    )
