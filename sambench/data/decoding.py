"""From an image file to a small square of bytes."""

from __future__ import annotations

import hashlib
import io
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

MEGAPIXELS = 100
PREPROCESSING = {
    "resize": "to a square whatever the aspect ratio",
    "filter": "bilinear with antialiasing (Pillow BILINEAR, no reducing gap, no JPEG draft)",
    "orientation": "EXIF applied",
    "modes": "palettes expanded, alpha dropped, 16-bit grey divided by 257",
    "grey": "images whose three channels are equal after resizing count as grey",
    "refused": f"more than {MEGAPIXELS} megapixels",
}
"""What `decode` does, in words, for the manifest. Changing one prepares everything anew."""


_OPENING = threading.Lock()
"""Held while Pillow's limit of pixels is lifted, which is one for all threads."""


class UnreadableError(Exception):
    """An image file cannot be used; the message is the reason."""


@dataclass(frozen=True)
class Decoded:
    """An image as it is stored.

    Attributes:
        pixels: (size, size, C) uint8, C = 1 for grey and 3 for colour.
        sha256: Of the file's bytes.
        width: Native width in pixels, upright.
        height: Native height in pixels, upright.
        mode: Of the file, as Pillow names it: L, RGB, RGBA, P, I;16 ...
    """

    pixels: NDArray[np.uint8]
    sha256: str
    width: int
    height: int
    mode: str


def decode(path: Path, size: int) -> Decoded:
    """Read a file once, decode it and resize it to a square.

    Raises:
        UnreadableError: If the file cannot be read, is no image, is cut short, or is too large.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from error
    if not data:
        raise UnreadableError("is empty")
    try:
        image = _load(data)
        pixels = _square(image, size)
    except UnreadableError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError("is not an image") from error
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        raise UnreadableError(f"is damaged: {error}") from error
    checksum = hashlib.sha256(data).hexdigest()
    return Decoded(pixels, checksum, image.width, image.height, image.mode)


def shrink(pixels: NDArray[np.uint8], size: int) -> Decoded:
    """Resize an image that came out of an archive; the checksum is that of its pixels.

    Args:
        pixels: (H, W) or (H, W, 3).
        size: Side of the result.
    """
    whole = np.ascontiguousarray(pixels)
    image = Image.fromarray(whole)
    checksum = hashlib.sha256(whole.tobytes()).hexdigest()
    return Decoded(_square(image, size), checksum, image.width, image.height, image.mode)


def _load(data: bytes) -> Image.Image:
    image = _open(data)
    width, height = image.size
    if width * height > MEGAPIXELS * 1_000_000:
        raise UnreadableError(f"is {width} x {height}, which is more than {MEGAPIXELS} megapixels")
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _open(data: bytes) -> Image.Image:
    """Read the header only, whatever size it states; Pillow's own limit would hide the size."""
    try:
        return Image.open(io.BytesIO(data))
    except Image.DecompressionBombError:
        with _OPENING:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                return Image.open(io.BytesIO(data))
            finally:
                Image.MAX_IMAGE_PIXELS = limit


def _square(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return the image as (size, size, 1) if it is grey and (size, size, 3) if not."""
    shape, bilinear = (size, size), Image.Resampling.BILINEAR
    if image.mode.startswith(("I", "F")):
        deep: NDArray[np.float32] = np.asarray(_deep(image).resize(shape, bilinear))
        return np.rint(deep).astype(np.uint8)[..., np.newaxis]
    if image.mode in ("1", "L", "LA", "La"):
        return _array(image.convert("L").resize(shape, bilinear))
    if "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns of a palette with transparency
    image = image.convert("RGB").resize(shape, bilinear)
    red, green, blue = image.split()
    return _array(red if red.tobytes() == green.tobytes() == blue.tobytes() else image)


def _array(image: Image.Image) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1)


def _deep(image: Image.Image) -> Image.Image:
    """Return 16-bit grey as floating point in 0..255."""
    pixels = np.asarray(image)
    if image.mode == "F" or pixels.min() < 0 or pixels.max() > 65535:
        raise UnreadableError(f"has pixels beyond 16 bits (mode {image.mode})")
    return Image.fromarray(pixels.astype(np.float32) / 257)
