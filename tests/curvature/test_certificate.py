"""The bound on what a Lanczos run may have missed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from sambench.curvature.certificate import least_overlap, upper_bound
from sambench.curvature.krylov import Lanczos

from .cases import SPECTRA, random_vector, with_spectrum

STEPS = (1, 2, 3, 5, 8, 12)


def test_holds_on_every_spectrum_start_and_step() -> None:
    checks = violations = 0
    for spectrum in SPECTRA.values():
        operator = with_spectrum(spectrum)
        for seed in range(10):
            run = Lanczos(operator, random_vector(60, seed), 60)
            for step in range(1, max(STEPS) + 1):
                run.step()
                largest = float(run.ritz().values[-1])
                if step in STEPS:
                    bound = upper_bound(run.alphas, run.betas, largest, 60, 1e-3)
                    checks += 1
                    # a certificate may be short by rounding where it is exact
                    violations += bound < float(spectrum.max()) - 1e-9 * float(spectrum.abs().max())
                if run.exhausted:
                    break
    assert checks > 400
    assert violations == 0  # at a chance of 1e-3 each, and dependent: 10 starts per spectrum


def test_fails_as_seldom_as_it_says() -> None:
    # one step on a matrix of rank one is where the inequality is an equality, 1 + p_1² = 1 / c²
    operator, failures, starts = with_spectrum(SPECTRA["rank one"]), 0, 400
    for seed in range(starts):
        run = Lanczos(operator, random_vector(60, seed), 60)
        run.step()
        failures += upper_bound(run.alphas, run.betas, run.alphas[0], 60, 0.1) < 3.0
    assert abs(failures / starts - 0.1) < 3 * math.sqrt(0.09 / starts)  # three standard errors


def test_tightens_with_every_step() -> None:
    run = Lanczos(with_spectrum(SPECTRA["network-like"]), random_vector(60), 60)
    bounds = []
    for _ in range(10):
        run.step()
        largest = float(run.ritz().values[-1])
        bounds.append(upper_bound(run.alphas, run.betas, largest, 60, 1e-3))
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(85.3, rel=1e-4)


def test_of_a_long_run_it_is_where_its_closed_form_says() -> None:
    """Of diagonal 0 beside 1 the polynomials are Chebyshev's, p_j(2 cosh t) sinh t = sinh (j+1)t,
    whose squares overflow in most of the places that are looked at."""
    with np.errstate(over="raise", invalid="raise"):
        found = upper_bound([0.0] * 300, [1.0] * 300, 2.0, 1000, 1e-6)

    def excess(t: float) -> float:
        squares = sum((math.sinh((j + 1) * t) / math.sinh(t)) ** 2 for j in range(301))
        return squares - least_overlap(1000, 1e-6) ** -2

    expected = 2 * math.cosh(brentq(excess, 1e-4, 1.0))
    assert found - 2 == pytest.approx(expected - 2, rel=1e-4)


def test_is_exact_on_an_invariant_space() -> None:
    assert upper_bound([3.0, 1.0], [0.5, 0.0], 3.2, 60, 1e-3) == pytest.approx(3.2, rel=1e-9)
    assert upper_bound([0.0], [0.0], 0.0, 60, 1e-3) == 0


@pytest.mark.parametrize("size", [2, 5, 60])
def test_overlap_is_the_quantile_of_a_random_direction(size: int) -> None:
    draws = torch.randn(20_000, size, generator=torch.Generator().manual_seed(0))
    overlap = (draws[:, 0] / draws.norm(dim=1)).abs()
    chance = float((overlap < least_overlap(size, 0.1)).double().mean())
    assert abs(chance - 0.1) < 3 * math.sqrt(0.09 / 20_000)  # three standard errors


def test_overlap_in_high_dimension_is_the_limit() -> None:
    size = 24_000_000
    limit = 1e-3 * math.sqrt(math.pi / 2 / size)  # relative correction of order 1/n
    assert least_overlap(size, 1e-3) == pytest.approx(limit, rel=1e-5)
    assert least_overlap(1, 1e-3) == 1
