"""Images as batches of float tensors: kept as uint8 on the device where they fit, else read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sambench.models.model import CHANNELS

Augmentation = Callable[[Tensor], Tensor]

_RESIDENT_SHARE = 0.5
"""Share of a device's free memory that images may take; beyond it each batch is read from disk."""


@dataclass(frozen=True)
class Scaling:
    """Maps pixel values 0..255 to the network's input: `(pixel / 255 - mean) / std`."""

    mean: float | tuple[float, ...] = 0.0  # one number, or one for each of the three channels
    std: float | tuple[float, ...] = 1.0  # likewise

    @classmethod
    def of(cls, images: Iterable[NDArray[np.uint8]]) -> Scaling:
        """Return the scaling to mean 0 and SD 1 over all pixels of the images."""
        histogram = np.zeros(256)
        for image in images:
            histogram += np.bincount(image.reshape(-1), minlength=256)
        share = histogram / histogram.sum()
        values = np.arange(256) / 255
        mean = float(share @ values)
        return cls(mean, float(np.sqrt(share @ (values - mean) ** 2)) or 1.0)


class Images:
    """One part of a dataset: the `rows` (n,) of the images (N, H, W, C), or all, and their labels.

    Images have C = 1 or 3 and may be a memory map. `resident` ones are kept on the device (where
    not told, if those of so many `runs` fit there). Otherwise each batch is read from the array, so
    a memory map is never loaded as a whole.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        device: torch.device,
        scaling: Scaling,
        rows: NDArray[np.int64] | None = None,
        *,
        resident: bool | None = None,
        runs: int = 1,
    ) -> None:
        self.device = device
        self.labels = torch.from_numpy(np.array(labels)).to(device)
        self._images = images
        self._rows = np.arange(len(images)) if rows is None else rows
        self.side = (images.shape[1], images.shape[2])  # height and width in pixels
        size = len(self._rows) * int(np.prod(images.shape[1:]))
        self.resident = fits(runs * size, device) if resident is None else resident
        self._pixels = self._read(slice(None)).to(device) if self.resident else None
        self._mean, self._std = (
            255 * torch.tensor(value, dtype=torch.float32, device=device).reshape(-1, 1, 1)
            for value in (scaling.mean, scaling.std)
        )

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self,
        indices: Tensor,
        augment: Augmentation | None = None,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> tuple[Tensor, Tensor]:
        """Return inputs (B, 3, H, W) float32 and labels (B,) on the device.

        The `indices` (B,) are on the CPU; `augment` was drawn for this batch. The inputs lie in
        memory as `layout` says: laying bytes out anew costs a fraction of what numbers cost.
        """
        here = sent(indices, self.device)
        there = self._pixels
        pixels = sent(self._read(indices.numpy()), self.device) if there is None else there[here]
        if augment is not None:
            pixels = augment(pixels)
        values = pixels.to(torch.float32, memory_format=layout)
        if len(self._mean) > 1:
            values = _in_all_channels(values, layout)
        values.sub_(self._mean).div_(self._std)
        return _in_all_channels(values, layout), self.labels[here]

    def in_order(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield unaugmented batches in the fixed order, the incomplete last one included."""
        for indices in torch.arange(len(self)).split(batch_size):
            yield self.batch(indices)

    def _read(self, which: slice | NDArray[np.int64]) -> Tensor:
        """Return some images from the array, shape (n, C, H, W), in memory of their own."""
        chosen = self._images[self._rows[which]]
        return torch.from_numpy(np.ascontiguousarray(chosen.transpose(0, 3, 1, 2)))


def _in_all_channels(values: Tensor, layout: torch.memory_format) -> Tensor:
    return values.expand(-1, CHANNELS, -1, -1).contiguous(memory_format=layout)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a CPU tensor on the device without waiting for it, which takes pinned memory."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # torch reuses it once copied


def fits(size: int, device: torch.device) -> bool:
    """Whether a GPU may hold so many bytes of images; a CPU reads a memory map, as fast."""
    if device.type != "cuda":
        return False
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return size <= _RESIDENT_SHARE * (torch.cuda.mem_get_info(device)[0] + cached)


def shuffled(
    number: int, batch_size: int, seed: int, *, least: int = 2, balance: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Return the indices 0..number-1 in random order, in batches.

    A last batch of fewer than `least` images joins the one before it: batch normalisation cannot
    train on one. Where `balance` has labels, shape (number,), on the CPU, as many images are drawn
    with replacement, each class with the same probability.
    """
    generator = torch.Generator().manual_seed(seed)
    if balance is None:
        order = torch.randperm(number, generator=generator)
    else:
        rarity = 1.0 / torch.bincount(balance)[balance].double()
        order = torch.multinomial(rarity, number, replacement=True, generator=generator)
    batches = list(order.split(batch_size))
    if len(batches) > 1 and len(batches[-1]) < least:
        batches[-2:] = [torch.cat(batches[-2:])]
    return tuple(batches)
