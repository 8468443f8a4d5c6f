"""A picture of a few images of each class, to see at a glance that the data are as they should."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sambench.data.drawing import FAINT, INK, PAPER, accent, draw_head, font, shortened, tile
from sambench.data.prepared import Prepared
from sambench.files.atomic import write_bytes

COLUMNS = 8
MOST_CLASSES = 12
TILE, GAP, MARGIN = 168, 10, 32
HEAD, CLASS_HEAD, CAPTION = 92, 58, 26


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
    draw_head(sheet, prepared, prepared.name, MARGIN)
    top = HEAD
    for label, indices in enumerate(chosen):
        _draw_class(sheet, prepared, label, indices, top)
        top += heights[label]
    if rest := len(prepared.classes) - len(shown):
        text = f"and {rest} more classes"
        ImageDraw.Draw(sheet).text((MARGIN, top), text, FAINT, font(17))
    return sheet


def _choose(prepared: Prepared, label: int, count: int, seed: int) -> list[int]:
    """Return positions of some images of a class, in the order of the dataset."""
    members = np.flatnonzero(prepared.labels == label).tolist()
    return sorted(random.Random(f"{seed} {label}").sample(members, min(count, len(members))))


def _block_height(images: int) -> int:
    rows = -(-images // COLUMNS)
    return CLASS_HEAD + rows * (TILE + CAPTION + GAP)


def _draw_class(
    sheet: Image.Image, prepared: Prepared, label: int, indices: Sequence[int], top: int
) -> None:
    draw = ImageDraw.Draw(sheet)
    members = int((prepared.labels == label).sum())
    draw.rectangle((MARGIN, top + 14, MARGIN + 5, top + 42), accent(label))
    title = prepared.classes[label]
    draw.text((MARGIN + 16, top + 14), title, INK, font(23))
    share = f"{members:,} images, {members / len(prepared):.0%}"
    after = MARGIN + 16 + draw.textlength(title, font(23)) + 14
    draw.text((after, top + 20), share, FAINT, font(17))
    for place, index in enumerate(indices):
        row, column = divmod(place, COLUMNS)
        left = MARGIN + column * (TILE + GAP)
        upper = top + CLASS_HEAD + row * (TILE + CAPTION + GAP)
        sheet.paste(tile(prepared, index, TILE), (left, upper))
        caption = shortened(prepared.ids[index], draw, 14, TILE)
        draw.text((left + TILE / 2, upper + TILE + 4), caption, FAINT, font(14), anchor="ma")
