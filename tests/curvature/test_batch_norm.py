"""Batch normalisation in its three modes; the model's own statistics are never touched."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from sambench.curvature import HessianOperator
from sambench.curvature.objective import BatchNorm
from sambench.errors import CurvatureError

from .cases import Batches, ConvNet, batches, build, flat_weights, joined, random_vector

SIZES = (8, 8, 6)
MODES = get_args(BatchNorm)


def plain_convnet() -> nn.Module:
    model = ConvNet()
    model.head[0] = nn.Identity()  # dropout would follow the training flag
    return model


def gradient_at(model: nn.Module, data: Batches, weights: Tensor) -> Tensor:
    """The gradient of the mean over batches of the loss, in the mode that the model is in."""
    count = sum(len(x) for x, _ in data)
    nn.utils.vector_to_parameters(weights, model.parameters())
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    total = torch.zeros_like(weights)
    for x, y in data:
        values = {**dict(model.named_parameters()), **{n: b.clone() for n, b in buffers.items()}}
        loss = functional.cross_entropy(functional_call(model, values, (x,)), y)
        parts = torch.autograd.grad(loss, [*model.parameters()])
        total += len(x) / count * torch.cat([part.reshape(-1) for part in parts])
    return total


def by_differences(model: nn.Module, data: Batches, v: Tensor) -> Tensor:
    weights, step = flat_weights(model), 1e-5
    up, down = (gradient_at(model, data, weights + sign * step * v) for sign in (1, -1))
    nn.utils.vector_to_parameters(weights, model.parameters())
    return (up - down) / (2 * step)


def test_train_mode_is_the_hessian_of_the_batches_own_normalisation() -> None:
    data, model = batches(SIZES, (1, 8, 8)), build(plain_convnet)
    operator = HessianOperator(model, functional.cross_entropy, data, batch_norm="train")
    v = functional.normalize(random_vector(operator.size), dim=0)
    expected = by_differences(model.train(), data, v)
    # a step of 1e-5: truncation near 1e-10, rounding near 1e-16 / 1e-5
    assert float((operator.matvec(v) - expected).norm() / expected.norm()) < 1e-7
    evaluated = HessianOperator(model, functional.cross_entropy, data).matvec(v)
    assert float((evaluated - expected).norm() / expected.norm()) > 0.1


def test_recalibrated_statistics_are_means_weighted_by_samples() -> None:
    data, model = batches(SIZES, (1, 8, 8)), build(ConvNet)
    operator = HessianOperator(model, functional.cross_entropy, data, batch_norm="recalibrate")
    v = random_vector(operator.size)
    conv, norm = model.features[0], model.features[1]
    x, _ = joined(data)
    features = conv(x)
    parts = torch.split(features, SIZES)
    variances = torch.stack([part.transpose(0, 1).flatten(1).var(1) for part in parts])
    shares = torch.tensor(SIZES).double() / 22
    norm.running_mean.copy_(features.mean((0, 2, 3)).detach())
    norm.running_var.copy_((shares[:, None] * variances).sum(0).detach())
    expected = HessianOperator(model, functional.cross_entropy, data).matvec(v)
    torch.testing.assert_close(operator.matvec(v), expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("mode", MODES)
def test_the_model_is_left_as_it_is(mode: BatchNorm) -> None:
    model, data = build(ConvNet), batches(SIZES, (1, 8, 8))
    model.features[1].momentum = 0.3
    model.features[1].train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flags = [module.training for module in model.modules()]
    operator = HessianOperator(model, functional.cross_entropy, data, batch_norm=mode)
    v = random_vector(operator.size)
    first = operator.matvec(v)
    operator.displaced({}, 0.0).matvec(v)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert (model.features[1].momentum, [m.training for m in model.modules()]) == (0.3, flags)
    assert torch.equal(operator.matvec(v), first)
    assert operator.batch_norm == mode


def test_a_scale_invariant_weight_has_the_curvature_of_its_gradient() -> None:
    # L(c w) = L(w) for the filter before a normalisation: g'w = 0 and, differentiated, Hw = -g
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3, bias=False)
            self.norm = nn.BatchNorm2d(3, eps=1e-12)
            self.head = nn.Linear(108, 4)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.norm(self.conv(images)).tanh().flatten(1))

    model, data = build(Normalised), batches(SIZES, (1, 8, 8))
    operator = HessianOperator(model, functional.cross_entropy, data, batch_norm="train")
    block = operator.block(["conv.weight"])
    w = model.conv.weight.detach().reshape(-1)
    _, gradient = block.gradient()
    # up to what eps leaves: 1e-12 beside variances near one
    assert float(gradient @ w) == pytest.approx(0, abs=1e-11)
    torch.testing.assert_close(block.matvec(w), -gradient, rtol=1e-9, atol=1e-11)


def test_a_batch_of_one_has_no_statistics() -> None:
    data = batches((8, 1), (1, 1, 1))
    model = build(lambda: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1), nn.Linear(1, 4)))
    operator = HessianOperator(model, functional.cross_entropy, data, batch_norm="train")
    with pytest.raises(CurvatureError, match="no statistics of a batch of 1 sample"):
        operator.matvec(random_vector(operator.size))


def test_another_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="one of eval, train, recalibrate"):
        HessianOperator(
            build(ConvNet),
            functional.cross_entropy,
            batches(SIZES, (1, 8, 8)),
            batch_norm="frozen",  # type: ignore[arg-type]
        )
