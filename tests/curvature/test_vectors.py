"""Inner products, random draws, and memory to spare."""

from __future__ import annotations

import pytest
import torch

from sambench.curvature import vectors
from sambench.curvature.vectors import dot, gaussian, generator, norm, rademacher, spare_bytes

from .cases import SPECTRA, with_spectrum

CPU = torch.device("cpu")


def test_inner_products_are_accumulated_in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "CHUNK", 1000)  # several chunks, the last incomplete
    values = torch.linspace(0, 1, 3001)  # sums of a thousand squares leave float32 behind
    exact = float(values.double() @ values.double())
    # n eps bounds the error of a sum of n positive products, in whatever order they are added
    rel = len(values) * torch.finfo(torch.float64).eps
    assert dot(values, values) == pytest.approx(exact, rel=rel)
    assert norm(values) ** 2 == pytest.approx(exact, rel=rel)


def test_streams_and_seeds_differ_and_repeat() -> None:
    draws = [
        torch.randn(4, generator=generator(CPU, seed, stream))
        for seed, stream in [(3, 0), (3, 0), (3, 1), (4, 0)]
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])


def test_draws_have_the_moments_of_their_names() -> None:
    operator = with_spectrum(SPECTRA["flat"])
    signs = rademacher(operator, generator(CPU, 0, 0), 500)
    assert signs.shape == (500, 60)
    assert torch.equal(signs.abs(), torch.ones(500, 60).double())
    assert abs(float(signs.mean())) < 3 / 30_000**0.5  # three standard errors
    assert gaussian(operator, generator(CPU, 0, 0)).dtype == torch.float64


def test_spare_memory_is_some_of_what_there_is() -> None:
    assert 1 << 20 < spare_bytes(torch.device("cpu")) < 1 << 50
