"""Figures from arrays made by hand: their size, their type, their limits, their titles."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

import sambench.report.curvature_plots
from sambench.files.arrays import write_arrays
from sambench.report.curvature_plots import (
    density_png,
    eigenvectors_png,
    interpolation_png,
    line_png,
    plane_png,
    surface_png,
    write_figures,
)
from sambench.report.style import png

if TYPE_CHECKING:
    from tests.conftest import RecordMaker

COMMON = {"samples": 512, "batch_norm": "eval"}
X = np.linspace(-1, 1, 5)
PLANE = np.exp(3 * np.hypot(*np.meshgrid(X, X)))
DENSITY_SECTION = {
    **COMMON,
    "file": "density.npz",
    "parameters": 1000,
    "probes": 5,
    "kernel_width": 0.1,
    "zero_mass": {"value": 0.991, "stderr": 0.002},
    "negative_mass": {"value": 0.003, "stderr": 0.0},
}


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """Every figure that is drawn, and a check that matplotlib's global settings are as before."""
    figures: list[Figure] = []

    def keep(figure: Figure, *arguments: Any) -> bytes:
        figures.append(figure)
        return png(figure, *arguments)

    monkeypatch.setattr(sambench.report.curvature_plots, "png", keep)
    before = dict(mpl.rcParams)
    yield figures
    assert dict(mpl.rcParams) == before


def density_arrays(scale: float = 0.01) -> dict[str, NDArray[Any]]:
    grid = scale * np.sinh(np.linspace(-3, 8, 200))
    density = np.exp(-((grid / scale) ** 2)) / scale
    return {
        "grid": grid,
        "density": density,
        "density_stderr": 0.1 * density,
        "resolved": np.array([500 * scale, 1000 * scale]),
        "scale": np.array(scale),
    }


def eigenvector_section(**changes: Any) -> dict[str, Any]:
    return {**COMMON, "eigenvalues": [1.3e5, 20.0], "converged": True, **changes}


def interpolation_arrays() -> dict[str, NDArray[Any]]:
    curve = 1 - X**2
    keys = ("alphas", "loss", "accuracy", "kept_loss", "kept_accuracy")
    return dict(zip(keys, (X, curve + 0.1, curve, curve + 0.2, curve), strict=True))


def texts(figure: Figure) -> list[Text]:
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text()]  # type: ignore[attr-defined]


def test_every_figure_fits_a_column_and_can_be_read(
    make_record: RecordMaker, drawn: list[Figure]
) -> None:
    record = make_record({"name": "sam", "rho": 0.05})
    line = {"x": X, "loss": X**2 + 0.1, "accuracy": 1 - X**2}
    plane = {"x": X, "y": X, "loss": PLANE, "accuracy": PLANE * 0}
    way = {**COMMON, "batch_norm": "recalibrate", "with": "phantom-small-cnn-adam-s0-1a2b3c4d5e"}
    pictures = [
        density_png(record, DENSITY_SECTION, density_arrays()),
        line_png(record, COMMON, line),
        plane_png(record, COMMON, plane),
        surface_png(record, COMMON, plane),
        eigenvectors_png(record, eigenvector_section(), plane),
        interpolation_png(record, way, interpolation_arrays()),
    ]
    assert len(drawn) == 6
    for picture, figure in zip(pictures, drawn, strict=True):
        with Image.open(io.BytesIO(picture)) as image:
            assert image.width == 1050  # 3.5 inches at 300 dpi
        assert min(text.get_fontsize() for text in texts(figure)) >= 7
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        width = figure.bbox.width
        title = figure._suptitle  # type: ignore[attr-defined]
        for text in [title, *(t for ax in figure.axes for t in (ax.xaxis.label, ax.yaxis.label))]:
            box = text.get_window_extent(renderer)
            assert box.x0 >= -1
            assert box.x1 <= width + 1
    for figure in drawn[:5]:
        title = figure._suptitle.get_text()  # type: ignore[attr-defined]
        assert "phantom, small-cnn, sam (rho=0.05), seed 0" in title
        assert "512 training images, BatchNorm eval" in title.replace("\n", " ")
    last = drawn[5]._suptitle.get_text()  # type: ignore[attr-defined]
    assert "adam-s0-1a2b3c4d5e" in last


def test_the_density_states_what_is_near_zero(
    make_record: RecordMaker, drawn: list[Figure]
) -> None:
    density_png(make_record(), DENSITY_SECTION, density_arrays())
    (ax,) = drawn[0].axes
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == [
        "mean ± SE of 5 probes",
        "2 single eigenvalues",
        "|λ| ≤ 0.01: 99.10 ± 0.20 %",
        "λ < −0.01: 0.3 ± 0.0 %",
    ]
    assert (ax.get_xscale(), ax.get_yscale()) == ("asinh", "log")
    assert list(ax.get_xticks()) == [-0.1, 0, 0.1, 1, 10]
    powers = [text.get_text() for text in ax.get_yticklabels()]
    assert len(powers) > 1
    assert all(set(text) <= {*"0123456789.k·⁻⁰¹²³⁴⁵⁶⁷⁸⁹"} for text in powers)  # no TeX: `10⁻⁴`


@pytest.mark.parametrize("scale", [1e-9, 1e7])
def test_a_density_of_any_scale(make_record: RecordMaker, scale: float) -> None:
    assert density_png(make_record(), DENSITY_SECTION, density_arrays(scale))


@pytest.mark.parametrize("draw", [plane_png, surface_png])
@pytest.mark.parametrize("corner", [math.inf, 1e300])
def test_losses_that_overflow_are_clipped(
    make_record: RecordMaker, draw: Any, corner: float
) -> None:
    loss = PLANE.copy()
    loss[0, :2] = corner
    assert draw(make_record(), COMMON, {"x": X, "y": X, "loss": loss})


@pytest.mark.parametrize("loss", [np.zeros((5, 5)), np.full((5, 5), 0.7), PLANE - 1])
def test_flat_and_vanishing_planes(make_record: RecordMaker, loss: NDArray[np.float64]) -> None:
    """A collapsed run is constant; a fitted one reaches a loss of zero."""
    assert plane_png(make_record(), COMMON, {"x": X, "y": X, "loss": loss})
    assert surface_png(make_record(), COMMON, {"x": X, "y": X, "loss": loss})


def test_a_line_with_infinite_ends(make_record: RecordMaker, drawn: list[Figure]) -> None:
    loss = np.array([math.inf, 5.0, 0.01, 5.0, math.inf])
    line_png(make_record(), COMMON, {"x": X, "loss": loss, "accuracy": np.full(5, math.nan)})
    top = drawn[0].axes[0]
    assert top.get_yscale() == "log"
    assert np.isfinite(top.get_ylim()).all()


def test_doubt_is_written_above(make_record: RecordMaker, drawn: list[Figure]) -> None:
    section = eigenvector_section(converged=False)
    eigenvectors_png(make_record(), section, {"x": X, "y": X, "loss": PLANE})
    title = drawn[0]._suptitle.get_text()  # type: ignore[attr-defined]
    assert "top two eigenvectors (not converged)" in title
    assert r"\lambda_1$ = 130k" in drawn[0].axes[0].get_xlabel()


def test_without_batch_normalisation_there_is_one_curve(
    make_record: RecordMaker, drawn: list[Figure]
) -> None:
    section = {**COMMON, "batch_norm": "none", "with": "other"}
    interpolation_png(make_record(), section, interpolation_arrays())
    assert len(drawn[0].axes[0].lines) == 1


def test_only_what_was_studied_is_drawn(make_record: RecordMaker, tmp_path: Path) -> None:
    assert write_figures(make_record(), tmp_path) == ([], [])
    assert write_figures(make_record(hessian={"top": {"value": 1.0}}), tmp_path) == ([], [])
    record = make_record(hessian={"density": DENSITY_SECTION})
    path = tmp_path / "density.npz"
    write_arrays(path, "spectral density", density_arrays())
    assert write_figures(record, tmp_path) == ([tmp_path / "density.png"], [])
    write_arrays(path, "spectral density", density_arrays() | {"density": np.ones(7)})
    said = f"{path} has no sound density; measure it again"
    assert write_figures(record, tmp_path) == ([], [said])


def test_a_file_that_is_gone_costs_its_own_pictures_alone(
    make_record: RecordMaker, tmp_path: Path
) -> None:
    """It is named once, though a plane is drawn in two ways."""
    plane = {**COMMON, "file": "landscape-plane.npz", "kind": "filter-normalised-plane"}
    record = make_record(hessian={"density": DENSITY_SECTION, "landscape": {"plane": plane}})
    write_arrays(tmp_path / "density.npz", "spectral density", density_arrays())
    written, (said,) = write_figures(record, tmp_path)
    assert written == [tmp_path / "density.png"]
    assert said.startswith(f"{tmp_path / 'landscape-plane.npz'} cannot be read (")
