"""Which graphs are kept and the others gone, their bytes, and operations named that have none."""

from __future__ import annotations

import weakref
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sambench.curvature import HessianOperator
from sambench.curvature.graph import saved_bytes
from sambench.errors import CurvatureError

from .cases import batches, build, mlp, random_vector

SIZES = (8, 8, 6)


def count_forwards(model: nn.Module) -> list[int]:
    calls: list[int] = []
    model.register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    return calls


def test_graphs_are_kept_within_the_budget_and_rebuilt_beyond() -> None:
    data, v = batches((8, 8, 8), (6,)), random_vector(92)
    with HessianOperator(build(mlp), functional.cross_entropy, data) as probe:
        kept = probe.matvec(v)
        one_graph = probe.graph_bytes // 3
    for graph_bytes, forwards in [(None, 3), (0, 9), (one_graph, 7), (2 * one_graph, 5)]:
        model = build(mlp)
        calls = count_forwards(model)
        operator = HessianOperator(model, functional.cross_entropy, data, graph_bytes=graph_bytes)
        calls.clear()  # those of the checks
        products = [operator.matvec(v) for _ in range(3)]
        assert len(calls) == forwards
        assert all(torch.equal(product, kept) for product in products)


def test_a_block_goes_over_the_data_once() -> None:
    model = build(mlp)
    calls = count_forwards(model)
    operator = HessianOperator(model, functional.cross_entropy, batches(SIZES, (6,)), graph_bytes=0)
    calls.clear()
    operator.matmat(random_vector(8 * 92).view(92, 8))
    assert calls == [8, 8, 6]


def test_a_batch_view_keeps_its_own_graph_until_closed() -> None:
    model = build(mlp)
    calls = count_forwards(model)
    operator = HessianOperator(model, functional.cross_entropy, batches(SIZES, (6,)), graph_bytes=0)
    calls.clear()
    with operator.batch(1) as view:
        for _ in range(3):
            view.matvec(random_vector(92))
        assert len(calls) == 1
        assert view.graph_bytes > 0
    assert view.graph_bytes == operator.graph_bytes == 0


def test_closing_releases_the_graphs_and_use_rebuilds_them() -> None:
    operator, v = (
        HessianOperator(build(mlp), functional.cross_entropy, batches(SIZES, (6,))),
        random_vector(92),
    )
    before = operator.matvec(v)
    assert operator.graph_bytes > 0
    operator.close()
    assert operator.graph_bytes == 0
    assert torch.equal(operator.matvec(v), before)


class Witness(torch.autograd.Function):
    """The identity; its context lives as long as the graph that it is part of."""

    alive: ClassVar[weakref.WeakSet[object]] = weakref.WeakSet()

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        Witness.alive.add(ctx)
        return x.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        return gradient


def test_memory_does_not_grow_with_the_number_of_batches() -> None:
    counts: list[int] = []

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        counts.append(len(Witness.alive))
        return functional.cross_entropy(Witness.apply(outputs), targets)

    data = batches((2,) * 50, (6,))
    operator = HessianOperator(build(mlp), loss, data, graph_bytes=0)
    counts.clear()
    operator.matvec(random_vector(92))
    assert len(counts) == 50
    assert max(counts) == 0  # each graph was gone before the next one was begun
    assert len(Witness.alive) == 0  # not even a cycle that waits for the collector


def test_saved_tensors_are_counted_once_and_weights_not() -> None:
    weight = torch.ones(100, requires_grad=True)
    with saved_bytes([weight]) as saved:
        hidden = torch.ones(100) * weight  # saves the ones
        result = hidden.exp()  # saves its result ...
        (result * result).sum()  # ... which is saved again, twice
    assert sum(saved.values()) == 2 * 100 * 4


def test_counting_leaves_derivatives_as_they_are() -> None:
    weight = torch.linspace(0, 1, 5, dtype=torch.float64, requires_grad=True)
    with saved_bytes([weight]):
        (gradient,) = torch.autograd.grad(weight.sin().exp().sum(), weight, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), weight)
    expected = weight.sin().exp() * (weight.cos() ** 2 - weight.sin())
    # some units in the last place of three functions of order one, which libraries round each way
    torch.testing.assert_close(second, expected.detach(), rtol=1e-13, atol=1e-14)


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
