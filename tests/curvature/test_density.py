"""Stochastic Lanczos quadrature against known spectra and exact moments."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from torch import Tensor
from torch.nn import functional

from sambench.curvature import HessianOperator, density
from sambench.errors import CurvatureError

from .cases import SPECTRA, DenseOperator, batches, build, exact_hessian, mlp, with_spectrum


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("start", ["sphere", "rademacher"])
def test_moments_of_known_spectra(name: str, start: str) -> None:
    spectrum = SPECTRA[name]
    found = density(with_spectrum(spectrum), probes=40, steps=12, start=start)  # type: ignore[arg-type]
    for weights in found.weights:
        assert float(weights.sum()) == pytest.approx(1, abs=1e-12)
    # 4 standard errors of 40 probes; random signs are exact in places, hence the rounding beside
    slack = 1e-12 * float(spectrum.abs().max())
    assert abs(found.mean - float(spectrum.mean())) <= 4 * found.mean_stderr + slack
    second = float((spectrum**2).mean())
    assert abs(found.second - second) <= 4 * found.second_stderr + 1e-12 * second + 1e-30


def test_the_first_moment_is_hutchinsons_estimate() -> None:
    """The quadrature integrates polynomials exactly: sample by sample v'Hv and |Hv|^2."""
    recorded: list[tuple[Tensor, Tensor]] = []

    class Recording(DenseOperator):
        def matvec(self, vector: Tensor, out: Tensor | None = None) -> Tensor:
            product = super().matvec(vector, out)
            recorded.append((vector.clone(), product.clone()))
            return product

    matrix = with_spectrum(SPECTRA["network-like"]).matrix
    found = density(Recording(matrix), probes=3, steps=10)
    starts = recorded[::10]
    first = [float(v @ Hv) for v, Hv in starts]
    second = [float(Hv @ Hv) for _, Hv in starts]
    assert found.trace == pytest.approx(60 * np.mean(first), rel=1e-10)
    assert found.trace_stderr == pytest.approx(60 * np.std(first, ddof=1) / 3**0.5, rel=1e-9)
    assert found.second == pytest.approx(np.mean(second), rel=1e-10)


def test_all_steps_reproduce_the_spectrum() -> None:
    """After N steps the nodes are the eigenvalues themselves."""
    spectrum = SPECTRA["slow decay"]
    found = density(with_spectrum(spectrum), probes=2, steps=100)
    assert found.matvecs == 2 * 60
    for nodes in found.nodes:
        np.testing.assert_allclose(nodes, spectrum.sort().values, atol=1e-10)
    np.testing.assert_allclose(found.resolved, spectrum.sort().values, atol=1e-10)


def test_cumulative_distribution_of_a_network() -> None:
    data, model = batches((8, 8, 3), (6,)), build(mlp)
    exact = torch.linalg.eigvalsh(exact_hessian(model, data)).numpy()
    with HessianOperator(model, functional.cross_entropy, data) as H:
        found = density(H, probes=30, steps=200)
    null = int((np.abs(exact) < 1e-12).sum())  # one node stands for the whole null space
    assert found.size == len(exact)
    assert len(exact) - null < found.steps <= len(exact)
    assert found.matvecs <= 30 * found.steps
    assert found.scale == pytest.approx(1e-3 * np.abs(exact).max(), rel=1e-6)
    for mass, stderr, share in (
        (found.zero_mass, found.zero_mass_stderr, (np.abs(exact) <= found.scale).mean()),
        (found.negative_mass, found.negative_mass_stderr, (exact < -found.scale).mean()),
    ):
        assert abs(mass - share) < 4 * stderr
    inner = np.abs(exact[:, None] - found.resolved).min(0)
    assert len(found.resolved) > 3
    assert np.all(inner <= found.resolved_residuals + 1e-12)


def test_smoothed_density() -> None:
    """Integrates to one; a rank-one matrix is two bumps of the kernel's closed form."""
    found = density(with_spectrum(SPECTRA["rank one"]), probes=200, steps=5, grid_points=4000)
    assert trapezoid(found.density, found.grid) == pytest.approx(1, abs=1e-3)
    at_zero = np.interp(0.0, found.grid, found.density)
    expected = (59 / 60) / (found.width * found.scale * np.sqrt(2 * np.pi))
    stderr = np.interp(0.0, found.grid, found.density_stderr)
    assert abs(at_zero - expected) < 4 * stderr
    assert found.zero_mass == pytest.approx(59 / 60, abs=4 * found.zero_mass_stderr)
    np.testing.assert_allclose(found.resolved, [3.0], rtol=1e-10)


@pytest.mark.parametrize("factor", [1e-7, 1e5])
def test_the_picture_does_not_depend_on_the_scale(factor: float) -> None:
    plain = density(with_spectrum(SPECTRA["network-like"]), steps=20)
    scaled = density(with_spectrum(factor * SPECTRA["network-like"]), steps=20)
    np.testing.assert_allclose(scaled.grid, factor * plain.grid, rtol=1e-6, atol=1e-9 * factor)
    np.testing.assert_allclose(factor * scaled.density, plain.density, rtol=1e-5, atol=1e-9)


def test_random_signs_know_the_trace_of_a_diagonal_matrix() -> None:
    """Each z'Dz is the trace; a direction from the sphere weighs the entries at random."""
    H = DenseOperator(torch.arange(1.0, 21.0).double().diag())
    signs, sphere = (density(H, steps=5, start=start) for start in ("rademacher", "sphere"))
    assert (signs.start, sphere.start) == ("rademacher", "sphere")
    assert (signs.trace, signs.trace_stderr) == pytest.approx((210, 0), rel=1e-10, abs=1e-8)
    assert sphere.trace_stderr > 1


def test_an_operator_of_zeros() -> None:
    found = density(DenseOperator(torch.zeros(20, 20, dtype=torch.float64)))
    assert (found.mean, found.second, found.zero_mass) == (0, 0, 1)
    assert found.matvecs == 5
    assert np.isfinite(found.grid).all()


def test_without_room_for_the_basis_the_moments_stay_right() -> None:
    H = with_spectrum(SPECTRA["network-like"])
    kept, short = (density(H, steps=50, max_basis=most) for most in (50, 2))
    assert kept.reorthogonalised
    assert not short.reorthogonalised
    assert short.mean == pytest.approx(kept.mean, rel=1e-9)
    assert short.zero_mass == pytest.approx(kept.zero_mass, abs=0.02)


@pytest.mark.parametrize(("left", "whole"), [(3, False), (1000, True)])
def test_lanczos_vectors_take_what_the_graphs_have_left(
    monkeypatch: pytest.MonkeyPatch, left: int, whole: bool
) -> None:
    """Half of a GPU's memory for each of the two would leave none for a batch in flight."""
    module = importlib.import_module("sambench.curvature.density")
    monkeypatch.setattr(module, "vectors_that_fit", lambda H: left if H.matvecs else 1000)
    found = density(with_spectrum(SPECTRA["slow decay"]), probes=2, steps=10)
    assert found.reorthogonalised is whole


def test_seed_progress_and_refusals() -> None:
    H, seen = with_spectrum(SPECTRA["flat"]), list[tuple[int, int]]()
    first = density(H, 2, 5, seed=3, on_progress=lambda done, most: seen.append((done, most)))
    assert seen == [(done, 10) for done in range(1, 11)]
    assert np.array_equal(first.density, density(H, 2, 5, seed=3).density)
    assert not np.array_equal(first.density, density(H, 2, 5, seed=4).density)
    with pytest.raises(ValueError, match="probes=1 must be at least 2"):
        density(H, probes=1)
    with pytest.raises(CurvatureError, match="not finite"):
        density(DenseOperator(torch.full((5, 5), float("nan"), dtype=torch.float64)))
