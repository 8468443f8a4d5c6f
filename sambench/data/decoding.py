"""From an image file to a small square of bytes.

Deep images (10 to 16 bits of grey in 16-bit files) are scaled by the range that the whole set
uses, so the first look at one only tells its brightest pixel; `preparation` decodes it again when
it knows the range. Of 16-bit colour only the upper 8 bits can be read, so it must use all 16.

DICOM files are read with pydicom, an extra: `pip install 'sambench[dicom]'`. Of a file's header
only what makes the picture right is used, and the patient's id, as a hash, so that images of a
patient stay together in splits. No other field that could tell who somebody is is read or kept.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sambench.data.source import FITS, Setting
from sambench.data.tables import is_nobody
from sambench.files.checksums import opened, read_whole

if TYPE_CHECKING:
    from pydicom import Dataset

MEGAPIXELS = 100
TOO_LARGE = f"has more than {MEGAPIXELS} megapixels"
PREPROCESSING = {
    "resize": FITS["squash"],
    "filter": "bilinear with antialiasing (Pillow BILINEAR, no reducing gap, no JPEG draft)",
    "orientation": "EXIF applied",
    "modes": "palettes expanded, alpha dropped, 16-bit grey divided by 257",
    "grey": "images whose three channels are equal after resizing count as grey",
    "refused": f"more than {MEGAPIXELS} megapixels",
}
"""What `decode` does by default, in words, for the manifest. Changing one prepares all anew."""

WHITE_IS = 262  # the tag of a TIFF that says it; of 8 bits Pillow turns them round

PREAMBLE, DICM = 128, b"DICM"  # bytes that a DICOM file may begin with, and the mark behind

DEPTHS = (8, 10, 12, 14, 16)
SEVERAL = frozenset({"TIFF", "GIF", "WEBP", "PNG"})
"""Formats, as Pillow names them, whose files may hold several pages or frames."""

FORMATS = (*sorted(SEVERAL), "JPEG", "JPEG2000", "BMP", "DIB", "PPM")
"""What is read whatever a file's suffix: a program (PostScript, which runs one) is no image."""


class UnreadableError(Exception):
    """An image file cannot be used; the message is the reason."""


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


def decode(path: Path, size: int, recipe: Recipe = Recipe(), page: int = 0) -> Decoded | int:
    """Read a file once, decode it and resize it to a square of side `size`.

    Where the recipe has no depth, of a deep image (more than 8 bits) its brightest pixel is
    returned: the range of its whole set must be known first. `UnreadableError` if the file cannot
    be read, is no image, is cut short, or is too large.
    """
    try:
        data = read_whole(path)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from error
    if not data:
        raise UnreadableError("is empty")
    try:
        image, mode, frames, peak = _load(data, page)
        if image.mode.startswith(("I", "F")):
            whole = np.asarray(image)
            if image.mode == "F" or whole.min() < 0 or whole.max() > 65535:
                why = f"has pixels beyond 16 bits (mode {image.mode}): save it with 8 or 16 bits"
                raise UnreadableError(why)
            peak = int(whole.max())
        if peak is not None:
            if not recipe.depth:
                return peak
            if peak >= 1 << recipe.depth:
                raise UnreadableError(f"has a pixel of {peak}, beyond depth={recipe.depth}")
            if recipe.depth < 16 and not image.mode.startswith("I"):
                why = f"uses {recipe.depth} of its 16 bits a channel: save it with 8 bits a channel"
                raise UnreadableError(why)
        pixels = _square(image, size, recipe)
    except UnreadableError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError("is not an image") from error
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        raise UnreadableError(f"is damaged: {error}") from error
    checksum = hashlib.sha256(data + (f"#{page}".encode() if page else b"")).hexdigest()
    return Decoded(pixels, checksum, image.width, image.height, mode, frames, peak or 0)


def shrink(pixels: NDArray[np.uint8], size: int, recipe: Recipe = Recipe()) -> Decoded:
    """Resize an image (H, W) or (H, W, 3) of an archive; the checksum is that of its pixels."""
    whole = np.ascontiguousarray(pixels)
    image = Image.fromarray(whole)
    checksum = hashlib.sha256(whole.tobytes()).hexdigest()
    return Decoded(_square(image, size, recipe), checksum, image.width, image.height, image.mode)


def _load(data: bytes, page: int) -> tuple[Image.Image, str, int, int | None]:
    """Return an upright picture, the mode of its file and the number of its frames.

    Also, of 16-bit colour and grey with alpha, the highest value that its brightest pixel may have:
    Pillow reads the upper 8 bits of each channel.
    """
    if data.startswith(DICM, PREAMBLE):
        return *_read_dicom(data, page), None
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise UnreadableError(TOO_LARGE) from error
    if image.width * image.height > MEGAPIXELS * 1_000_000:
        raise UnreadableError(TOO_LARGE)
    frames = _frames(image)
    if page:
        image.seek(page)
    if image.mode.startswith(("I", "F")) and getattr(image, "tag_v2", {}).get(WHITE_IS) == 0:
        raise UnreadableError("has more than 8 bits and 0 as white: save it with 0 as black")
    halved = any(";16" in str(tile[3]) for tile in image.tile) and len(image.getbands()) > 1
    image.load()
    seen = [band not in ("A", "a") for band in image.getbands()]
    peak = 256 * int(np.array(image.getextrema())[seen, 1].max()) + 255 if halved else None
    ImageOps.exif_transpose(image, in_place=True)
    return image, image.mode, frames, peak


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
        return np.asarray(_resized(image.convert("L"), size, recipe.fit))[..., np.newaxis]
    if "transparency" in image.info:
        image = image.convert("RGBA")  # else Pillow warns of a palette with transparency
    image = image if image.mode == "RGB" else image.convert("RGB")  # which would copy
    if (red := _as_grey(image)) is not None:  # which stays grey: a third to resize
        return np.asarray(_resized(red, size, recipe.fit))[..., np.newaxis]
    image = _resized(image, size, recipe.fit)
    red = _as_grey(image)
    return np.asarray(image) if red is None else np.asarray(red)[..., np.newaxis]


def _as_grey(image: Image.Image) -> Image.Image | None:
    """Return the first channel of an RGB image if the others are equal to it."""
    red, green, blue = image.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else None


def _resized(image: Image.Image, size: int, fit: str) -> Image.Image:
    shape, bilinear = (size, size), Image.Resampling.BILINEAR
    if fit == "letterbox":
        return ImageOps.pad(image, shape, bilinear)
    return ImageOps.fit(image, shape, bilinear) if fit == "crop" else image.resize(shape, bilinear)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its content: scanners and archives export many without suffix."""
    try:
        with opened(path) as file:
            return file.read(PREAMBLE + len(DICM)).endswith(DICM, PREAMBLE)
    except OSError:  # decoding it will tell what is wrong
        return False


def read_header(path: Path) -> tuple[str | None, int]:
    """Return the patient's id, which DICOM files have, and the number of frames or pages.

    Where the file cannot be read, or without pydicom, these are None and 1.
    """
    try:
        if not is_dicom(path):
            with opened(path) as file, Image.open(file, formats=FORMATS) as image:
                return None, _frames(image)
        from pydicom import dcmread

        tags: list[Any] = ["PatientID", "NumberOfFrames"]
        found = dcmread(path, stop_before_pixels=True, specific_tags=tags)
        id = str(found.get("PatientID") or "").strip()
        frames = min(int(found.get("NumberOfFrames") or 1), path.stat().st_size)  # it may lie
    except Exception:  # decoding it will tell what is wrong
        return None, 1
    return None if is_nobody(id) else id, frames


def _read_dicom(data: bytes, frame: int) -> tuple[Image.Image, str, int]:
    """Return one frame as it is meant to be seen, its photometric interpretation, and all frames.

    Grey is shown through the file's first window where there is one (PS3.3, C.11.2); unsigned
    pixels without one are left as they are, 16 bits deep, and signed ones span the frame's range.
    MONOCHROME1 is inverted, YBR becomes RGB, and radiographs that their header says to be mirrored
    or upside down (Patient Orientation R or H) are turned.
    """
    try:
        from pydicom import dcmread
        from pydicom.pixels.processing import apply_color_lut
        from pydicom.pixels.utils import pixel_array
    except ImportError as error:
        needed = "is DICOM, which needs pydicom; `pip install 'sambench[dicom]'`"
        raise UnreadableError(needed) from error
    found = dcmread(io.BytesIO(data))
    if "PixelData" not in found:
        raise UnreadableError("is DICOM without a picture")
    if found.Rows * found.Columns > MEGAPIXELS * 1_000_000:
        raise UnreadableError(TOO_LARGE)
    kind = str(found.PhotometricInterpretation)
    _take_told_of_frame(found, frame)
    frames = min(int(found.get("NumberOfFrames") or 1), len(data))  # it may lie
    try:
        pixels = pixel_array(found, index=frame)
    except RuntimeError as error:  # pydicom names the packages that could decompress it
        raise UnreadableError(f"cannot be decompressed: {' '.join(str(error).split())}") from error
    bits = found.BitsStored
    if kind.startswith("MONOCHROME"):
        pixels = _grey(found, pixels)
    elif kind == "PALETTE COLOR":
        pixels, bits = apply_color_lut(pixels, found), found.RedPaletteColorLookupTableDescriptor[2]
        bits = bits if pixels.max() > 255 else 8  # some palettes hold 8 bits, whatever they say
    if pixels.ndim == 3:
        pixels = (pixels >> max(0, bits - 8)).astype(np.uint8)
    said = found.get("PatientOrientation") or ()
    along, down = (str(one)[:1] for one in said) if len(said) == 2 else ("", "")
    if along in ("L", "R") and down in ("F", "H"):  # a radiograph not seen from the side
        pixels = pixels[:, ::-1] if along == "R" else pixels
        pixels = pixels[::-1] if down == "H" else pixels
    return Image.fromarray(np.ascontiguousarray(pixels)), kind, frames


def _take_told_of_frame(found: Dataset, frame: int) -> None:
    """Put rescaling and window of a frame where they are in files of one (enhanced IODs)."""
    shared, own = (
        found.get(f"{of}FunctionalGroupsSequence") or [] for of in ("Shared", "PerFrame")
    )
    for told in (*shared[:1], *own[frame : frame + 1]):
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            found.update((told.get(name) or [{}])[0])


def _grey(found: Dataset, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W) uint8 or, where nothing tells the range, uint16; white is bright."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    dark_is_high = found.PhotometricInterpretation == "MONOCHROME1"
    curve = found.get("VOILUTSequence")  # which may be there and empty, as may be the window
    windowed = bool(curve) or found.get("WindowWidth") is not None
    if not windowed and not found.PixelRepresentation:
        whole, highest = pixels.astype(np.uint16), (1 << found.BitsStored) - 1
        whole = highest - whole if dark_is_high else whole
        return (whole * 255 // highest).astype(np.uint8) if found.BitsStored <= 8 else whole
    values = apply_modality_lut(pixels, found)
    if not windowed:
        low, high = float(values.min()), float(values.max())
    elif curve:
        described = curve[0].LUTDescriptor
        low, high = 0.0, float(2 ** described[2] - 1)
        described[2] = 16  # with 8 bits, pydicom looks all values up among the first 256
        values = apply_voi_lut(values, found)
    else:
        names = ("WindowCenter", "WindowWidth")  # of several windows the first
        centre, width = (float(np.ravel(getattr(found, name))[0]) for name in names)
        function = found.get("VOILUTFunction", "LINEAR")
        exact = function == "LINEAR_EXACT"
        low = centre - width / 2 if exact else centre - 0.5 - (width - 1) / 2
        high = low + max(width if exact else width - 1, 1e-6)
        if function == "SIGMOID":
            values, low, high = 1 / (1 + np.exp(-4 * (values - centre) / width)), 0.0, 1.0
    shown = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    return np.rint(255 * (1 - shown if dark_is_high else shown)).astype(np.uint8)
