"""A picture of a few images of each class, to see at a glance that the data are as they should."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sambench.atomic import write_bytes
from sambench.data.prepared import Prepared

COLUMNS = 8
MOST_CLASSES = 12
TILE, GAP, MARGIN = 168, 10, 32
HEAD, CLASS_HEAD, CAPTION = 92, 58, 26
PAPER, INK, FAINT = "#ffffff", "#1b1f24", "#66707c"
ACCENTS = ("#2a6fbb", "#c8553d", "#3c8d5a", "#8a5fb0", "#b58900", "#4b8f9c")


def write_contact_sheet(prepared: Prepared, path: Path, *, seed: int = 0) -> None:
    """Write a PNG with some images of each class, chosen by the seed, under their ids.

    Args:
        prepared: The dataset.
        path: Where to; an older file there is replaced in one step.
        seed: Of the choice.

    Raises:
        StoreError: If the disk refuses.
    """
    file = io.BytesIO()
    draw_contact_sheet(prepared, seed=seed).save(file, "PNG")
    write_bytes(path, file.getvalue())


def draw_contact_sheet(prepared: Prepared, *, seed: int = 0) -> Image.Image:
    """Return the sheet: two rows for each class, one where there are more than four classes.

    Of many classes the first `MOST_CLASSES` are shown.
    """
    count = COLUMNS * (2 if len(prepared.classes) <= 4 else 1)
    shown = range(min(len(prepared.classes), MOST_CLASSES))
    chosen = [_choose(prepared, label, count, seed) for label in shown]
    heights = [_block_height(len(indices)) for indices in chosen]
    width = 2 * MARGIN + COLUMNS * (TILE + GAP) - GAP
    sheet = Image.new("RGB", (width, HEAD + sum(heights) + MARGIN), PAPER)
    _draw_head(sheet, prepared)
    top = HEAD
    for label, indices in enumerate(chosen):
        _draw_class(sheet, prepared, label, indices, top)
        top += heights[label]
    if rest := len(prepared.classes) - len(shown):
        text = f"and {rest} more classes"
        ImageDraw.Draw(sheet).text((MARGIN, top), text, FAINT, _font(17))
    return sheet


def _choose(prepared: Prepared, label: int, count: int, seed: int) -> list[int]:
    """Return positions of some images of a class, in the order of the dataset."""
    members = np.flatnonzero(prepared.labels == label).tolist()
    return sorted(random.Random(f"{seed} {label}").sample(members, min(count, len(members))))


def _block_height(images: int) -> int:
    rows = -(-images // COLUMNS)
    return CLASS_HEAD + rows * (TILE + CAPTION + GAP)


def _draw_head(sheet: Image.Image, prepared: Prepared) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 24), prepared.name, INK, _font(30))
    size, colour = prepared.image_size, "grey" if prepared.images.shape[-1] == 1 else "colour"
    facts = f"{len(prepared):,} images  ·  {size} x {size} {colour}  ·  {prepared.fingerprint[:10]}"
    draw.text((sheet.width - MARGIN, 34), facts, FAINT, _font(17), anchor="ra")
    draw.line((MARGIN, 74, sheet.width - MARGIN, 74), "#d5dae0", 1)


def _draw_class(
    sheet: Image.Image, prepared: Prepared, label: int, indices: Sequence[int], top: int
) -> None:
    draw = ImageDraw.Draw(sheet)
    accent = ACCENTS[label % len(ACCENTS)]
    members = int((prepared.labels == label).sum())
    draw.rectangle((MARGIN, top + 14, MARGIN + 5, top + 42), accent)
    title = prepared.classes[label]
    draw.text((MARGIN + 16, top + 14), title, INK, _font(23))
    share = f"{members:,} images, {members / len(prepared):.0%}"
    after = MARGIN + 16 + draw.textlength(title, _font(23)) + 14
    draw.text((after, top + 20), share, FAINT, _font(17))
    for place, index in enumerate(indices):
        row, column = divmod(place, COLUMNS)
        left = MARGIN + column * (TILE + GAP)
        upper = top + CLASS_HEAD + row * (TILE + CAPTION + GAP)
        sheet.paste(_tile(prepared, index), (left, upper))
        caption = _shortened(prepared.ids[index], draw)
        draw.text((left + TILE / 2, upper + TILE + 4), caption, FAINT, _font(14), anchor="ma")


def _tile(prepared: Prepared, index: int) -> Image.Image:
    pixels = np.asarray(prepared.images[index])
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return image.resize((TILE, TILE), Image.Resampling.BICUBIC).convert("RGB")


def _shortened(text: str, draw: ImageDraw.ImageDraw) -> str:
    """Return the end of a text that is wider than a tile: the number tells more than the prefix."""
    if draw.textlength(text, _font(14)) <= TILE:
        return text
    while draw.textlength(f"...{text}", _font(14)) > TILE:
        text = text[1:]
    return f"...{text}"


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
