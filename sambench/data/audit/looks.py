"""What images look like, small enough to compare each with all others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

Pixels = NDArray[np.uint8]

SIDE = 64
"""Side of a thumbnail: small enough for 35,000 of them in 140 MB, large enough to show speckle."""

FINE_SIGMA = 2.0
"""What is left of a thumbnail without its Gaussian blur of this SD is its fine structure: that is
the image's own, whereas any two chest X-rays share their broad light and dark."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Looks:
    """Images by what can be compared.

    Attributes:
        thumbnails: (N, SIDE, SIDE) uint8, grey, averaged over areas.
        digests: sha256 of each image's pixels.
    """

    thumbnails: Pixels
    digests: tuple[str, ...]


def look(images: Iterable[Pixels]) -> Looks:
    """Look at each image once.

    Args:
        images: Each (H, W, C) uint8 with C = 1 or 3.
    """
    thumbnails, digests = [], []
    for image in images:
        thumbnails.append(_thumbnail(image))
        digests.append(hashlib.sha256(image.tobytes()).hexdigest())
    stacked = np.stack(thumbnails) if thumbnails else np.zeros((0, SIDE, SIDE), np.uint8)
    return Looks(thumbnails=stacked, digests=tuple(digests))


def perceptual_hashes(thumbnails: Pixels) -> NDArray[np.uint64]:
    """Return the 64-bit perceptual hash of each thumbnail.

    The image is averaged to 32 x 32 and cosine transformed; of the 8 x 8 lowest frequencies each
    gives a bit: is it above their median? (Zauner, Implementation and Benchmarking of Perceptual
    Image Hash Functions, 2010.)
    """
    number = len(thumbnails)
    half = SIDE // 2
    averaged = thumbnails.reshape(number, half, 2, half, 2).mean(axis=(2, 4))
    low = dctn(averaged, axes=(1, 2))[:, :8, :8].reshape(number, 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    hashes: NDArray[np.uint64] = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return hashes


def fine_structure(thumbnails: Pixels) -> NDArray[np.float32]:
    """Return each thumbnail without its blur, mean 0 and norm 1; all zero where it is flat."""
    pixels = thumbnails.astype(np.float32)
    fine = pixels - gaussian_filter(pixels, (0, FINE_SIGMA, FINE_SIGMA))
    fine -= fine.mean(axis=(1, 2), keepdims=True)
    norms = np.sqrt(np.square(fine).sum(axis=(1, 2), keepdims=True))
    return np.asarray(fine / np.maximum(norms, 1e-6), dtype=np.float32)


def _thumbnail(image: Pixels) -> Pixels:
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(grey)
