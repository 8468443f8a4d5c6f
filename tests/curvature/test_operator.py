"""The Hessian operator against matrices that come from elsewhere."""

from __future__ import annotations

import doctest
import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import sambench.curvature.operator
from sambench.curvature import HessianOperator

from .cases import (
    Attention,
    ConvNet,
    Loss,
    Recurrent,
    batches,
    build,
    difference_product,
    exact_hessian,
    flat_weights,
    joined,
    loss_of_weights,
    mlp,
    random_vector,
)

SIZES = (8, 8, 6)  # an incomplete last batch
SMOOTHED = functools.partial(functional.cross_entropy, label_smoothing=0.1)


def matrix(operator: HessianOperator) -> Tensor:
    return operator.matmat(torch.eye(operator.size, dtype=torch.float64))


def mlp_operator(**settings: int) -> HessianOperator:
    return HessianOperator(build(mlp), functional.cross_entropy, batches(SIZES, (6,)), **settings)


# Against other derivations ------------------------------------------------------------------------


@pytest.mark.parametrize(("factory", "shape"), [(mlp, (6,)), (ConvNet, (1, 8, 8))])
def test_equals_the_exact_hessian(factory: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    # not for layer norm: there torch.func.hessian itself is wrong, by 1e-2 in the gain's rows
    data = batches(SIZES, shape)
    measured = matrix(HessianOperator(build(factory), functional.cross_entropy, data))
    exact = exact_hessian(build(factory), data)
    # the two modes round differently: a few thousand units of float64
    torch.testing.assert_close(measured, exact, rtol=0, atol=1e-12 * float(exact.abs().max()))


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], Loss]] = {
    "layer norm": (lambda: nn.Sequential(mlp(), nn.LayerNorm(4)), (6,), functional.cross_entropy),
    "group norm": (
        lambda: nn.Sequential(mlp(), nn.GroupNorm(2, 4)),
        (6,),
        functional.cross_entropy,
    ),
    "rms norm": (lambda: nn.Sequential(mlp(), nn.RMSNorm(4)), (6,), functional.cross_entropy),
    "batch norm, pooling": (ConvNet, (1, 8, 8), functional.cross_entropy),
    "attention": (Attention, (3, 4), functional.cross_entropy),
    "recurrence": (Recurrent, (3, 4), functional.cross_entropy),
    "label smoothing": (mlp, (6,), SMOOTHED),
}


@pytest.mark.parametrize("name", LAYERS)
def test_equals_the_difference_of_gradients(name: str) -> None:
    factory, shape, loss = LAYERS[name]
    data, model = batches(SIZES, shape), build(factory)
    operator = HessianOperator(model, loss, data)
    vector = functional.normalize(random_vector(operator.size), dim=0)
    expected = difference_product(model, data, vector, loss)
    # a step of 1e-5: truncation near 1e-10, rounding near 1e-16 / 1e-5
    error = (operator.matvec(vector) - expected).norm() / expected.norm()
    assert error < 1e-7


def test_linear_regression_has_the_closed_form() -> None:
    data = [(x, torch.zeros(len(x), 2).double()) for x, _ in batches(SIZES, (5,))]
    model = build(lambda: nn.Linear(5, 2, bias=False))
    x, _ = joined(data)
    expected = torch.kron(torch.eye(2).double(), x.T @ x / len(x))  # mse averages two outputs
    measured = matrix(HessianOperator(model, functional.mse_loss, data))
    torch.testing.assert_close(measured, expected, rtol=1e-12, atol=1e-12)


def test_softmax_regression_has_the_closed_form() -> None:
    data = batches(SIZES, (5,))
    model = build(lambda: nn.Linear(5, 4, bias=False))
    x, _ = joined(data)
    p = model(x).softmax(-1)
    logits = torch.diag_embed(p) - torch.einsum("nc,nd->ncd", p, p)
    expected = torch.einsum("ncd,ni,nj->cidj", logits, x, x).reshape(20, 20) / len(x)
    measured = matrix(HessianOperator(model, functional.cross_entropy, data))
    torch.testing.assert_close(measured, expected.detach(), rtol=1e-12, atol=1e-12)


def test_a_constant_added_to_all_class_biases_changes_nothing() -> None:
    operator = mlp_operator()
    vector = torch.zeros(operator.size, dtype=torch.float64)
    vector[-4:] = 1  # softmax does not see it; measured 1e-17 against a norm of one
    assert float(operator.matvec(vector).norm()) < 1e-14


# As an operator -----------------------------------------------------------------------------------


def test_is_symmetric_and_linear() -> None:
    operator = mlp_operator()
    u, v = random_vector(operator.size, 1), random_vector(operator.size, 2)
    Hu, Hv = operator.matvec(u), operator.matvec(v)
    torch.testing.assert_close(u @ Hv, v @ Hu, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(operator.matvec(2 * u - v), 2 * Hu - Hv, rtol=1e-12, atol=1e-13)


def test_scales_with_the_loss() -> None:
    data, model, v = batches(SIZES, (6,)), build(mlp), random_vector(92)
    tripled = HessianOperator(model, lambda out, y: 3 * functional.cross_entropy(out, y), data)
    plain = HessianOperator(model, functional.cross_entropy, data)
    torch.testing.assert_close(tripled.matvec(v), 3 * plain.matvec(v), rtol=1e-12, atol=1e-13)


def test_weighs_batches_by_their_samples() -> None:
    operator, v = mlp_operator(), random_vector(92)
    views = [operator.batch(index) for index in range(3)]
    added = sum(n / 22 * view.matvec(v) for n, view in zip(SIZES, views, strict=True))
    torch.testing.assert_close(operator.matvec(v), added, rtol=1e-12, atol=1e-14)


def test_does_not_depend_on_how_the_data_is_cut() -> None:
    data, v = batches(SIZES, (1, 8, 8)), random_vector(145)
    whole = HessianOperator(build(ConvNet), functional.cross_entropy, [joined(data)])
    cut = HessianOperator(
        build(ConvNet), functional.cross_entropy, iter(data)
    )  # any iterable will do
    torch.testing.assert_close(whole.matvec(v), cut.matvec(v), rtol=1e-11, atol=1e-14)


def test_a_batch_view_is_that_batch_alone() -> None:
    data, v = batches(SIZES, (6,)), random_vector(92)
    operator = HessianOperator(build(mlp), functional.cross_entropy, data)
    alone = HessianOperator(build(mlp), functional.cross_entropy, data[2:])
    view = operator.batch(2)
    assert torch.equal(view.matvec(v), alone.matvec(v))
    assert (view.num_batches, view.num_samples, view.batch_sizes) == (1, 6, (6,))
    assert (view.matvecs, operator.matvecs) == (1, 0)


def test_a_block_of_vectors_is_the_vectors_one_by_one() -> None:
    operator = mlp_operator()
    block = random_vector(3 * 92).view(92, 3)
    columns = torch.stack([operator.matvec(column) for column in block.T], dim=1)
    assert torch.equal(operator.matmat(block), columns)
    assert operator.matvecs == 6


@pytest.mark.parametrize("shape", [(91,), (93,)])
def test_a_vector_of_another_length_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected 92 rows"):
        mlp_operator().matvec(torch.zeros(shape))


def test_frozen_weights_are_left_out() -> None:
    data, model = batches(SIZES, (6,)), build(mlp)
    full = matrix(HessianOperator(model, functional.cross_entropy, data))
    model[0].requires_grad_(False)
    part = matrix(HessianOperator(model, functional.cross_entropy, data))
    # entries are sums of terms of order one, which may cancel
    torch.testing.assert_close(part, full[56:, 56:], rtol=1e-12, atol=1e-14)


class Wasteful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(6, 4), nn.Linear(2, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.used(inputs)


def test_unused_and_linear_weights_have_zero_rows() -> None:
    model, data = build(Wasteful), batches(SIZES, (6,))
    measured = matrix(HessianOperator(model, functional.cross_entropy, data))
    assert float(measured[28:].abs().max()) == 0 == float(measured[:, 28:].abs().max())
    assert float(measured[:28, :28].abs().max()) > 0
    linear = HessianOperator(model, lambda out, y: out.mean(), data)
    assert float(matrix(linear).abs().max()) == 0


def test_tied_weights_count_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).tanh())

    data = batches(SIZES, (4,))
    operator = HessianOperator(build(Tied), functional.cross_entropy, data)
    assert operator.size == 16 + 4 + 4
    v = random_vector(operator.size)
    expected = difference_product(build(Tied), data, v / v.norm())
    error = (operator.matvec(v) / v.norm() - expected).norm() / expected.norm()
    assert error < 1e-7  # as above


# Precision ----------------------------------------------------------------------------------------


def test_single_precision_is_kept_on_a_fitted_network() -> None:
    ((inputs, _),) = batches((256,), (6,))
    model = build(mlp)
    clearest = _margins(model(inputs)).topk(16).indices  # so that no logit grows beyond bounds
    inputs, targets = inputs[clearest], model(inputs)[clearest].argmax(-1)
    factor = 15 / float(_margins(model(inputs)).min())  # brings the loss to about 1e-7
    with torch.no_grad():
        model[2].weight.mul_(factor)
        model[2].bias.mul_(factor)
    data, v = [(inputs, targets)], random_vector(92)
    assert 1e-8 < float(functional.cross_entropy(model(inputs), targets).detach()) < 2e-7
    exact = HessianOperator(model, functional.cross_entropy, data).matvec(v)

    def error(loss: Loss) -> float:
        product = HessianOperator(model.float(), loss, data).matvec(v)
        assert product.dtype == torch.float32
        return float((product.double() - exact).norm() / exact.norm())

    assert error(functional.cross_entropy) < 1e-5
    # it is the float64 outputs that do it: without them the product is mostly rounding
    assert error(lambda out, y: functional.cross_entropy(out.float(), y)) > 1e-2


def _margins(logits: Tensor) -> Tensor:
    top = logits.detach().topk(2).values
    return top[:, 0] - top[:, 1]


def test_the_documented_example_runs() -> None:
    assert doctest.testmod(sambench.curvature.operator).failed == 0


# Cost ---------------------------------------------------------------------------------------------


def test_a_product_is_written_where_it_is_asked_for() -> None:
    operator, v = mlp_operator(), random_vector(92)
    expected = operator.matvec(v)
    out = torch.full_like(v, 7.0)  # what was there is forgotten
    assert operator.matvec(v, out) is out
    assert torch.equal(out, expected)


# Views --------------------------------------------------------------------------------------------


def test_layers_are_the_diagonal_blocks() -> None:
    model, data = build(mlp), batches(SIZES, (6,))
    operator = HessianOperator(model, functional.cross_entropy, data)
    assert operator.layers == {
        "0 (Linear)": ("0.weight", "0.bias"),
        "2 (Linear)": ("2.weight", "2.bias"),
    }
    full, v = exact_hessian(model, data), random_vector(36)
    block = operator.block(operator.layers["2 (Linear)"])
    assert (block.size, block.num_samples) == (36, 22)
    torch.testing.assert_close(block.matvec(v), full[56:, 56:] @ v, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(
        block.batch(1).matvec(v), operator.batch(1).block(("2.bias", "2.weight")).matvec(v)
    )
    assert (block.matvecs, operator.matvecs) == (1, 0)


@pytest.mark.parametrize("names", [(), ("2.weight", "3.weight")])
def test_a_block_of_no_weights_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="no weights"):
        mlp_operator().block(names)


def test_relative_changes_and_a_penalty_are_products_of_matrices() -> None:
    model, data, v = build(mlp), batches(SIZES, (6,)), random_vector(92)
    d, full = flat_weights(model).abs(), exact_hessian(model, data)
    plain = HessianOperator(model, functional.cross_entropy, data)
    torch.testing.assert_close(
        plain.adaptive().matvec(v), d * (full @ (d * v)), rtol=1e-11, atol=1e-13
    )
    penalised = HessianOperator(model, functional.cross_entropy, data, l2=0.3)
    torch.testing.assert_close(penalised.matvec(v), full @ v + 0.3 * v, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(
        penalised.adaptive().block(("2.bias",)).matvec(v[:4]),
        (d[-4:] * (full[-4:, -4:] @ (d[-4:] * v[:4]) + 0.3 * d[-4:] * v[:4])),
        rtol=1e-11,
        atol=1e-13,
    )


def test_adaptive_curvature_does_not_see_a_rescaling_between_layers() -> None:
    def network(factor: float) -> nn.Module:
        model = build(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)))
        with torch.no_grad():
            model[0].weight.mul_(factor)
            model[0].bias.mul_(factor)
            model[2].weight.div_(factor)
        return model

    data, v = batches(SIZES, (6,)), random_vector(92)
    one, ten = (HessianOperator(network(f), functional.cross_entropy, data) for f in (1, 10))
    torch.testing.assert_close(
        one.adaptive().matvec(v), ten.adaptive().matvec(v), rtol=1e-10, atol=1e-12
    )
    assert float((one.matvec(v) - ten.matvec(v)).norm()) > 0.1 * float(one.matvec(v).norm())


def test_displaced_is_the_hessian_elsewhere() -> None:
    model, data, v = build(mlp), batches(SIZES, (6,)), random_vector(92)
    operator = HessianOperator(model, functional.cross_entropy, data)
    before = operator.matvec(v)
    moved = operator.displaced({"0.weight": torch.ones(8, 6).double()}, 0.1)
    with torch.no_grad():
        model[0].weight.add_(0.1)
    torch.testing.assert_close(
        moved.matvec(v), exact_hessian(model, data) @ v, rtol=1e-11, atol=1e-13
    )
    assert torch.equal(operator.matvec(v), before)
    names = operator.layers["2 (Linear)"]
    part = operator.block(names).displaced({"0.weight": torch.ones(8, 6).double()}, 0.1)
    assert torch.equal(part.matvec(v[:36]), moved.block(names).matvec(v[:36]))


def test_the_gradient_is_that_of_the_function() -> None:
    model, data = build(mlp), batches(SIZES, (6,))
    weights = flat_weights(model).requires_grad_()
    function = loss_of_weights(model, functional.cross_entropy, data)
    value = function(weights) + 0.15 * weights.square().sum()
    (expected,) = torch.autograd.grad(value, weights)
    operator = HessianOperator(model, functional.cross_entropy, data, l2=0.3)
    loss, gradient = operator.gradient()
    assert loss == pytest.approx(float(value.detach()), rel=1e-12)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-14)
    relative = operator.adaptive().gradient()[1]
    torch.testing.assert_close(relative, expected * weights.detach().abs(), rtol=1e-12, atol=1e-14)
