"""The vector against plain tensors."""

from __future__ import annotations

import pytest
import torch

from sambench.optim import build
from sambench.optim.problems import batch, closure_of, flat, network
from sambench.optim.vector import PerTensor, Vector


def tensors(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in [(3, 4), (5,), (2, 2, 2)]]


def joined(vector: Vector) -> torch.Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in vector.tensors])


def test_arithmetic_is_that_of_one_long_tensor() -> None:
    a, b = Vector(tensors(0)), Vector(tensors(1))
    x, y = joined(a), joined(b)
    for found, expected in [
        (a + b, x + y),
        (a - b, x - y),
        (-a, -x),
        (2.0 * a, 2 * x),
        (a * torch.tensor(0.5), x * 0.5),
        (a.clone().add_(b, -3.0), x - 3 * y),
        (a.clone().mul_(4.0), 4 * x),
    ]:
        torch.testing.assert_close(joined(found), expected)


def test_arithmetic_leaves_its_operands_alone() -> None:
    a, b = Vector(tensors(0)), Vector(tensors(1))
    _ = (a + b, a - b, -a, 2.0 * a, a.clone().mul_(0.0))
    assert torch.equal(joined(a), joined(Vector(tensors(0))))


def test_the_norm_is_over_all_tensors_together() -> None:
    a = Vector(tensors(0))
    assert a.norm().item() == pytest.approx(joined(a).double().norm().item(), rel=1e-6)


def test_the_norm_of_a_large_tensor_is_accurate() -> None:
    """One float32 sum over 20 million squares is wrong by 1e-3 on the CPU; pieces by 1e-6."""
    large = torch.randn(20_000_000, generator=torch.Generator().manual_seed(0))
    expected = large.double().norm().item()
    assert Vector([large]).norm().item() == pytest.approx(expected, rel=1e-5)


def test_the_norm_of_half_precision_does_not_overflow() -> None:
    vector = Vector([torch.full((100,), 3e4, dtype=torch.float16)])
    assert vector.norm().item() == pytest.approx(3e5, rel=1e-3)


def test_a_factor_for_each_tensor() -> None:
    a = Vector(tensors(0))
    found = a * (PerTensor((1.0, 2.0, 3.0)) / torch.tensor(2.0))
    for tensor, original, factor in zip(found.tensors, tensors(0), (0.5, 1.0, 1.5), strict=True):
        torch.testing.assert_close(tensor, factor * original)


def test_groups_may_have_their_own_radius() -> None:
    model, plain = network(), network()
    parameters = list(model.parameters())
    groups = [
        {"params": parameters[:2], "rho": 0.0},
        {"params": parameters[2:], "rho": 0.4},
    ]
    optimizer = build("sam", groups, "sgd", lr=1.0)
    before = flat(model)
    optimizer.step(closure_of(model, *batch()))
    closure_of(plain, *batch())()
    gradients = [p.grad for p in plain.parameters()]
    norm = torch.cat([g.reshape(-1) for g in gradients if g is not None]).norm()
    with torch.no_grad():
        for parameter, gradient in list(zip(plain.parameters(), gradients, strict=True))[2:]:
            parameter.add_(0.4 * gradient / norm)
    plain.zero_grad()
    closure_of(plain, *batch())()
    expected = torch.cat([p.grad.reshape(-1) for p in plain.parameters() if p.grad is not None])
    torch.testing.assert_close(before - flat(model), expected, rtol=0, atol=1e-10)
