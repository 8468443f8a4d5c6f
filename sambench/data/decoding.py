"""From an image file to a small square of bytes.

Deep images (10 to 16 bits of grey in 16-bit files) are scaled by the range that the whole set
uses, so the first look at one only tells its brightest pixel; `preparation` decodes it again when
it knows the range.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sambench.data.dicom import UnreadableError, read_frame, read_header
from sambench.data.folders import DICOM
from sambench.data.source import FITS, Setting

MEGAPIXELS = 100
PREPROCESSING = {
    "resize": FITS["squash"],
    "filter": "bilinear with antialiasing (Pillow BILINEAR, no reducing gap, no JPEG draft)",
    "orientation": "EXIF applied",
    "modes": "palettes expanded, alpha dropped, 16-bit grey divided by 257",
    "grey": "images whose three channels are equal after resizing count as grey",
    "refused": f"more than {MEGAPIXELS} megapixels",
}
"""What `decode` does by default, in words, for the manifest. Changing one prepares all anew."""

DEPTHS = (8, 10, 12, 14, 16)
SEVERAL = frozenset({"TIFF", "GIF", "WEBP", "PNG"})
"""Formats, as Pillow names them, whose files may hold several pages or frames."""


@dataclass(frozen=True)
class Recipe:
    """How images become squares of bytes: a key of `FITS`, and the bits of 16-bit grey or 0."""

    fit: str = "squash"
    depth: int = 0

    @classmethod
    def of(cls, options: Mapping[str, Setting]) -> Recipe:
        """Return the recipe by the settings of a request."""
        depth = options.get("depth", "auto")
        return cls(str(options.get("fit", "squash")), 0 if depth == "auto" else int(depth))

    @property
    def changed(self) -> dict[str, str | int]:
        """What is not at its default."""
        return {k: v for k, v in asdict(self).items() if v != getattr(Recipe(), k)}

    @property
    def in_words(self) -> dict[str, str]:
        """What is done, for the manifest."""
        modes = PREPROCESSING["modes"]
        if self.depth not in (0, 16):
            modes = modes.replace("divided by 257", f"of {self.depth} bits to 8")
        return {**PREPROCESSING, "resize": FITS[self.fit], "modes": modes}


@dataclass(frozen=True)
class Deep:
    """An image of more than 8 bits, whose set's range must be known first: its brightest pixel."""

    peak: int


@dataclass(frozen=True)
class Decoded:
    """An image as it is stored, with its native size, upright."""

    pixels: NDArray[np.uint8]  # (size, size, C), C = 1 for grey and 3 for colour
    sha256: str  # of the file's bytes, and the page if it is not the first
    width: int
    height: int
    mode: str  # as Pillow names it: L, RGBA, I;16 ...; DICOM's photometric interpretation
    frames: int = 1  # or pages that the file has
    peak: int = 0  # brightest pixel of a deep image


def bits_for(peak: int) -> int:
    """Return the smallest depth whose range holds a pixel value."""
    return next(depth for depth in DEPTHS if peak < 1 << depth)


def decode(path: Path, size: int, recipe: Recipe = Recipe(), page: int = 0) -> Decoded | Deep:
    """Read a file once, decode it and resize it to a square of side `size`.

    Where the recipe has no depth, a deep image is returned as its peak.

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
        image, mode, frames = _load(data, page)
        peak = 0
        if image.mode.startswith(("I", "F")):
            whole = np.asarray(image)
            if image.mode == "F" or whole.min() < 0 or whole.max() > 65535:
                raise UnreadableError(f"has pixels beyond 16 bits (mode {image.mode})")
            peak = int(whole.max())
            if not recipe.depth:
                return Deep(peak)
            if peak >= 1 << recipe.depth:
                raise UnreadableError(f"has a pixel of {peak}, beyond depth={recipe.depth}")
        pixels = _square(image, size, recipe)
    except UnreadableError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError("is not an image") from error
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        raise UnreadableError(f"is damaged: {error}") from error
    checksum = hashlib.sha256(data + (f"#{page}".encode() if page else b"")).hexdigest()
    return Decoded(pixels, checksum, image.width, image.height, mode, frames, peak)


def shrink(pixels: NDArray[np.uint8], size: int, recipe: Recipe = Recipe()) -> Decoded:
    """Resize an image (H, W) or (H, W, 3) of an archive; the checksum is that of its pixels."""
    whole = np.ascontiguousarray(pixels)
    image = Image.fromarray(whole)
    checksum = hashlib.sha256(whole.tobytes()).hexdigest()
    return Decoded(_square(image, size, recipe), checksum, image.width, image.height, image.mode)


def count_frames(path: Path) -> int:
    """Return how many pages or frames a file has; 1 where it cannot be read."""
    try:
        if path.suffix.lower() in DICOM:
            return read_header(path)[1]
        with Image.open(path) as image:
            return _frames(image)
    except Exception:  # decoding it will tell what is wrong
        return 1


def _load(data: bytes, page: int) -> tuple[Image.Image, str, int]:
    """Return an upright picture, the mode of its file and the number of its frames."""
    if data[128:132] == b"DICM":
        return read_frame(data, page, MEGAPIXELS)
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise UnreadableError(f"has more than {MEGAPIXELS} megapixels") from error
    if image.width * image.height > MEGAPIXELS * 1_000_000:
        raise UnreadableError(f"has more than {MEGAPIXELS} megapixels")
    frames = _frames(image)
    if page:
        image.seek(page)
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    return image, image.mode, frames


def _frames(image: Image.Image) -> int:
    return int(getattr(image, "n_frames", 1)) if image.format in SEVERAL else 1


def _square(image: Image.Image, size: int, recipe: Recipe) -> NDArray[np.uint8]:
    """Return the image as (size, size, 1) if it is grey and (size, size, 3) if not."""
    if image.mode.startswith(("I", "F")):
        scale = ((1 << recipe.depth) - 1) / 255
        whole = Image.fromarray(np.asarray(image).astype(np.float32) / np.float32(scale))
        deep: NDArray[np.float32] = np.asarray(_resized(whole, size, recipe.fit))
        return np.rint(deep).astype(np.uint8)[..., np.newaxis]
    if image.mode in ("1", "L", "LA", "La"):
        return _array(_resized(image.convert("L"), size, recipe.fit))
    if "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns of a palette with transparency
    image = _resized(image.convert("RGB"), size, recipe.fit)
    red, green, blue = image.split()
    return _array(red if red.tobytes() == green.tobytes() == blue.tobytes() else image)


def _resized(image: Image.Image, size: int, fit: str) -> Image.Image:
    shape, bilinear = (size, size), Image.Resampling.BILINEAR
    if fit == "letterbox":
        return ImageOps.pad(image, shape, bilinear)
    return ImageOps.fit(image, shape, bilinear) if fit == "crop" else image.resize(shape, bilinear)


def _array(image: Image.Image) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1)
