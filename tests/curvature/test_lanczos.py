"""Extreme eigenvalues against matrices of known spectrum and closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from sambench.curvature import HessianOperator, eigenvalues, trace

from .cases import (
    SPECTRA,
    ConvNet,
    DenseOperator,
    batches,
    build,
    exact_hessian,
    random_vector,
    with_spectrum,
)

SIZES = (8, 8, 6)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("seed", range(3))
def test_finds_the_top_and_encloses_it(name: str, seed: int) -> None:
    spectrum = SPECTRA[name]
    truth, scale = float(spectrum.max()), float(spectrum.abs().max())
    found = eigenvalues(with_spectrum(spectrum), seed=seed)
    assert found.converged
    rounding = 1e-12 * scale
    assert truth - rounding <= found.upper_bound
    assert found.lower_bound <= float(spectrum.min()) + rounding
    assert float(found.values[0]) <= truth + rounding  # Ritz values stay inside the spectrum
    assert truth - float(found.values[0]) <= 1e-2 * abs(truth) + rounding  # certified
    low, high = found.intervals[0].tolist()
    assert low - rounding <= truth <= high + rounding
    distance = (spectrum - float(found.values[0])).abs().min()
    assert float(distance) <= float(found.residuals[0]) + rounding


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("seed", range(3))
def test_finds_the_dominant_one_with_its_sign(name: str, seed: int) -> None:
    spectrum = SPECTRA[name]
    truth = float(spectrum[spectrum.abs().argmax()])
    found = eigenvalues(with_spectrum(spectrum), which="dominant", seed=seed)
    if name == "flat":  # -1 and +1: neither is, and that is said
        assert not found.converged
        return
    assert found.converged
    assert float(found.values[0]) == pytest.approx(truth, rel=1e-2)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_near_tie_of_both_ends_is_told_apart(sign: int) -> None:
    # a residual of 1 % leaves 5e-4 of error in the value: more than this tie has
    spectrum = torch.cat([torch.linspace(-3, 3, 58), torch.tensor([-4.9999, 5.0])])
    operator = with_spectrum(sign * spectrum)
    for seed in range(20):
        found = eigenvalues(operator, which="dominant", seed=seed)
        assert found.converged
        assert float(found.values[0]) == pytest.approx(sign * 5.0, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_a_tie_within_rounding_the_sign_is_not_certified(dtype: torch.dtype) -> None:
    gap = float(torch.finfo(dtype).eps)
    spectrum = torch.cat([torch.linspace(-3, 3, 58), torch.tensor([-5.0, 5.0])]).double()
    spectrum[-1] += gap
    operator = DenseOperator(with_spectrum(spectrum).matrix.to(dtype))
    for seed in range(10):
        found = eigenvalues(operator, which="dominant", seed=seed)
        assert not found.converged
        assert found.matvecs < 60  # it ends where rounding leaves nothing to gain


@pytest.mark.parametrize("exponent", [-560, 560])
def test_squares_may_leave_the_range_of_float64(exponent: int) -> None:
    """A power of two changes no bit of a matrix but its scale."""
    usual, scaled = (with_spectrum(SPECTRA["network-like"]) for _ in range(2))
    scaled.matrix *= 2.0**exponent
    (one, total), (other, whole) = (
        (found := eigenvalues(operator, k=2, tol=1e-6), trace(operator, basis=found.basis))
        for operator in (usual, scaled)
    )
    assert other.converged
    assert other.matvecs == one.matvecs
    torch.testing.assert_close(other.values / 2.0**exponent, one.values, rtol=1e-12, atol=0)
    assert whole.interval[0] / 2.0**exponent == pytest.approx(total.interval[0], rel=1e-9)
    assert whole.stderr > 0


def test_the_zero_matrix_has_zero_eigenvalues() -> None:
    found = eigenvalues(DenseOperator(torch.zeros(9, 9).double()), k=3)
    assert found.converged
    assert found.values.tolist() == [0, 0, 0]
    assert (found.upper_bound, found.lower_bound, found.lowest) == (0, 0, 0)


def test_of_a_multiple_of_the_identity_each_start_sees_one_vector() -> None:
    found = eigenvalues(DenseOperator(2.0 * torch.eye(9).double()), k=3)
    assert found.values.tolist() == pytest.approx([2, 2, 2], rel=1e-12)
    assert (found.converged, found.matvecs) == (True, 3)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_small_matrices_are_solved_completely(size: int) -> None:
    found = eigenvalues(with_spectrum(torch.arange(1.0, size + 1)), k=5)
    expected = list(range(size, 0, -1))
    assert found.values.tolist() == pytest.approx(expected, rel=1e-12)
    assert found.upper_bound == pytest.approx(size, rel=1e-9)
    with_zero = eigenvalues(with_spectrum(torch.arange(size + 1.0)), k=5)  # which is never certain
    assert (with_zero.ended_by, with_zero.matvecs) == ("rounding", size + 1)


def test_the_top_five_of_a_network() -> None:
    data, model = batches(SIZES, (1, 8, 8)), build(ConvNet)
    exact = torch.linalg.eigvalsh(exact_hessian(model, data)).flip(0)
    found = eigenvalues(HessianOperator(model, functional.cross_entropy, data), k=5, tol=1e-4)
    assert found.converged
    torch.testing.assert_close(found.values, exact[:5], rtol=1e-6, atol=0)  # residual² / gap
    # two ways to one Hessian, and LAPACK's eigenvalues, differ by some n eps |H| on any processor
    rounding = len(exact) * torch.finfo(exact.dtype).eps * float(exact.abs().max())
    assert found.lower_bound <= float(exact[-1]) + rounding
    assert float(exact[-1]) <= found.lowest + found.lowest_residual + rounding
    assert float(found.residuals.max()) <= 1e-4 * float(found.values.max())


def test_vectors_are_unit_eigenvectors() -> None:
    operator = with_spectrum(SPECTRA["network-like"])
    found = eigenvalues(operator, k=3)
    assert found.vectors is not None
    true = found.vectors @ operator.matrix - found.values[:, None] * found.vectors
    # of two starts the residual is a bound, and what each left over adds up
    assert bool((true.norm(dim=1) <= found.residuals + 1e-10).all())
    assert bool((found.residuals <= 1e-2 * found.values).all())
    gram = found.vectors @ found.vectors.T
    torch.testing.assert_close(gram, torch.eye(3).double(), rtol=0, atol=1e-13)


def test_collapsed_predictor_has_the_closed_form() -> None:
    # equal features phi for all, class frequency p: top = 2 p (1-p) (|phi|² + 1)
    phi = random_vector(32)
    targets = torch.tensor([0] * 12 + [1] * 4)
    model = build(lambda: nn.Linear(32, 2))
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(torch.tensor([0.75, 0.25], dtype=torch.float64).log())
    data = [(phi.repeat(16, 1), targets)]
    found = eigenvalues(HessianOperator(model, functional.cross_entropy, data))
    expected = 2 * 0.75 * 0.25 * (float(phi @ phi) + 1)
    assert found.values[0] == pytest.approx(expected, rel=1e-12)


def test_negation_mirrors_the_spectrum() -> None:
    operator = with_spectrum(SPECTRA["network-like"])
    found, mirrored = eigenvalues(operator), eigenvalues(DenseOperator(-operator.matrix))
    assert mirrored.lowest == pytest.approx(-float(found.values[0]), rel=1e-6)
    dominant = [
        eigenvalues(H, which="dominant").values[0]
        for H in (operator, DenseOperator(-operator.matrix))
    ]
    assert float(dominant[1]) == pytest.approx(-float(dominant[0]), rel=1e-6)


def test_shifting_shifts_the_values() -> None:
    operator = with_spectrum(SPECTRA["network-like"])
    decayed = DenseOperator(operator.matrix + 2 * torch.eye(60).double())  # L2 penalty
    difference = eigenvalues(decayed).values - eigenvalues(operator).values
    torch.testing.assert_close(difference, torch.tensor([2.0]).double(), rtol=1e-4, atol=0)


# Cost ---------------------------------------------------------------------------------------------


def test_products_are_counted_and_few() -> None:
    operator = with_spectrum(SPECTRA["network-like"])
    operator.matvecs = 100
    found = eigenvalues(operator)
    assert found.matvecs == operator.matvecs - 100
    assert found.matvecs == len(found.basis.vectors)
    assert found.matvecs <= 9  # a strong gap
    assert eigenvalues(operator, 5).matvecs <= 20  # from two starts


def test_the_budget_holds_and_is_owned_up_to() -> None:
    found = eigenvalues(with_spectrum(SPECTRA["slow decay"]), tol=1e-6, max_matvecs=5)
    assert found.matvecs == 5
    assert not found.converged
    assert found.upper_bound >= 1


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    found = eigenvalues(
        with_spectrum(SPECTRA["cluster"]),
        max_matvecs=50,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(step, 50) for step in range(1, found.matvecs + 1)]


# Memory -------------------------------------------------------------------------------------------


def test_without_room_for_the_basis_the_value_is_still_found() -> None:
    operator = with_spectrum(SPECTRA["network-like"])
    full, thin = eigenvalues(operator), eigenvalues(operator, max_basis=3)
    assert thin.converged
    assert thin.vectors is None
    assert len(thin.basis.vectors) == 3
    assert float(thin.values[0]) == pytest.approx(float(full.values[0]), rel=1e-9)
    # copies may appear, and the bound allows for them
    assert full.upper_bound < thin.upper_bound < 1.01 * full.upper_bound


def test_without_room_for_the_basis_several_values_are_not_claimed() -> None:
    found = eigenvalues(with_spectrum(SPECTRA["slow decay"]), k=3, tol=1e-4, max_basis=6)
    assert not found.converged
    assert found.vectors is not None
    assert len(found.values) == 3


# Budgets ------------------------------------------------------------------------------------------


def test_says_why_it_ended() -> None:
    operator = with_spectrum(SPECTRA["slow decay"])
    assert eigenvalues(operator, tol=0.1).ended_by == "tolerance"
    assert eigenvalues(operator, tol=1e-9, max_matvecs=5).ended_by == "max_matvecs"
    assert eigenvalues(operator, k=3, tol=1e-9, max_basis=6).ended_by == "memory"
    found = eigenvalues(operator, k=2, out_of_time=lambda: True)
    assert (found.ended_by, found.converged, len(found.values)) == ("minutes", False, 2)


@pytest.mark.parametrize("spread", [1.0, 0.0])
def test_that_rounding_ended_it_is_no_tolerance(spread: float) -> None:
    matrix = with_spectrum(torch.cat([spread * torch.linspace(-1, 1, 59), torch.tensor([5.0])]))
    single = DenseOperator(matrix.matrix.float())
    found = eigenvalues(single, tol=1e-12)
    assert (found.ended_by, found.certified) == ("rounding", (False,))
    assert found.matvecs < 200
    assert eigenvalues(single, tol=1e-3).ended_by == "tolerance"


def test_the_lowest_eigenvalue_has_its_own_verdict() -> None:
    values = SPECTRA["network-like"]
    operator = with_spectrum(values)
    early, late = eigenvalues(operator, tol=1e-3), eigenvalues(operator, k=60)
    assert early.converged
    assert not early.lowest_certified
    assert late.lowest_certified
    assert late.lowest == pytest.approx(float(values.min()), rel=1e-9)


def test_a_sharp_minimum_s_lowest_eigenvalue_is_not_passed_off() -> None:
    # what was printed: -0.008, residual 0.64, "none below -915.7", yes, where -12.4 is true
    spectrum = torch.cat([_sharp(), torch.tensor([-12.4, 24_700.0])]).double()
    claims = 0
    for seed in range(50):
        found = eigenvalues(with_spectrum(spectrum), seed=seed)
        assert found.converged
        assert found.lower_bound <= -12.4
        claims += found.lowest_certified
        assert not found.lowest_certified or found.lowest == pytest.approx(-12.4, rel=1e-2)
    assert claims < 50


def _sharp() -> torch.Tensor:
    return torch.cat([torch.logspace(-3, 3, 150), -torch.logspace(-3, 0.5, 48)])


# Several ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outliers",
    [
        (20.55, 20.5, 20.0, 12.0, 7.0),  # what was printed for k = 3: 20.0 where 20.55 is true
        (5.0, 5.0, 5.0, 4.0, 4.0),  # of a multiple eigenvalue one start sees one vector
        (5.0, 5.0, 5.0, 5.0, 5.0),
        (9.0, 1.2, 1.1, 1.05, 1.01),
    ],
)
@pytest.mark.parametrize(
    "seeds", [range(2), pytest.param(range(2, 14), marks=pytest.mark.exhaustive)], ids=str
)
def test_no_eigenvalue_is_missed(outliers: tuple[float, ...], seeds: range) -> None:
    spectrum = torch.cat([torch.tensor(outliers), torch.linspace(-1, 1, 195)]).double()
    operator = with_spectrum(spectrum)
    for k in (2, 3, 5):
        for seed in seeds:
            found = eigenvalues(operator, k, seed=seed)
            assert found.converged
            assert found.values.tolist() == pytest.approx(outliers[:k], rel=1e-2)
            low, high = found.intervals.T.tolist()
            for truth, below, above in zip(outliers, low, high, strict=False):
                assert below - 1e-5 <= truth <= above + 1e-5


def test_several_cut_short_are_not_certified() -> None:
    operator = with_spectrum(torch.cat([torch.tensor([5.0, 5.0]), torch.linspace(-1, 1, 198)]))
    found = eigenvalues(operator, 2, max_matvecs=14)
    assert found.certified == (True, False)
    assert float(found.values[1]) < 4
    assert float(found.intervals[1, 1]) >= 5


def test_there_is_one_dominant_eigenvalue() -> None:
    with pytest.raises(ValueError, match="there is one"):
        eigenvalues(with_spectrum(SPECTRA["flat"]), 2, which="dominant")


@pytest.mark.parametrize("sign", [1, -1])
def test_after_one_product_the_interval_is_on_the_side_of_the_value(sign: int) -> None:
    spectrum = sign * torch.tensor([1.0, 2.0, 3.0])
    found = eigenvalues(with_spectrum(spectrum), which="dominant", max_matvecs=1)
    low, high = found.intervals[0].tolist()
    assert low <= 3 * sign <= high
    assert not found.converged


@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_basis_of_fewer_vectors_than_eigenvalues_is_refused(room: int) -> None:
    """A matrix of low rank takes another start, which a full basis has no room for."""
    operator = with_spectrum(torch.tensor([5.0, 3.0, *[0.0] * 20]))
    with pytest.raises(ValueError, match=f"max_basis={room} must be at least 4"):
        eigenvalues(operator, 4, max_basis=room)


# Randomness ---------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_bits_and_the_global_state_is_untouched() -> None:
    operator = with_spectrum(SPECTRA["slow decay"])
    state = torch.get_rng_state()
    first, again, other = (eigenvalues(operator, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.values, again.values)
    assert not torch.equal(first.values, other.values)
    assert torch.equal(torch.get_rng_state(), state)


def test_single_precision_agrees_with_double() -> None:
    data = batches(SIZES, (1, 8, 8))
    double = HessianOperator(build(ConvNet), functional.cross_entropy, data)
    single = HessianOperator(build(ConvNet).float(), functional.cross_entropy, data)
    exact, found = eigenvalues(double, tol=1e-4), eigenvalues(single, tol=1e-4)
    assert found.converged
    assert found.vectors is not None
    assert found.vectors.dtype == torch.float32
    torch.testing.assert_close(found.values, exact.values, rtol=1e-5, atol=0)
