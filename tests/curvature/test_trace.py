"""The trace against its exact value, its own error bar and the loss around the minimum."""

from __future__ import annotations

import itertools
import math
import sys

import pytest
import torch
from torch.nn import functional

from sambench.curvature import (
    DeflationBasis,
    HessianOperator,
    TraceEstimate,
    eigenvalues,
    trace,
)
from sambench.curvature.krylov import Basis
from sambench.errors import CurvatureError

from .cases import (
    SPECTRA,
    DenseOperator,
    batches,
    build,
    exact_hessian,
    flat_weights,
    loss_of_weights,
    mlp,
    with_spectrum,
)

INDEFINITE = torch.cat([torch.linspace(-9, 9, 60), torch.tensor([20.0, -15.0])])  # trace 5


def test_deflation_is_an_identity_in_the_mean() -> None:
    # all 2^6 sign vectors instead of random ones: the expectation itself
    operator = with_spectrum(torch.tensor([7.0, 2.0, 1.0, -1.0, -3.0, 0.5]))
    basis = eigenvalues(operator, max_matvecs=2).basis
    assert len(basis.vectors) == 2
    samples = []
    for signs in itertools.product([-1.0, 1.0], repeat=6):
        probe = basis.vectors.project_out(torch.tensor(signs).double())
        samples.append(float(probe @ operator.matrix @ probe))
    assert basis.projected_trace + sum(samples) / 64 == pytest.approx(6.5, abs=1e-12)


@pytest.mark.parametrize("deflated", [False, True])
def test_is_unbiased_on_an_indefinite_matrix(deflated: bool) -> None:
    operator = with_spectrum(INDEFINITE)
    basis = eigenvalues(operator, max_matvecs=6).basis if deflated else None
    runs = [trace(operator, seed=seed, basis=basis, max_matvecs=8) for seed in range(200)]
    estimates = torch.tensor([run.estimate for run in runs])
    error = abs(float(estimates.mean()) - 5)
    assert error < 3 * float(estimates.std()) / math.sqrt(len(runs))


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("max_matvecs", [8, 32])
def test_the_interval_covers_the_truth(max_matvecs: int, deflated: bool) -> None:
    operator = with_spectrum(INDEFINITE)

    def run(seed: int) -> TraceEstimate:
        basis = eigenvalues(operator, max_matvecs=8, seed=seed).basis if deflated else None
        return trace(operator, seed=seed, basis=basis, max_matvecs=max_matvecs, block=32)

    runs = [run(seed) for seed in range(200)]
    covered = sum(low <= 5 <= high for low, high in (run.interval for run in runs))
    assert covered / len(runs) >= 0.9  # 95 % nominal; 0.90 is three standard errors below


def test_the_interval_covers_the_truth_when_it_stops_by_itself() -> None:
    operator = with_spectrum(SPECTRA["network-like"])
    truth = float(SPECTRA["network-like"].sum())
    runs = [trace(operator, tol=0.2, seed=seed, max_matvecs=400) for seed in range(200)]
    assert sum(run.converged for run in runs) > 190
    covered = sum(low <= truth <= high for low, high in (run.interval for run in runs))
    assert covered / len(runs) >= 0.9  # stopping on a lucky spread costs some of the 95 %


def test_deflation_takes_the_outliers_out_of_the_variance() -> None:
    operator = with_spectrum(SPECTRA["network-like"])
    truth = float(SPECTRA["network-like"].sum())
    basis = eigenvalues(operator).basis
    plain = trace(operator, max_matvecs=64, tol=0)
    deflated = trace(operator, max_matvecs=64, tol=0, basis=basis)
    assert deflated.stderr < plain.stderr / 10
    assert deflated.estimate == pytest.approx(truth, abs=4 * deflated.stderr)


def test_a_basis_of_the_whole_space_is_exact() -> None:
    operator = with_spectrum(torch.tensor([3.0, -1.0, 0.5]))
    found = trace(operator, basis=eigenvalues(operator, k=3).basis)
    assert found.estimate == pytest.approx(2.5, abs=1e-12)
    assert found.converged
    assert found.stderr < 1e-12


def test_rademacher_probes_are_exact_on_a_diagonal() -> None:
    found = trace(DenseOperator(torch.diag(torch.arange(5.0).double())))
    assert (found.estimate, found.stderr, found.matvecs) == (10, 0, 8)


def test_of_a_network() -> None:
    data, model = batches((8, 8, 6), (6,)), build(mlp)
    operator = HessianOperator(model, functional.cross_entropy, data)
    exact = float(exact_hessian(model, data).trace())
    found = trace(operator, tol=0, basis=eigenvalues(operator).basis, max_matvecs=64)
    assert found.estimate == pytest.approx(exact, abs=4 * found.stderr)
    views = [operator.batch(index) for index in range(3)]
    parts = [trace(view, tol=0, max_matvecs=64).estimate for view in views]
    whole = trace(operator, tol=0, max_matvecs=64).estimate  # the same probes
    added = sum(n / 22 * part for n, part in zip((8, 8, 6), parts, strict=True))
    assert whole == pytest.approx(added, rel=1e-12)


def test_agrees_with_the_mean_rise_of_the_loss() -> None:
    # E[L(w + rho d) + L(w - rho d) - 2 L(w)] = rho² tr H: only values of the loss
    data, model, rho = batches((22,), (6,)), build(mlp), 1e-3
    function, weights = loss_of_weights(model, functional.cross_entropy, data), flat_weights(model)
    noise = torch.randn(2000, 92, generator=torch.Generator().manual_seed(0)).double()
    losses = torch.vmap(lambda d: function(weights + rho * d) + function(weights - rho * d))(noise)
    rises = (losses - 2 * function(weights)).detach() / rho**2
    found = trace(HessianOperator(model, functional.cross_entropy, data), tol=0, max_matvecs=100)
    error = math.hypot(found.stderr, float(rises.std()) / math.sqrt(len(rises)))
    assert abs(found.estimate - float(rises.mean())) < 3 * error


def test_samples_and_interval_belong_together() -> None:
    found = trace(with_spectrum(INDEFINITE), max_matvecs=20)
    assert found.matvecs == len(found.samples) == 20
    assert not found.converged
    assert found.estimate == pytest.approx(float(found.samples.mean()))
    assert found.stderr == pytest.approx(float(found.samples.std()) / math.sqrt(20))
    half = 2.093024 * found.stderr  # the tabled t quantile of 19 degrees of freedom
    assert found.interval == pytest.approx((found.estimate - half, found.estimate + half), rel=1e-6)


def test_blocks_change_nothing_but_the_passes() -> None:
    operator = with_spectrum(INDEFINITE)
    # sums of products in another order: rounding only
    one, eight = (trace(operator, max_matvecs=16, block=size) for size in (16, 8))
    torch.testing.assert_close(one.samples, eight.samples, rtol=1e-12, atol=1e-12)


def test_probes_are_independent_of_a_basis_of_the_same_seed() -> None:
    # an empty basis removes nothing, so equal streams would show as an overlap with the start
    operator = with_spectrum(INDEFINITE)
    plain = trace(operator, seed=3)
    empty = DeflationBasis(vectors=Basis(0), projected_trace=0.0)
    assert torch.equal(trace(operator, seed=3, basis=empty).samples, plain.samples)
    start = eigenvalues(operator, seed=3, max_matvecs=2).basis
    overlaps = [float(start.vectors.project_out(p.clone()).norm() / p.norm()) for p in _probes(50)]
    mean = sum(1 - overlap**2 for overlap in overlaps) / 50  # of a random direction: 1/62
    assert mean < 4 / 62


def _probes(count: int) -> list[torch.Tensor]:
    from sambench.curvature.vectors import TRACE_STREAM, generator, rademacher

    operator = with_spectrum(INDEFINITE)
    return list(rademacher(operator, generator(operator.device, 3, TRACE_STREAM), count))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_basis_of_other_weights_is_refused(dtype: torch.dtype) -> None:
    data, model = batches((8, 8, 6), (6,)), build(mlp).to(dtype)
    operator = HessianOperator(model, functional.cross_entropy, data)
    again = HessianOperator(model, functional.cross_entropy, data, graph_bytes=0)
    others = {
        "another network": HessianOperator(build(mlp, 1).to(dtype), functional.cross_entropy, data),
        "further training": operator.displaced(_descent(operator), 0.1),
        "a penalty": HessianOperator(model, functional.cross_entropy, data, l2=0.01),
        "one batch": operator.batch(0),
        "another size": operator.block(["0.weight"]),
    }
    for given in ({}, {"k": 3}, {"max_basis": 12}):
        basis = eigenvalues(operator, **given).basis
        before = (operator.matvecs, again.matvecs)
        right = trace(operator, tol=0, max_matvecs=16, basis=basis)
        same = trace(again, tol=0, max_matvecs=16, basis=basis)
        torch.testing.assert_close(same.samples, right.samples)
        made = len(right.samples) + 1  # that of the check is not counted in the result
        assert right.matvecs == made - 1
        assert (operator.matvecs, again.matvecs) == (before[0] + made, before[1] + made)
        for other in others.values():
            with pytest.raises(
                CurvatureError, match=r"of another H than this: call eigenvalues\(H\) anew"
            ):
                trace(other, basis=basis)


def test_a_basis_whose_value_is_near_zero_is_known_again() -> None:
    """Rounding takes a product by a share of its own length, be the eigenvalue never so small."""
    operator = with_spectrum(torch.cat([torch.ones(30), -torch.ones(32)]))
    value = float(eigenvalues(operator, max_matvecs=1).values[0])
    shifted = operator.matrix - value * torch.eye(62, dtype=torch.float64)
    found = eigenvalues(DenseOperator(shifted), max_matvecs=1)
    assert abs(float(found.values[0])) < 1e-12
    rounded = DenseOperator(shifted * (1 + 50 * torch.finfo(torch.float64).eps))
    assert trace(rounded, max_matvecs=8, basis=found.basis).matvecs == 8


def _descent(operator: HessianOperator) -> dict[str, torch.Tensor]:
    direction, start = dict[str, torch.Tensor](), 0
    _, gradient = operator.gradient()
    for name, weight in build(mlp).named_parameters():
        direction[name] = -gradient[start : start + weight.numel()].view_as(weight)
        start += weight.numel()
    return direction


def test_eigenvalues_are_no_basis() -> None:
    operator = with_spectrum(INDEFINITE)
    with pytest.raises(ValueError, match=r"basis is of Eigenpairs: give eigenvalues\(H\)\.basis"):
        trace(operator, basis=eigenvalues(operator))  # type: ignore[arg-type]


def test_too_small_a_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 8"):
        trace(with_spectrum(INDEFINITE), max_matvecs=7)


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    trace(
        with_spectrum(INDEFINITE),
        max_matvecs=20,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(8, 20), (16, 20), (20, 20)]


def test_says_why_it_ended() -> None:
    operator = with_spectrum(SPECTRA["network-like"])
    assert trace(operator, tol=0.5).ended_by == "tolerance"
    assert trace(operator, tol=0, max_matvecs=16).ended_by == "max_matvecs"
    found = trace(operator, tol=0, out_of_time=lambda: True)
    assert (found.matvecs, found.ended_by, found.converged) == (8, "minutes", False)


@pytest.mark.parametrize(
    ("fitting", "block"), [(1000, 8), (16, 8), (15, 4), (7, 2), (3, 1), (0, 1)]
)
def test_blocks_shrink_to_the_memory_and_the_samples_stay(
    monkeypatch: pytest.MonkeyPatch, fitting: int, block: int
) -> None:
    operator, widths = with_spectrum(INDEFINITE), list[int]()
    usual = trace(operator, max_matvecs=24)
    original = operator.matmat

    def counted(vectors: torch.Tensor) -> torch.Tensor:
        widths.append(vectors.shape[1])
        return original(vectors)

    operator.matmat = counted  # type: ignore[method-assign]
    module = sys.modules["sambench.curvature.lanczos"]
    monkeypatch.setattr(module, "vectors_that_fit", lambda H: fitting)
    found = trace(operator, max_matvecs=24)
    assert set(widths) == {block}  # a probe and a product each
    torch.testing.assert_close(found.samples, usual.samples, rtol=1e-12, atol=1e-12)
