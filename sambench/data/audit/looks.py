"""What images look like, small enough to compare each with all others."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

Pixels = NDArray[np.uint8]

SIDE = 64  # side of a thumbnail, large enough to show speckle; smaller images keep their own side
FINE_SIGMA = 2.0
"""What is left of a thumbnail without its Gaussian blur of this SD is its fine structure: that is
the image's own, whereas any two chest X-rays share their broad light and dark."""

_BLOCK = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Looks:
    """Images by what can be compared; those that are not `textured` are flat."""

    hashes: NDArray[np.uint64]  # (N,) perceptual hashes
    digests: Sequence[bytes]  # first half of the sha256 of each image's pixels
    textured: NDArray[np.bool_]
    fine: NDArray[np.float16]  # (N, side, side) fine structure, each of norm 1 or flat, on disk


def look(images: Iterable[Pixels]) -> Looks:
    """Look at each image (H, W, C) once, in blocks; much room is taken in a temporary file."""
    hashes = [np.zeros(0, np.uint64)]
    textured: list[NDArray[np.bool_]] = [np.zeros(0, bool)]
    digests: list[bytes] = []
    side, source = SIDE, iter(images)
    with tempfile.TemporaryFile() as file:
        while block := list(itertools.islice(source, _BLOCK)):
            side = min(SIDE, *block[0].shape[:2])
            digests += [hashlib.sha256(image.tobytes()).digest()[:16] for image in block]
            colours = (image[..., 0] if image.shape[-1] == 1 else image for image in block)
            grey = [Image.fromarray(pixels).convert("L") for pixels in colours]
            hashes.append(perceptual_hashes(np.stack([_thumbnail(image, SIDE) for image in grey])))
            fine = fine_structure(np.stack([_thumbnail(image, side) for image in grey]))
            textured.append(np.asarray(fine.any(axis=(1, 2))))
            file.write(fine.astype(np.float16).tobytes())  # float16 errs by 0.05 %
        file.flush()
        kept = np.memmap(file, np.float16, "r") if digests else np.zeros(0, np.float16)
    return Looks(
        hashes=np.concatenate(hashes),
        digests=digests,
        textured=np.concatenate(textured),
        fine=kept.reshape(-1, side, side),
    )


def perceptual_hashes(thumbnails: Pixels) -> NDArray[np.uint64]:
    """Return the 64-bit perceptual hash of each thumbnail, (N, 64, 64).

    The image is averaged to 32 x 32 and cosine transformed; of the 8 x 8 lowest frequencies each
    gives a bit: is it above their median? (Zauner, Implementation and Benchmarking of Perceptual
    Image Hash Functions, 2010.)
    """
    number, half = len(thumbnails), SIDE // 2
    averaged = thumbnails.reshape(number, half, 2, half, 2).mean(axis=(2, 4))
    low = dctn(averaged, axes=(1, 2))[:, :8, :8].reshape(number, 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    hashes: NDArray[np.uint64] = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return hashes


def fine_structure(thumbnails: Pixels) -> NDArray[np.float32]:
    """Return each thumbnail without its blur, mean 0 and norm 1; all zero where it is flat."""
    pixels, sigma = thumbnails.astype(np.float32), FINE_SIGMA * thumbnails.shape[1] / SIDE
    fine = pixels - gaussian_filter(pixels, (0, sigma, sigma))
    fine -= fine.mean(axis=(1, 2), keepdims=True)
    norms = np.sqrt(np.square(fine).sum(axis=(1, 2), keepdims=True))
    return np.asarray(np.where(norms > 1e-3, fine / np.maximum(norms, 1e-3), 0), dtype=np.float32)


def _thumbnail(image: Image.Image, side: int) -> Pixels:
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))
