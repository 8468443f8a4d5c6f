from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sambench.data.batches import Images, Scaling, fits, shuffled
from sambench.models.model import IMAGENET

CPU = torch.device("cpu")


def pixels(number: int = 5, channels: int = 1, side: int = 4) -> NDArray[np.uint8]:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (number, side, side, channels), dtype=np.uint8)


def images(array: NDArray[np.uint8], scaling: Scaling | None = None) -> Images:
    labels = np.arange(len(array), dtype=np.int64) % 2
    return Images(array, labels, CPU, scaling or Scaling())


def test_grey_images_repeat_their_channel() -> None:
    array = pixels()
    inputs, labels = images(array).batch(torch.tensor([3, 1]))
    expected = array[[3, 1]].astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255)
    assert inputs.shape == (2, 3, 4, 4)
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous()
    for channel in range(3):
        assert np.array_equal(inputs[:, channel].numpy(), expected[:, 0])
    assert labels.tolist() == [1, 1]
    assert labels.dtype == torch.int64


def test_colour_images_keep_their_channels() -> None:
    array = pixels(channels=3)
    inputs, _ = images(array).batch(torch.arange(5))
    expected = array.astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255)
    assert np.array_equal(inputs.numpy(), expected)


def test_black_and_white_are_zero_and_one() -> None:
    array = np.array([[[[0]]], [[[255]]]], dtype=np.uint8)
    inputs, _ = images(array).batch(torch.arange(2))
    assert inputs.flatten().tolist() == [0, 0, 0, 1, 1, 1]


def test_standard_scaling_gives_mean_zero_and_sd_one() -> None:
    array = pixels(50, channels=3)
    scaling = Scaling.of(iter(array))  # one by one: they need not fit into memory
    assert scaling.mean == pytest.approx((array / 255).mean(), abs=1e-12)
    assert scaling.std == pytest.approx((array / 255).std(), abs=1e-12)
    inputs, _ = images(array, scaling).batch(torch.arange(50))
    assert inputs.mean().item() == pytest.approx(0, abs=1e-5)
    assert inputs.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_images_of_one_value_are_not_divided_by_zero() -> None:
    assert Scaling.of(np.full((2, 3, 3, 1), 51, np.uint8)) == Scaling(pytest.approx(0.2), 1.0)


@pytest.mark.parametrize("channels", [1, 3])
def test_imagenet_scaling_is_torchvisions(channels: int) -> None:
    from torchvision.models import ResNet18_Weights
    from torchvision.transforms.v2.functional import normalize

    preset = ResNet18_Weights.DEFAULT.transforms()
    array = pixels(4, channels)
    inputs, _ = images(array, Scaling(*IMAGENET)).batch(torch.arange(4))
    plain, _ = images(array).batch(torch.arange(4))
    torch.testing.assert_close(inputs, normalize(plain, preset.mean, preset.std))
    assert inputs.is_contiguous()


def test_the_side_is_height_and_width() -> None:
    assert images(pixels(2)[:, :3]).side == (3, 4)


@pytest.mark.parametrize("scaling", [Scaling(), Scaling(0.4, 0.2), Scaling(*IMAGENET)])
def test_an_image_is_the_same_in_any_batch_and_order(scaling: Scaling) -> None:
    part = images(pixels(20, channels=3), scaling)
    everything, labels = part.batch(torch.arange(20))
    order = torch.from_numpy(np.random.default_rng(0).permutation(20))
    mixed, mixed_labels = part.batch(order)
    assert torch.equal(mixed, everything[order])
    assert torch.equal(mixed_labels, labels[order])
    for size in (1, 7, 20):
        assert torch.equal(torch.cat([x for x, _ in part.in_order(size)]), everything)


def test_in_order_yields_everything_once() -> None:
    array = pixels(5)
    batches = list(images(array).in_order(2))
    assert [len(labels) for _, labels in batches] == [2, 2, 1]
    together = torch.cat([inputs for inputs, _ in batches])
    assert torch.equal(together, images(array).batch(torch.arange(5))[0])


def test_a_batch_is_a_copy() -> None:
    array = pixels()
    part = images(array)
    part.batch(torch.arange(5))[0].zero_()
    again, _ = part.batch(torch.arange(5))
    assert again.abs().sum() > 0


def test_augmentation_sees_the_raw_pixels_of_the_batch() -> None:
    seen: list[torch.Tensor] = []

    def augment(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch.clone())
        return batch.flip(-1)

    array = pixels()
    part = images(array)
    inputs, _ = part.batch(torch.tensor([2]), augment)
    assert seen[0].dtype == torch.uint8
    assert np.array_equal(seen[0].numpy(), array[[2]].transpose(0, 3, 1, 2))
    assert torch.equal(inputs, part.batch(torch.tensor([2]))[0].flip(-1))


def test_a_cpu_reads_the_array_that_all_processes_share() -> None:
    """Copies of their own would be as many as there are workers, and need not fit into memory."""
    array = pixels(7)
    part = images(array)
    assert len(part) == 7
    assert not part.resident
    array[3] = 255
    assert (part.batch(torch.tensor([3]))[0] == 1).all()


@pytest.mark.parametrize(
    ("free", "reserved", "allocated", "expected"),
    [
        (200, 0, 0, True),
        (199, 0, 0, False),
        (50, 170, 20, True),  # a run before has given 150 back, which torch keeps
        (50, 170, 21, False),
    ],
)
def test_images_live_on_a_gpu_if_they_take_half_of_its_memory_at_most(
    monkeypatch: pytest.MonkeyPatch, free: int, reserved: int, allocated: int, expected: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated)
    assert fits(100, torch.device("cuda:0")) is expected


@pytest.mark.parametrize(
    ("number", "batch_size", "sizes"),
    [
        (10, 4, [4, 4, 2]),
        (9, 4, [4, 5]),
        (8, 4, [4, 4]),
        (1, 4, [1]),
        (3, 10, [3]),
        (5, 2, [2, 3]),
    ],
)
def test_no_batch_of_a_single_image(number: int, batch_size: int, sizes: list[int]) -> None:
    batches = shuffled(number, batch_size, 0)
    assert [len(batch) for batch in batches] == sizes
    assert sorted(torch.cat(batches).tolist()) == list(range(number))


def test_the_seed_decides_the_order() -> None:
    one, again, other = (torch.cat(shuffled(100, 10, seed)).tolist() for seed in (3, 3, 4))
    assert one == again
    assert one != other
    assert one != sorted(one)


def test_balanced_draws_take_each_class_equally_often() -> None:
    """Of 10,000 draws with probability 1/2 each the SD is 50: five of them are 250."""
    labels = torch.tensor([0] * 9_000 + [1] * 1_000)
    drawn = torch.cat(shuffled(10_000, 32, 0, balance=labels))
    assert len(drawn) == 10_000
    assert abs(int(labels[drawn].sum()) - 5_000) < 250
    assert len(drawn[labels[drawn] == 1].unique()) > 900  # all of a class alike
    again = torch.cat(shuffled(10_000, 32, 0, balance=labels))
    assert torch.equal(drawn, again)


def test_shuffling_leaves_the_global_generator_alone() -> None:
    state = torch.random.get_rng_state()
    shuffled(10, 2, 0)
    assert torch.equal(torch.random.get_rng_state(), state)
