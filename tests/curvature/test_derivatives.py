"""An operation without a second derivative is named instead of left out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sambench.curvature import HessianOperator
from sambench.errors import CurvatureError

from .cases import batches, build, mlp

SIZES = (8, 8, 6)


class Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return 2 * x * gradient


def speech_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    steps = outputs.log_softmax(-1).unsqueeze(0)
    lengths = torch.ones(len(outputs), dtype=torch.long)
    return functional.ctc_loss(steps, targets.clamp(min=1).unsqueeze(1), lengths, lengths)


def test_an_operation_without_second_derivative_is_named() -> None:
    with pytest.raises(CurvatureError, match="aten::_ctc_loss_backward cannot be differentiated"):
        HessianOperator(build(mlp), speech_loss, batches(SIZES, (6,)))


def test_a_custom_function_without_second_derivative_is_named() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(Squared.apply(outputs), targets)

    with pytest.raises(CurvatureError, match=r"Squared cannot be .*average_sharpness"):
        HessianOperator(build(mlp), loss, batches(SIZES, (6,)))
