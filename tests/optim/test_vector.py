"""The vector against plain tensors."""

from __future__ import annotations

import pytest
import torch

from benchmarks.meter import Meter
from sambench.optim import build
from sambench.optim.contract import batch, closure_of, flat, network
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
        (2.0 * a, 2 * x),
        (a * torch.tensor(0.5), x * 0.5),
        (a.clone().add_(b, -3.0), x - 3 * y),
        (a.clone().mul_(4.0), 4 * x),
    ]:
        torch.testing.assert_close(joined(found), expected)


def test_arithmetic_leaves_its_operands_alone() -> None:
    a, b = Vector(tensors(0)), Vector(tensors(1))
    _ = (a + b, a - b, 2.0 * a, a.clone().mul_(0.0))
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


@pytest.mark.parametrize(
    "factor",
    [-1.5, torch.tensor(-1.5), PerTensor((-1.5,) * 3), PerTensor((torch.tensor(-1.5),) * 3)],
)
def test_sums_with_factors_of_any_kind(factor: float | torch.Tensor | PerTensor) -> None:
    a, b, c = (Vector(tensors(seed)) for seed in range(3))
    x, y, z = joined(a), joined(b), joined(c)
    torch.testing.assert_close(joined(a.clone().times_plus_(factor, b)), -1.5 * x + y)
    torch.testing.assert_close(joined(a.clone().add_(b, factor)), x - 1.5 * y)
    if not isinstance(factor, float):
        torch.testing.assert_close(joined(a.plus_product(b.clone(), c, factor)), x - 1.5 * y * z)


def images(size: int, *, last: bool) -> torch.Tensor:
    values = torch.randn(size, 64, 9, 9, generator=torch.Generator().manual_seed(size))
    return values.contiguous(memory_format=torch.channels_last) if last else values


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("one_last", "other_last"), [(True, True), (True, False), (False, False)])
def test_products_of_tensors_in_any_order_of_memory(
    one_last: bool, other_last: bool, dtype: torch.dtype
) -> None:
    """Three pieces and one, against float64; bfloat16 keeps 8 bits."""
    a = Vector([images(100, last=one_last).to(dtype), images(3, last=one_last).to(dtype)])
    a = a.abs()
    b = a * 0.3 + Vector(
        [images(101, last=other_last)[:100].to(dtype), images(4, last=other_last)[:3].to(dtype)]
    )
    x, y = joined(a).double(), joined(b).double()
    inner, square = a.products(b)
    rel = 1e-5 if dtype == torch.float32 else 1e-2
    assert inner.item() == pytest.approx((x @ y).item(), rel=rel)
    assert square.item() == pytest.approx((y @ y).item(), rel=rel)
    known, _ = a.products(b, norm=a.norm())
    assert known.item() == pytest.approx(inner.item(), rel=1e-6)


def test_norms_and_products_of_channels_last_tensors_copy_nothing() -> None:
    a, b = Vector([images(100, last=True)]), Vector([images(101, last=True)[:100]])
    with Meter() as meter:
        a.norm()
        a.products(b)
    assert sum(operation.written for operation in meter.operations) < 10_000


def test_groups_may_have_their_own_radius() -> None:
    model, plain = network(), network()
    parameters = list(model.parameters())
    groups = [
        {"params": parameters[:2], "rho": 0.0},
        {"params": parameters[2:], "rho": 0.4},
    ]
    optimizer = build("sam", groups, "sgd", lr=1.0)
    optimizer.observing = True
    before = flat(model)
    optimizer.step(closure_of(model, *batch()))
    closure_of(plain, *batch())()
    gradients = [p.grad for p in plain.parameters()]
    norm = torch.cat([g.reshape(-1) for g in gradients if g is not None]).norm()
    second = torch.cat([g.reshape(-1) for g in gradients[2:] if g is not None]).norm()
    assert optimizer.observation is not None
    assert optimizer.observation.epsilon_norm == pytest.approx(float(0.4 * second / norm))
    with torch.no_grad():
        for parameter, gradient in list(zip(plain.parameters(), gradients, strict=True))[2:]:
            parameter.add_(0.4 * gradient / norm)
    plain.zero_grad()
    closure_of(plain, *batch())()
    expected = torch.cat([p.grad.reshape(-1) for p in plain.parameters() if p.grad is not None])
    torch.testing.assert_close(before - flat(model), expected, rtol=0, atol=1e-10)
