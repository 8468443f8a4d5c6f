"""Pictures of a dataset: a few images of each class, and pairs to judge whether they are copies."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sambench.data.prepared import Prepared
from sambench.files.atomic import write_bytes

PAPER, INK, FAINT, RULE = "#ffffff", "#1b1f24", "#66707c", "#d5dae0"
ACCENTS = ("#2a6fbb", "#c8553d", "#3c8d5a", "#8a5fb0", "#b58900", "#4b8f9c")
MARGIN = 32

COLUMNS, MOST_CLASSES = 8, 12
TILE, GAP = 168, 10
HEAD, CLASS_HEAD, CAPTION = 92, 58, 26  # of the contact sheet
PAIR_COLUMNS, MOST_PAIRS = 3, 24
PAIR_TILE, INNER, OUTER = 214, 4, 34
PAIR_HEAD, PAIR_NOTE, PAIR_CAPTION = 118, 86, 76  # of the sheets of pairs


def draw_contact_sheet(prepared: Prepared, *, seed: int = 0) -> Image.Image:
    """Return a sheet with some images of each class, chosen by the seed, under their ids.

    It has two rows for each class, one where there are more than four classes. Of many classes the
    first `MOST_CLASSES` are shown.
    """
    count = COLUMNS * (2 if len(prepared.classes) <= 4 else 1)
    members = [np.flatnonzero(prepared.labels == label) for label in range(len(prepared.classes))]
    chosen = []
    for label, those in enumerate(members[:MOST_CLASSES]):
        draws = random.Random(f"{seed} {label}")
        chosen.append(sorted(draws.sample(those.tolist(), min(count, len(those)))))
    heights = [CLASS_HEAD + -(-len(one) // COLUMNS) * (TILE + CAPTION + GAP) for one in chosen]
    width = 2 * MARGIN + COLUMNS * (TILE + GAP) - GAP
    sheet = _sheet(prepared, prepared.name, width, HEAD + sum(heights) + MARGIN)
    draw, ids, top = ImageDraw.Draw(sheet), prepared.ids, HEAD
    for label, indices in enumerate(chosen):
        draw.rectangle((MARGIN, top + 14, MARGIN + 5, top + 42), ACCENTS[label % len(ACCENTS)])
        title, number = prepared.classes[label], len(members[label])
        draw.text((MARGIN + 16, top + 14), title, INK, font_size=23)
        after = MARGIN + 16 + draw.textlength(title, font_size=23) + 14
        share = f"{number:,} images, {100 * number / len(prepared):.0f} %"
        draw.text((after, top + 20), share, FAINT, font_size=17)
        for place, index in enumerate(indices):
            row, column = divmod(place, COLUMNS)
            left = MARGIN + column * (TILE + GAP)
            upper = top + CLASS_HEAD + row * (TILE + CAPTION + GAP)
            sheet.paste(_tile(prepared, index, TILE), (left, upper))
            caption = _shortened(ids[index], draw, 14, TILE)
            middle = (left + TILE / 2, upper + TILE + 4)
            draw.text(middle, caption, FAINT, font_size=14, anchor="ma")
        top += heights[label]
    if rest := len(prepared.classes) - len(chosen):
        draw.text((MARGIN, top), f"and {rest} more classes", FAINT, font_size=17)
    return sheet


Pair = tuple[tuple[str, str], tuple[str, str], str]
"""The ids of two images, their labels, and how alike they are."""


def write_pairs(prepared: Prepared, pairs: Sequence[Pair], title: str, path: Path) -> None:
    """Write a PNG of up to 24 pairs, or a `StoreError`; if there are none, remove an older one."""
    if not pairs:
        path.unlink(missing_ok=True)
        return
    shown = pairs[:MOST_PAIRS]
    rows = -(-len(shown) // PAIR_COLUMNS)
    pair_width = 2 * PAIR_TILE + INNER
    width = 2 * MARGIN + PAIR_COLUMNS * (pair_width + OUTER) - OUTER
    height = PAIR_HEAD + rows * (PAIR_TILE + PAIR_CAPTION) + MARGIN
    sheet = _sheet(prepared, f"{prepared.name}: {title}", width, height)
    more = f", of which the first {len(shown)}" if len(pairs) > len(shown) else ""
    note = f"{len(pairs)} pair{'' if len(pairs) == 1 else 's'}{more}"
    place_of = {id: index for index, id in enumerate(prepared.ids)}
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, PAIR_NOTE), note, FAINT, font_size=17)
    for place, (ids, labels, how) in enumerate(shown):
        row, column = divmod(place, PAIR_COLUMNS)
        left = MARGIN + column * (pair_width + OUTER)
        top = PAIR_HEAD + row * (PAIR_TILE + PAIR_CAPTION)
        below = top + PAIR_TILE
        for side, (id, label) in enumerate(zip(ids, labels, strict=True)):
            corner = left + side * (PAIR_TILE + INNER)
            sheet.paste(_tile(prepared, place_of[id], PAIR_TILE), (corner, top))
            draw.text((corner, below + 5), _shortened(id, draw, 16, PAIR_TILE), INK, font_size=16)
            colour = ACCENTS[prepared.classes.index(label) % len(ACCENTS)]
            draw.rectangle((corner, below + 29, corner + 9, below + 38), colour)
            draw.text((corner + 15, below + 24), label, colour, font_size=15)
        draw.text((left, below + 44), how, FAINT, font_size=14)
    write_png(sheet, path)


def _sheet(prepared: Prepared, title: str, width: int, height: int) -> Image.Image:
    """Return an empty sheet: title at the left, facts of the dataset at the right, a rule below."""
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 24), title, INK, font_size=30)
    size, colour = prepared.image_size, "grey" if prepared.images.shape[-1] == 1 else "colour"
    facts = f"{len(prepared):,} images  ·  {size} x {size} {colour}  ·  {prepared.fingerprint[:10]}"
    draw.text((width - MARGIN, 34), facts, FAINT, font_size=17, anchor="ra")
    draw.line((MARGIN, 74, width - MARGIN, 74), RULE, 1)
    return sheet


def write_png(image: Image.Image, path: Path) -> None:
    """Write an image, whole or not at all; `StoreError` where the disk refuses."""
    file = io.BytesIO()
    image.save(file, "PNG")
    write_bytes(path, file.getvalue())


def _tile(prepared: Prepared, index: int, side: int) -> Image.Image:
    pixels = np.asarray(prepared.images[index])
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return image.resize((side, side), Image.Resampling.BICUBIC).convert("RGB")


def _shortened(text: str, draw: ImageDraw.ImageDraw, size: int, width: int) -> str:
    """Return the end of a text that is too wide: the number tells more than the prefix."""
    if draw.textlength(text, font_size=size) <= width:
        return text
    while draw.textlength(f"...{text}", font_size=size) > width:
        text = text[1:]
    return f"...{text}"
