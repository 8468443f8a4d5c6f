"""Reads DICOM files with pydicom, an extra: `pip install 'sambench[dicom]'`.

Of a file's header only what makes the picture right is used, and the patient's id, as a hash, so
that images of a patient stay together in splits. No other field that could tell who somebody is
is read or kept.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from pydicom import Dataset

NEEDED = "is DICOM, which needs pydicom; `pip install 'sambench[dicom]'`"


class UnreadableError(Exception):
    """An image file cannot be used; the message is the reason."""


def read_header(path: Path) -> tuple[str | None, int]:
    """Return a hash of the patient's id and the number of frames; nothing without pydicom."""
    try:
        from pydicom import dcmread

        tags: list[Any] = ["PatientID", "NumberOfFrames"]
        found = dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except Exception:  # decoding it will tell what is wrong
        return None, 1
    id = str(found.get("PatientID") or "").strip()
    hashed = f"patient-{hashlib.sha256(id.encode()).hexdigest()[:12]}" if id else None
    return hashed, int(found.get("NumberOfFrames") or 1)


def read_frame(data: bytes, frame: int, megapixels: int) -> tuple[Image.Image, str, int]:
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
        raise UnreadableError(NEEDED) from error
    found = dcmread(io.BytesIO(data))
    if "PixelData" not in found:
        raise UnreadableError("is DICOM without a picture")
    if found.Rows * found.Columns > megapixels * 1_000_000:
        raise UnreadableError(f"has more than {megapixels} megapixels")
    kind, frames = str(found.PhotometricInterpretation), int(found.get("NumberOfFrames") or 1)
    try:
        pixels = pixel_array(found, index=frame)
    except RuntimeError as error:  # pydicom names the packages that could decompress it
        raise UnreadableError(f"cannot be decompressed: {' '.join(str(error).split())}") from error
    if kind.startswith("MONOCHROME"):
        pixels = _grey(found, pixels)
    elif kind == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, found)
    if pixels.dtype == np.uint16 and pixels.ndim == 3:
        pixels = (pixels >> max(0, int(pixels.max()).bit_length() - 8)).astype(np.uint8)
    said = found.get("PatientOrientation") or ()
    along, down = (str(one)[:1] for one in said) if len(said) == 2 else ("", "")
    if along in ("L", "R") and down in ("F", "H"):  # a radiograph not seen from the side
        pixels = pixels[:, ::-1] if along == "R" else pixels
        pixels = pixels[::-1] if down == "H" else pixels
    return Image.fromarray(np.ascontiguousarray(pixels)), kind, frames


def _grey(found: Dataset, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W) uint8 or, where nothing tells the range, uint16; white is bright."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    dark_is_high = found.PhotometricInterpretation == "MONOCHROME1"
    windowed = "WindowWidth" in found or "VOILUTSequence" in found
    if not windowed and not found.PixelRepresentation:
        whole = pixels.astype(np.uint16)
        whole = ((1 << found.BitsStored) - 1) - whole if dark_is_high else whole
        return whole.astype(np.uint8) if found.BitsStored <= 8 else whole
    values = apply_modality_lut(pixels, found)
    if not windowed:
        low, high = float(values.min()), float(values.max())
    elif "VOILUTSequence" in found:
        values = apply_voi_lut(values, found)
        low, high = 0.0, float(2 ** found.VOILUTSequence[0].LUTDescriptor[2] - 1)
    elif found.get("VOILUTFunction", "LINEAR") == "SIGMOID":
        centre, width = _first(found.WindowCenter), _first(found.WindowWidth)
        values, low, high = 1 / (1 + np.exp(-4 * (values - centre) / width)), 0.0, 1.0
    else:
        centre, width = _first(found.WindowCenter), _first(found.WindowWidth)
        exact = found.get("VOILUTFunction") == "LINEAR_EXACT"
        low = centre - width / 2 if exact else centre - 0.5 - (width - 1) / 2
        high = low + max(width if exact else width - 1, 1e-6)
    shown = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    return np.rint(255 * (1 - shown if dark_is_high else shown)).astype(np.uint8)


def _first(value: Any) -> float:
    """Return a number, or the first of several windows'."""
    return float(value if isinstance(value, int | float | str) else value[0])
