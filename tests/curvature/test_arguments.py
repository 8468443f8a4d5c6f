"""An argument that means nothing is refused before any work, in one line, by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from sambench.curvature import (
    HessianOperator,
    average_sharpness,
    batch_spectrum,
    density,
    eigenvalues,
    eigenvector_plane,
    interpolation,
    random_landscape,
    trace,
    worst_case_sharpness,
)

from .cases import batches, build, mlp, with_spectrum

MATRIX = with_spectrum(torch.linspace(-1, 5, 20))
OF_A_MATRIX: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (eigenvalues, {"which": "lowest"}, "which='lowest': one of top, dominant"),
    (eigenvalues, {"which": "Dominant"}, "which='Dominant': one of top, dominant"),
    (density, {"start": "foo"}, "start='foo': one of sphere, rademacher"),
    (eigenvalues, {"k": 0}, "k=0 must be at least 1"),
    (eigenvalues, {"max_matvecs": 0}, "max_matvecs=0 must be at least 1"),
    (eigenvalues, {"max_basis": 0}, "max_basis=0 must be at least 1"),
    (eigenvalues, {"tol": float("nan")}, "tol=nan must be at least 0"),
    (trace, {"tol": -1.0}, "tol=-1.0 must be at least 0"),
    (trace, {"block": -1}, "block=-1 must be at least 1"),
    (density, {"grid_points": 1}, "grid_points=1 must be at least 2"),
    (density, {"width": 0.0}, "width=0.0 must be positive"),
    (eigenvalues, {"on_progress": None}, "on_progress=None must be a function, or left out"),
    (eigenvalues, {"out_of_time": 3}, "out_of_time=3 must be a function, or left out"),
    (trace, {"on_progress": None}, "on_progress=None must be a function, or left out"),
    (density, {"on_progress": None}, "on_progress=None must be a function, or left out"),
]
OF_A_NETWORK: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (HessianOperator, {"l2": -1.0}, "l2=-1.0 must be at least 0"),
    (random_landscape, {"dimensions": 3}, "dimensions=3: one of 1, 2"),
    (random_landscape, {"dimensions": 0}, "dimensions=0: one of 1, 2"),
    (worst_case_sharpness, {"ball": "l1"}, "ball='l1': one of l2, adaptive-l2, adaptive-linf"),
    *(
        (measure, {"on_progress": None}, "on_progress=None must be a function, or left out")
        for measure in (
            random_landscape,
            eigenvector_plane,
            worst_case_sharpness,
            average_sharpness,
        )
    ),
]
OF_BATCHES = [
    ({"num_batches": 0}, "num_batches=0 must be at least 1"),
    ({"perturbations": -1}, "perturbations=-1 must be at least 0"),
    ({"max_matvecs": 0}, "max_matvecs=0 must be at least 1"),
    ({"on_batch": None}, "on_batch=None must be a function, or left out"),
]


@pytest.mark.parametrize(("measure", "given", "message"), OF_A_MATRIX)
def test_of_a_matrix(measure: Callable[..., Any], given: dict[str, Any], message: str) -> None:
    before = MATRIX.matvecs
    with pytest.raises(ValueError, match=message) as caught:
        measure(MATRIX, **given)
    assert str(caught.value) == message
    assert MATRIX.matvecs == before


@pytest.mark.parametrize(("measure", "given", "message"), OF_A_NETWORK)
def test_of_a_network(measure: Callable[..., Any], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        measure(build(mlp), functional.cross_entropy, batches((8,), (6,)), **given)
    assert str(caught.value) == message


@pytest.mark.parametrize(("given", "message"), OF_BATCHES)
def test_of_batches(given: dict[str, Any], message: str) -> None:
    with (
        HessianOperator(build(mlp), functional.cross_entropy, batches((8, 8), (6,))) as H,
        pytest.raises(ValueError, match=message),
    ):
        batch_spectrum(H, **given)


def test_of_a_segment() -> None:
    model, data = build(mlp), batches((8,), (6,))
    with pytest.raises(ValueError, match="on_progress=None must be a function"):
        interpolation(model, model.state_dict(), functional.cross_entropy, data, on_progress=None)  # type: ignore[arg-type]
