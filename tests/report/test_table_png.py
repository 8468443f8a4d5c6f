from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sambench.report.table import Cell, Table
from sambench.report.table_png import table_png

HEADINGS = (
    "Optimizer",
    "Test accuracy (%)",
    "Training time (min)",
    "Gradient evaluations",
    "Top eigenvalue",
    "Median",
    "Mean",
    "SD",
    "Trace",
)
PROTOCOL = (
    "256 px images, split holdout (1924 train, 481 test), from scratch, batch 16, lr 0.0001 "
    "(constant), until train-accuracy 1, at most 500 epochs, last weights, fp32, on NVIDIA H200."
)


def table(
    *,
    title: str = "small-cnn on phantom",
    rows: int = 3,
    cell: str = "123.4 ± 56.7 (10)†‡",
    label: str = "gcsam (rho=0.05)",
    notes: tuple[str, ...] = (PROTOCOL,),
) -> Table:
    line = (label, tuple(Cell(text=cell, bold=True) for _ in HEADINGS[1:]))
    return Table(title=title, headings=HEADINGS, rows=(line,) * rows, notes=notes)


def pixels(made: Table, dpi: int = 100) -> NDArray[np.uint8]:
    image = Image.open(io.BytesIO(table_png(made, dpi)))
    assert image.format == "PNG"
    return np.asarray(image.convert("L"))


def frame(image: NDArray[np.uint8], width: int = 2) -> NDArray[np.uint8]:
    inside = image[width:-width, width:-width]
    assert (inside < 128).any(), "nothing is drawn"
    edges = (image[:width], image[-width:], image[:, :width], image[:, -width:])
    return np.concatenate([edge.ravel() for edge in edges])


def dark_lines(image: NDArray[np.uint8]) -> int:
    """Count the rules: runs of rows that are dark nearly from edge to edge."""
    ruled = (image < 200).mean(axis=1) > 0.9
    return int((np.diff(ruled.astype(int)) == 1).sum())


def test_a_picture_of_a_plausible_size() -> None:
    height, width = pixels(table()).shape
    assert 600 <= width <= 2000
    assert 100 <= height <= 500


def test_dots_per_inch() -> None:
    small, large = pixels(table(), 100), pixels(table(), 200)
    assert large.shape[0] == pytest.approx(2 * small.shape[0], abs=6)  # hinting moves the ink
    assert large.shape[1] == pytest.approx(2 * small.shape[1], abs=6)


def test_a_row_makes_it_higher_and_not_wider() -> None:
    few, many = pixels(table(rows=2)), pixels(table(rows=12))
    assert many.shape[1] == few.shape[1]
    assert many.shape[0] - few.shape[0] == pytest.approx(10 * 26, abs=3)


def test_three_rules_and_no_grid() -> None:
    assert dark_lines(pixels(table(), 200)) == 3


@pytest.mark.parametrize(
    "made",
    [
        table(),
        table(rows=1, cell="–", label="adam", notes=()),
        table(rows=20),
        table(cell="WWWWWWWWWWWWWWW"),
        table(label="gcsam (rho=0.05, norm=centered, base=sgd, momentum=0.9)"),
        table(title="timm:vit_base_patch16_clip_quickgelu_224.metaclip_2pt5b on breast-ultrasound"),
        table(notes=("short.", *[PROTOCOL] * 5)),
        table(notes=("Not counted, failed: " + ", ".join(["MWM-0123456789-WMW"] * 40),)),
        table(notes=("0123456789" * 100,)),
        table(cell="$1 \\alpha_2^3$ %"),
    ],
    ids=["usual", "small", "high", "wide", "label", "title", "notes", "names", "digits", "signs"],
)
def test_nothing_is_cut_off(made: Table) -> None:
    assert (frame(pixels(made)) == 255).all()


def test_a_narrow_table_with_a_long_title_and_note() -> None:
    made = Table(
        title="small-cnn on phantom, and what else there may be to say",
        headings=("Optimizer", "A"),
        rows=(("adam", (Cell(text="1"),)),),
        notes=("A note that is longer than the table is wide.",),
    )
    assert (frame(pixels(made)) == 255).all()


def test_bold_cells_are_darker() -> None:
    def ink(bold: bool) -> int:
        rows = (("adam", (Cell(text="12.34", bold=bold),)),)
        made = Table(title="T", headings=HEADINGS[:2], rows=rows, notes=())
        return int((255 - pixels(made)).sum(dtype=int))

    assert ink(bold=True) > ink(bold=False)


def test_the_same_table_is_the_same_picture() -> None:
    assert table_png(table(), 60) == table_png(table(), 60)


def test_matplotlibs_global_state_is_left_alone() -> None:
    before = dict(mpl.rcParams)
    table_png(table(), 60)
    assert dict(mpl.rcParams) == before
