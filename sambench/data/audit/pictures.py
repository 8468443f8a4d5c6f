"""Pictures of pairs of images, to judge with one's own eyes whether they are copies."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from sambench.data.audit.findings import NEAR, Link
from sambench.data.drawing import FAINT, INK, PAPER, accent, draw_head, font, shortened, tile
from sambench.data.prepared import Prepared
from sambench.files.atomic import write_bytes

COLUMNS, MOST = 3, 24
TILE, INNER, OUTER, MARGIN = 214, 4, 34, 32
HEAD, NOTE, CAPTION = 118, 86, 76


def write_pairs(prepared: Prepared, links: Sequence[Link], title: str, path: Path) -> None:
    """Write a PNG of the first pairs; where there are none, remove an older one.

    Raises:
        StoreError: If the disk refuses.
    """
    if not links:
        path.unlink(missing_ok=True)
        return
    file = io.BytesIO()
    draw_pairs(prepared, links, title).save(file, "PNG")
    write_bytes(path, file.getvalue())


def draw_pairs(prepared: Prepared, links: Sequence[Link], title: str) -> Image.Image:
    """Return a sheet of up to 24 pairs under their ids and labels."""
    shown = links[:MOST]
    rows = -(-len(shown) // COLUMNS)
    pair_width = 2 * TILE + INNER
    width = 2 * MARGIN + COLUMNS * (pair_width + OUTER) - OUTER
    sheet = Image.new("RGB", (width, HEAD + rows * (TILE + CAPTION) + MARGIN), PAPER)
    draw_head(sheet, prepared, f"{prepared.name}: {title}", MARGIN)
    more = f", of which the first {len(shown)}" if len(links) > len(shown) else ""
    pairs = f"{len(links)} pair{'' if len(links) == 1 else 's'}{more}"
    ImageDraw.Draw(sheet).text((MARGIN, NOTE), pairs, FAINT, font(17))
    place_of = {id: index for index, id in enumerate(prepared.ids)}
    for place, link in enumerate(shown):
        row, column = divmod(place, COLUMNS)
        left = MARGIN + column * (pair_width + OUTER)
        top = HEAD + row * (TILE + CAPTION)
        _draw_pair(sheet, prepared, link, place_of, left, top)
    return sheet


def _draw_pair(
    sheet: Image.Image,
    prepared: Prepared,
    link: Link,
    place_of: dict[str, int],
    left: int,
    top: int,
) -> None:
    draw = ImageDraw.Draw(sheet)
    for place, (id, label) in enumerate(zip((link.first, link.second), link.labels, strict=True)):
        corner = left + place * (TILE + INNER)
        sheet.paste(tile(prepared, place_of[id], TILE), (corner, top))
        draw.text((corner, top + TILE + 5), shortened(id, draw, 16, TILE), INK, font(16))
        colour = accent(prepared.classes.index(label))
        draw.rectangle((corner, top + TILE + 29, corner + 9, top + TILE + 38), colour)
        draw.text((corner + 15, top + TILE + 24), label, colour, font(15))
    how = link.kind
    if link.kind == NEAR:
        how = f"{link.distance} of 64 bits differ, correlation {link.correlation:.2f}"
    draw.text((left, top + TILE + 44), how, FAINT, font(14))
