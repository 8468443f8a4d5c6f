"""Random changes to training images, applied to a whole batch at once, and to training labels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sambench.data.batches import Augmentation, sent

Labels = NDArray[np.int64]
Change = Callable[[Tensor, torch.Generator], Tensor]

SHIFT = 1 / 8  # largest shift as a share of the side: CIFAR's four of 32 pixels
ROTATION, SCALE = 10.0, 0.1  # of `standard`: largest rotation in degrees, largest change of size
BRIGHTNESS, CONTRAST = 0.1, 0.2
"""Of `standard`: largest change as a share of the range of grey, and of the contrast."""


def make_augmentation(name: str, seed: int) -> Augmentation | None:
    """Return one of `AUGMENTATIONS` with its own generator for a batch, or None for "none"."""
    if name == "none":
        return None
    change = AUGMENTATIONS[name]
    generator = torch.Generator().manual_seed(seed)
    return lambda pixels: change(pixels, generator)


def mirror_and_shift(pixels: Tensor, generator: torch.Generator, *, repeat_edges: bool) -> Tensor:
    """Mirror each image with probability 1/2 and shift it by up to an eighth of its side.

    What comes in from outside repeats the edge or is black; no pixel of the (B, C, H, W) is
    interpolated. Black is CIFAR's usual augmentation: padding by an eighth of the side with zeros,
    cropping at random to the old size, and mirroring (Krizhevsky 2012; He et al. 2016). Windows are
    copied row by row, which is several times as fast as pixel by pixel.
    """
    number, _, height, width = pixels.shape
    reach = max(1, round(SHIFT * width))
    shifts = torch.randint(-reach, reach + 1, (number, 2), generator=generator)
    mirrored = torch.rand(number, generator=generator) < 0.5
    down, right = shifts.unbind(1)
    across = torch.where(mirrored, -right, right)
    image = functional.pad(pixels, [reach] * 4)
    if repeat_edges:  # what torch's own padding does not for bytes
        image[:, :, :reach] = image[:, :, reach, None]
        image[:, :, -reach:] = image[:, :, -reach - 1, None]
        image[..., :reach] = image[..., reach, None]
        image[..., -reach:] = image[..., -reach - 1, None]
    windows = torch.stack([image, image.flip(3)]).unfold(3, height, 1).unfold(4, width, 1)
    places = [mirrored.long(), torch.arange(number), down + reach, across + reach]
    side, which, top, left = sent(torch.stack(places), pixels.device)
    return windows[side, which, :, top, left]


def standard(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror, rotate and scale a little, change brightness and contrast a little.

    Each image is mirrored with probability 1/2, rotated by up to 10 degrees and scaled by up to
    10 % (one bilinear interpolation, edges repeated); its contrast around its own mean changes by
    up to 20 %, its brightness by up to 10 % of the range. Square images of values 0..255, shape
    (B, C, H, W), become float32 of that range.
    """
    number, here = len(pixels), pixels.device
    draws = torch.rand(number, 5, generator=generator)
    mirror = torch.where(draws[:, 0] < 0.5, -1.0, 1.0)
    angle = math.radians(ROTATION) * (2 * draws[:, 1] - 1)
    scale = 1 + SCALE * (2 * draws[:, 2] - 1)
    contrast = sent(1 + CONTRAST * (2 * draws[:, 3] - 1), here)[:, None, None, None]
    brightness = sent(255 * BRIGHTNESS * (2 * draws[:, 4] - 1), here)[:, None, None, None]
    cosine, sine, nothing = torch.cos(angle) / scale, torch.sin(angle) / scale, torch.zeros(number)
    rows = [mirror * cosine, -sine, nothing, mirror * sine, cosine, nothing]
    where = sent(torch.stack(rows, dim=1).reshape(number, 2, 3), here)
    grid = functional.affine_grid(where, list(pixels.shape), align_corners=False)
    image = functional.grid_sample(
        pixels.to(torch.float32), grid, padding_mode="border", align_corners=False
    )
    mean = image.mean(dim=(1, 2, 3), keepdim=True)
    return ((image - mean) * contrast + mean + brightness).clamp_(0, 255)


AUGMENTATIONS: Mapping[str, Change] = {
    "flip-shift": partial(mirror_and_shift, repeat_edges=True),
    "pad-crop-flip": partial(mirror_and_shift, repeat_edges=False),
    "standard": standard,
}
"""Every augmentation but "none"; each takes a batch and a generator on the CPU."""


def with_wrong_labels(
    labels: Labels, ids: Sequence[str], classes: int, share: float, seed: int
) -> Labels:
    """Return the labels with symmetric noise: exactly `round(share * N)` of them are wrong.

    This is the classic test of what an optimizer memorises (Foret et al. 2021).
    Which images, and which of the other classes each gets, follows from a hash of seed and id:
    neither order nor a library's version matters, and with a larger share the images that were
    wrong stay so. `classes` is how many there are, two or more.
    """
    number = round(share * len(labels))
    draws = [hashlib.sha256(f"label-noise:{seed}:{id}".encode()).digest() for id in ids]
    chosen = sorted(range(len(ids)), key=draws.__getitem__)[:number]
    wrong = labels.copy()
    for index in chosen:
        step = 1 + int.from_bytes(draws[index][-8:]) % (classes - 1)
        wrong[index] = (labels[index] + step) % classes
    return wrong
