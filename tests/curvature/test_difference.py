"""Products from first derivatives: how near they come, and where they are the only ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from sambench.curvature import HessianOperator, eigenvalues
from sambench.errors import CurvatureError

from .cases import batches, build, exact_hessian, mlp, random_vector

SIZES = (8, 8, 6)


class Once(torch.autograd.Function):
    """tanh, whose author has not differentiated it twice."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    @once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * (1 - x.tanh() ** 2)


class OnceNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](Once.apply(self.net[0](x)))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-2)])
def test_differences_are_near_the_exact_product(dtype: torch.dtype, tolerance: float) -> None:
    model, data = build(mlp), batches(SIZES, (6,))
    full, v = exact_hessian(model, data), random_vector(92)
    operator = HessianOperator(
        model.to(dtype), functional.cross_entropy, data, hvp="finite-difference"
    )
    expected = full @ v
    # h² with h = eps^(1/3): 4e-11 in double, 2e-5 in single precision, and as much rounding
    assert float((operator.matvec(v).double() - expected).norm() / expected.norm()) < tolerance
    scaled = operator.matvec(1e4 * v).double() / 1e4  # the step does not depend on the length
    assert float((scaled - expected).norm() / expected.norm()) < tolerance
    block = operator.block(("2.weight", "2.bias")).matvec(v[56:]).double()
    part = full[56:, 56:] @ v[56:]
    assert float((block - part).norm() / part.norm()) < tolerance
    assert operator.graph_bytes == 0


def test_zero_has_the_product_zero() -> None:
    operator = HessianOperator(
        build(mlp), functional.cross_entropy, batches(SIZES, (6,)), hvp="finite-difference"
    )
    assert not operator.matvec(torch.zeros(92)).any()


def test_an_operation_without_a_second_derivative_is_named_and_differences_offered() -> None:
    model, data = build(OnceNet), batches(SIZES, (6,))
    with pytest.raises(CurvatureError, match=r"Once cannot be .*--hvp finite-difference"):
        HessianOperator(model, functional.cross_entropy, data).matvec(random_vector(92))
    with HessianOperator(model, functional.cross_entropy, data, hvp="finite-difference") as H:
        found = eigenvalues(H, tol=1e-3)
    exact = torch.linalg.eigvalsh(exact_hessian(model.net, data))[-1]
    assert found.converged
    assert float(found.values[0]) == pytest.approx(float(exact), rel=1e-6)


def test_another_way_is_refused() -> None:
    with pytest.raises(ValueError, match="one of reverse, finite-difference"):
        HessianOperator(
            build(mlp),
            functional.cross_entropy,
            batches(SIZES, (6,)),
            hvp="forward",  # type: ignore[arg-type]
        )
