"""Batches reach the device in order, whether images live there or are read for each batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sambench.data.augment import make_augmentation
from sambench.data.batches import Images, Scaling, shuffled
from sambench.models.model import IMAGENET
from sambench.training.feed import AHEAD, Feed
from sambench.training.precision import numerics
from sambench.training.replicas import ALONE, Replicas
from tests.training.test_loop import training, weights

CPU = torch.device("cpu")


def stored(folder: Path, number: int = 12) -> np.ndarray:
    """A memory map of random images, as prepared data are opened."""
    pixels = np.random.default_rng(0).integers(0, 256, (number, 8, 8, 3), dtype=np.uint8)
    np.save(folder / "images.npy", pixels)
    opened: np.ndarray = np.load(folder / "images.npy", mmap_mode="r")
    return opened


@pytest.mark.parametrize("augmentation", ["none", "standard"])
@pytest.mark.parametrize("scaling", [Scaling(), Scaling(*IMAGENET)])
def test_images_that_are_read_are_those_that_are_resident(
    tmp_path: Path, augmentation: str, scaling: Scaling
) -> None:
    images = stored(tmp_path)
    rows, labels = np.array([7, 2, 11, 4, 0]), np.arange(5)
    both = [
        Images(images, labels, CPU, scaling, rows, resident=resident) for resident in (True, False)
    ]
    assert [part.resident for part in both] == [True, False]
    assert [len(part) for part in both] == [5, 5]
    assert both[1].side == (8, 8)
    where = torch.tensor([4, 0, 2])
    (inputs, targets), (again, targets_again) = (
        part.batch(where, make_augmentation(augmentation, 3)) for part in both
    )
    assert torch.equal(inputs, again)
    assert targets.tolist() == targets_again.tolist() == [4, 0, 2]
    if augmentation == "none" and scaling == Scaling():
        expected = torch.from_numpy(images[[0, 7, 11]].transpose(0, 3, 1, 2) / 255.0).float()
        torch.testing.assert_close(inputs, expected, rtol=0, atol=1e-7)


def test_images_that_are_read_are_never_loaded_as_a_whole(tmp_path: Path) -> None:
    class Counting(np.ndarray):
        largest = 0

        def __getitem__(self, where: Any) -> Any:
            found = super().__getitem__(where)
            Counting.largest = max(Counting.largest, np.size(found) // 192)
            return found

    images = stored(tmp_path).view(Counting)
    part = Images(images, np.zeros(12, np.int64), CPU, Scaling(), resident=False)
    for _ in part.in_order(3):
        pass
    assert Counting.largest == 3


def test_a_feed_gives_each_step_its_own_images_and_draws(tmp_path: Path) -> None:
    images = Images(stored(tmp_path), np.arange(12), CPU, Scaling())
    asked: list[int] = []
    feed = Feed(images, ALONE, asked.append)  # type: ignore[func-returns-value]
    batches = shuffled(12, 5, seed=1)
    found = list(feed(batches, 1))
    assert asked == [1, 2][: len(found)]
    for batch, indices in zip(found, batches[1:], strict=True):
        assert torch.equal(batch.places, indices)
        assert torch.equal(batch.targets, indices)
        assert batch.weight == 1.0
        assert len(batch.inputs) == len(indices)


def test_replicas_get_their_shares(tmp_path: Path) -> None:
    images = Images(stored(tmp_path), np.arange(12), CPU, Scaling())
    batches = (torch.arange(12),)
    shares = [next(Feed(images, Replicas(r, 2), lambda step: None)(batches, 0)) for r in (0, 1)]
    assert [share.places.tolist() for share in shares] == [[*range(6)], [*range(6, 12)]]


def test_training_on_images_that_are_read_gives_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = training(tmp_path / "read", augmentation="flip-shift")
    assert not read.train.resident
    read.run()
    monkeypatch.setattr("sambench.data.batches.fits", lambda size, device: True)
    resident = training(tmp_path / "resident", augmentation="flip-shift")
    assert resident.train.resident
    resident.run()
    expected = weights(resident)
    assert all(torch.equal(v, expected[k]) for k, v in weights(read).items())


def test_a_turned_image_is_the_same_in_any_precision(tmp_path: Path) -> None:
    """With TensorFloat-32 its pixels would be taken from places that are a tenth of one off."""
    images = Images(stored(tmp_path), np.arange(12), CPU, Scaling())
    allowed = []

    def change(pixels: torch.Tensor) -> torch.Tensor:
        allowed.append(torch.backends.cuda.matmul.allow_tf32)
        return pixels

    with numerics("tf32"):
        next(Feed(images, ALONE, lambda step: change)((torch.arange(4),), 0))
        assert torch.backends.cuda.matmul.allow_tf32
    assert allowed == [False]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_gpu_batches_that_travel_apart_arrive_whole(tmp_path: Path) -> None:
    gpu = torch.device("cuda:0")
    images, labels = stored(tmp_path, 64), np.arange(64)
    resident = Images(images, labels, gpu, Scaling(), resident=True)
    read = Images(images, labels, gpu, Scaling(), resident=False)
    batches = shuffled(64, 4, seed=0)
    large = torch.randn(2048, 2048, device=gpu)
    feeds = [
        Feed(part, ALONE, lambda step: make_augmentation("standard", step))
        for part in (resident, read)
    ]
    for one, other in zip(feeds[0](batches, 0), feeds[1](batches, 0), strict=True):
        for _ in range(20):  # keep the device behind, so that batches wait for their steps
            large = large @ large / large.norm()
        assert torch.equal(one.inputs.cpu(), other.inputs.cpu())
        assert torch.equal(one.places.cpu(), other.places.cpu())
        assert len(feeds[1]._computed) <= AHEAD
