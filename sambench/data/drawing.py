"""What pictures of a dataset have in common: its images as tiles, fonts, colours of classes."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sambench.data.prepared import Prepared

PAPER, INK, FAINT, RULE = "#ffffff", "#1b1f24", "#66707c", "#d5dae0"
ACCENTS = ("#2a6fbb", "#c8553d", "#3c8d5a", "#8a5fb0", "#b58900", "#4b8f9c")


def accent(label: int) -> str:
    """Return the colour of a class."""
    return ACCENTS[label % len(ACCENTS)]


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font at a size in pixels."""
    return ImageFont.load_default(size)


def tile(prepared: Prepared, index: int, side: int) -> Image.Image:
    """Return an image as a square picture."""
    pixels = np.asarray(prepared.images[index])
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return image.resize((side, side), Image.Resampling.BICUBIC).convert("RGB")


def shortened(text: str, draw: ImageDraw.ImageDraw, size: int, width: int) -> str:
    """Return the end of a text that is too wide: the number tells more than the prefix."""
    if draw.textlength(text, font(size)) <= width:
        return text
    while draw.textlength(f"...{text}", font(size)) > width:
        text = text[1:]
    return f"...{text}"


def draw_head(sheet: Image.Image, prepared: Prepared, title: str, margin: int) -> None:
    """Draw the title at the left, the facts of the dataset at the right, a rule below."""
    draw = ImageDraw.Draw(sheet)
    draw.text((margin, 24), title, INK, font(30))
    size, colour = prepared.image_size, "grey" if prepared.images.shape[-1] == 1 else "colour"
    facts = f"{len(prepared):,} images  ·  {size} x {size} {colour}  ·  {prepared.fingerprint[:10]}"
    draw.text((sheet.width - margin, 34), facts, FAINT, font(17), anchor="ra")
    draw.line((margin, 74, sheet.width - margin, 74), RULE, 1)
