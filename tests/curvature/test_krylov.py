"""The Lanczos recurrence and its basis."""

from __future__ import annotations

import pytest
import torch

from sambench.curvature.krylov import Basis, Lanczos
from sambench.errors import CurvatureError

from .cases import SPECTRA, DenseOperator, random_vector, with_spectrum

ROUNDING = 60 * torch.finfo(torch.float64).eps * 3
"""What an eigensolver may leave of the matrix of rank one: n eps |H|."""


def run_of(
    name: str, steps: int, max_basis: int = 60, dtype: torch.dtype = torch.float64
) -> Lanczos:
    operator = DenseOperator(with_spectrum(SPECTRA[name]).matrix.to(dtype))
    run = Lanczos(operator, random_vector(60).to(dtype), max_basis)
    for _ in range(steps):
        run.step()
    return run


def stored(basis: Basis) -> torch.Tensor:
    """The vectors of a basis as rows: it removes them from the identity's."""
    identity = torch.eye(60, dtype=torch.float64)
    removed = [row - basis.project_out(row.clone()) for row in identity]
    return torch.stack(removed)  # QQ'


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_vectors_stay_orthonormal(dtype: torch.dtype, tolerance: float) -> None:
    # a spectrum whose top converges at once, which is what destroys orthogonality without care
    run = run_of("network-like", 40, dtype=dtype)
    q = run.basis.combine(torch.eye(40).double().numpy()).double()
    # a few units of rounding
    torch.testing.assert_close(q @ q.T, torch.eye(40).double(), rtol=0, atol=4 * tolerance)


def test_tridiagonal_matrix_is_the_projection() -> None:
    run, matrix = run_of("network-like", 12), with_spectrum(SPECTRA["network-like"]).matrix
    q = run.basis.combine(torch.eye(12).double().numpy())
    T = torch.diag(torch.tensor(run.alphas, dtype=torch.float64))
    off = torch.tensor(run.betas[:-1], dtype=torch.float64)
    T += torch.diag(off, 1) + torch.diag(off, -1)
    torch.testing.assert_close(q @ matrix @ q.T, T, rtol=0, atol=1e-11)  # entries up to 85
    assert run.projected_trace() == pytest.approx(float(torch.trace(q @ matrix @ q.T)), rel=1e-12)


def test_residuals_are_those_of_the_vectors() -> None:
    run, matrix = run_of("slow decay", 10), with_spectrum(SPECTRA["slow decay"]).matrix
    ritz = run.ritz()
    vectors = run.basis.combine(ritz.coefficients)
    true = (vectors @ matrix - torch.from_numpy(ritz.values)[:, None] * vectors).norm(dim=1)
    torch.testing.assert_close(torch.from_numpy(ritz.residuals), true, rtol=0, atol=1e-13)


def test_stops_exactly_when_the_space_is_invariant() -> None:
    run = run_of("rank one", 2)
    assert run.exhausted
    assert run.ritz().values == pytest.approx([0, 3], abs=ROUNDING)
    assert run_of("flat", 60).exhausted  # the whole space
    assert not run_of("flat", 30).exhausted


def test_restarts_in_the_complement() -> None:
    run = run_of("rank one", 2)
    run.restart(random_vector(60, 1))
    run.step()
    assert run.ritz().values == pytest.approx([0, 0, 3], abs=ROUNDING)


def test_without_room_for_the_basis_extreme_values_stay_right() -> None:
    full, thin = run_of("network-like", 30), run_of("network-like", 30, max_basis=2)
    assert full.complete
    assert not thin.complete
    assert len(thin.basis) == 2
    ends = [0, -1]
    # without reorthogonalisation copies appear, but the ends keep machine precision
    assert thin.ritz().values[ends] == pytest.approx(full.ritz().values[ends], rel=1e-12)


def test_projection_removes_the_basis_and_nothing_else() -> None:
    run = run_of("flat", 11)  # more than one block
    projector = stored(run.basis)
    torch.testing.assert_close(projector @ projector, projector, rtol=0, atol=1e-13)
    assert float(projector.trace()) == pytest.approx(11, abs=1e-12)


def test_an_overflow_is_an_error() -> None:
    operator = DenseOperator(torch.full((3, 3), torch.inf).double())
    with pytest.raises(CurvatureError, match="not finite"):
        Lanczos(operator, random_vector(3), 3).step()
