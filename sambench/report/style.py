"""The look of a figure in a paper's column: size, type, colours, title; and in which forms."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.transforms import Bbox
from PIL import Image

COLUMN = 3.5
"""Width of a column in inches."""
DPI = 300
TEXT, SMALL = 8.0, 7.0
"""Sizes of type in points."""
BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
"""Colours that the colour-blind tell apart (Okabe & Ito, 2008)."""
PURPLE, SKY = "#CC79A7", "#56B4E9"
GREY, PALE = "#555555", "#B8B8B8"
LINE = 1.2
CHARACTERS = 68
"""How many of the small size fit the column."""
COMPRESSION = 3
"""zlib's level: two thirds of the default's time for a tenth more bytes."""
SETTINGS: dict[Any, Any] = {
    "text.parse_math": False,  # names may have a `$`
    "pdf.fonttype": 42,  # which publishers take, unlike Type 3
    "svg.fonttype": "none",
}
"""matplotlib's, while figures of a report are drawn and saved."""


def column_figure(height: float, ratios: Sequence[float] = (1,)) -> tuple[Figure, list[Axes]]:
    """Return a figure one column wide and so many inches high, of panels one above the other."""
    figure = sheet(height)
    figure.set_layout_engine("constrained")
    heights = {"height_ratios": list(ratios)}
    panels = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, gridspec_kw=heights)
    return figure, list(panels[:, 0])


def sheet(height: float) -> Figure:
    """Return an empty figure one column wide and so many inches high, for `place`."""
    figure = Figure(figsize=(COLUMN, height), dpi=DPI)
    FigureCanvasAgg(figure)  # without it, saving would ask pyplot for one
    return figure


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Put axes on a figure; all in inches, from its left and upper edges."""
    wide, high = figure.get_size_inches()
    return figure.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))


def text_width(figure: Figure, text: str) -> float:
    """Return how wide a line of small text is, in inches."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    width, _, _ = canvas.get_renderer().get_text_width_height_descent(
        text, FontProperties(size=SMALL), ismath=False
    )
    return float(width) / figure.dpi


def not_writable(text: str) -> str:
    """Return the characters of a text that the type of figures has not, as it has no Chinese."""
    font = get_font(findfont(FontProperties()))
    return "".join(c for c in dict.fromkeys(text) if c != "\n" and not font.get_char_index(ord(c)))


def bare(ax: Axes) -> None:
    """Set type and rules of axes without minor ticks; no upper and right rule."""
    ax.tick_params(labelsize=SMALL, width=0.6, length=2.5)
    for side, spine in ax.spines.items():
        spine.set_linewidth(0.6)
        spine.set_visible(side in ("left", "bottom"))
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set_fontsize(TEXT)


def png_file(pixels: Image.Image, dpi: float) -> bytes:
    """Return a picture as a PNG file."""
    buffer = io.BytesIO()
    pixels.save(buffer, format="PNG", dpi=(dpi, dpi), compress_level=COMPRESSION)
    return buffer.getvalue()


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of a report as the page shows it; `stem` is its file's name without the ending."""

    stem: str
    title: str
    caption: str
    figure: Figure

    @cached_property
    def _sheet(self) -> Bbox:
        """The figure's sheet in inches, or a larger one where that would cut something off."""
        for ax in self.figure.axes:
            for line in ax.lines:
                line.set_in_layout(False)  # one without points says that it lies in the corner
        sheet = Bbox.from_extents(0, 0, *self.figure.get_size_inches())
        return Bbox.union([sheet, self.figure.get_tightbbox()])

    def _saved(self, kind: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        with rc_context({**SETTINGS, "svg.hashsalt": self.stem}):
            self.figure.savefig(buffer, format=kind, bbox_inches=self._sheet, **options)
        return buffer.getvalue()

    @cached_property
    def png(self) -> bytes:
        """The picture in pixels, of 256 colours: lines on paper need no more."""
        drawn = self._saved("raw")
        canvas: Any = self.figure.canvas  # its renderer knows how large the sheet was
        high, wide, _ = canvas.renderer.buffer_rgba().shape
        pixels = Image.frombytes("RGB", (wide, high), drawn, "raw", "RGBX")
        return png_file(pixels.quantize(method=Image.Quantize.FASTOCTREE), self.figure.dpi)

    @property
    def pdf(self) -> bytes:
        """The picture for a paper, without a date."""
        _leave_out_layout()
        return self._saved("pdf", metadata={"CreationDate": None})

    @property
    def svg(self) -> str:
        """An `svg` element for a page, read out as the title; its groups have no ids."""
        text = self._saved("svg", metadata={"Date": None}).decode()
        element = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])
        return element.replace("<svg", f'<svg role="img" aria-label="{escape(self.title)}"', 1)


@cache
def _leave_out_layout() -> None:
    """Have fonts in PDFs without tables for setting text, which no reader of a PDF asks for.

    To cut these to the letters of a figure took most of the time of writing it.
    """
    from fontTools.subset import Options

    getattr(Options, "_drop_tables_default", []).extend(["GDEF", "GPOS", "GSUB", "MATH", "kern"])


def png(figure: Figure, title: str, subtitle: str) -> bytes:
    """Put the title above a figure and return it as a PNG file; what is too long is broken."""
    parts = [subtitle] if len(subtitle) <= CHARACTERS else subtitle.split("; ")
    lines = [line for text in (title, *parts) for line in textwrap.wrap(text, CHARACTERS)]
    text = "\n".join(lines).replace("$", r"\$")
    figure.suptitle(text, size=SMALL, linespacing=1.35, color="black")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return png_file(Image.open(buffer).convert("RGB"), figure.dpi)
