"""Loss, accuracy and gradient away from the weights, and statistics recomputed there."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sambench.curvature.objective import BatchNorm
from sambench.curvature.surface import LossSurface
from sambench.errors import CurvatureError

from .cases import (
    Attention,
    ConvNet,
    Loss,
    batches,
    build,
    flat_weights,
    joined,
    loss_of_weights,
    mlp,
    random_vector,
)

CASES = [(mlp, (6,)), (ConvNet, (1, 8, 8)), (Attention, (3, 4))]


@pytest.mark.parametrize(("factory", "shape"), CASES)
def test_values_at_any_weights(factory: type[nn.Module], shape: tuple[int, ...]) -> None:
    model, data = build(factory), batches((4, 3), shape)
    surface = LossSurface(model, functional.cross_entropy, data)
    function = loss_of_weights(model, functional.cross_entropy, data)
    weights = flat_weights(model) + 0.1 * random_vector(len(surface.center))
    assert torch.equal(surface.center, flat_weights(model))
    value, gradient = surface.value_and_gradient(weights)
    expected = float(function(weights))
    assert surface.loss(weights) == pytest.approx(expected, rel=1e-12)
    assert value == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(gradient, torch.func.grad(function)(weights), rtol=1e-9, atol=1e-12)
    nn.utils.vector_to_parameters(weights, model.parameters())
    inputs, targets = joined(data)
    right = float((model(inputs).argmax(1) == targets).double().mean())
    point = surface.at(weights)
    assert (point.loss, point.accuracy) == pytest.approx((expected, right), rel=1e-12)


def test_one_batch() -> None:
    model, data = build(mlp), batches((4, 3), (6,))
    surface = LossSurface(model, functional.cross_entropy, data)
    function = loss_of_weights(model, functional.cross_entropy, data[1:])
    assert surface.loss(surface.center, 1) == pytest.approx(float(function(surface.center)))
    value, gradient = surface.value_and_gradient(surface.center, 1)
    assert value == pytest.approx(float(function(surface.center)))
    torch.testing.assert_close(gradient, torch.func.grad(function)(surface.center))


def test_passes_are_counted_by_samples() -> None:
    surface = LossSurface(build(mlp), functional.cross_entropy, batches((6, 2), (6,)))
    surface.at(surface.center)
    surface.loss(surface.center, 1)
    surface.value_and_gradient(surface.center, 0)
    assert (surface.cost.forward_passes, surface.cost.gradients) == (1.25, 0.75)


def test_recalibrated_statistics() -> None:
    """The mean over batches, weighted by samples, of what batch normalisation sees."""
    model, data = build(ConvNet), batches((4, 3), (1, 8, 8))
    surface = LossSurface(model, functional.cross_entropy, data)
    weights = surface.center + 0.1 * random_vector(len(surface.center))
    found = surface.recalibrated(weights)
    moved = copy.deepcopy(model)
    nn.utils.vector_to_parameters(weights, moved.parameters())
    convolution = moved.features[0]  # type: ignore[index]
    maps = [convolution(inputs).transpose(0, 1).flatten(1) for inputs, _ in data]
    mean = (4 * maps[0].mean(1) + 3 * maps[1].mean(1)) / 7
    variance = (4 * maps[0].var(1) + 3 * maps[1].var(1)) / 7
    torch.testing.assert_close(found["features.1.running_mean"], mean.detach())
    torch.testing.assert_close(found["features.1.running_var"], variance.detach())
    assert not torch.equal(found["features.1.running_mean"], model.features[1].running_mean)  # type: ignore[index]


def test_recalibration_leaves_the_model_alone() -> None:
    model, data = build(ConvNet), batches((4, 3), (1, 8, 8))
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    momenta = [getattr(m, "momentum", None) for m in model.modules()]
    surface = LossSurface(model, functional.cross_entropy, data)
    surface.recalibrated(surface.center)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert modes == [m.training for m in model.modules()]
    assert momenta == [getattr(m, "momentum", None) for m in model.modules()]


@pytest.mark.parametrize("mode", ["train", "recalibrate"])
def test_modes_of_batch_normalisation(mode: BatchNorm) -> None:
    """One batch: both modes normalise by its mean; its variance is unbiased where it is kept."""
    model, data = build(ConvNet), batches((7,), (1, 8, 8))
    surface = LossSurface(model, functional.cross_entropy, data, batch_norm=mode)
    weights = surface.center + 0.1 * random_vector(len(surface.center))
    moved = copy.deepcopy(model).eval()
    nn.utils.vector_to_parameters(weights, moved.parameters())
    layer = moved.features[1]  # type: ignore[index]
    layer.train()
    layer.momentum = 1.0
    outputs = moved(data[0][0])
    if mode == "recalibrate":
        layer.eval()
        outputs = moved(data[0][0])
    expected = float(functional.cross_entropy(outputs, data[0][1]).detach())
    before = copy.deepcopy(surface.buffers)
    assert surface.at(weights).loss == pytest.approx(expected, rel=1e-10)
    assert surface.cost.forward_passes == (2 if mode == "recalibrate" else 1)
    surface.value_and_gradient(weights)
    assert all(torch.equal(before[name], tensor) for name, tensor in surface.buffers.items())


def test_a_batch_without_variance_is_refused() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4))
    data = [(x.float(), y) for x, y in batches((4, 1), (6,))]
    surface = LossSurface(model, functional.cross_entropy, data)
    with pytest.raises(CurvatureError, match="no statistics of a batch of 1"):
        surface.recalibrated(surface.center)


def test_overflow_is_infinite() -> None:
    model = build(lambda: nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))).float()
    surface = LossSurface(model, functional.cross_entropy, batches((4,), (6,)))
    assert surface.at(surface.center * 1e25).loss == math.inf
    with pytest.raises(CurvatureError, match="smaller radius"):
        surface.loss(surface.center * 1e25)


@pytest.mark.parametrize(
    ("shape", "targets", "loss"),
    [
        ((2, 3), torch.zeros(4, 2, 3), functional.mse_loss),
        ((6,), torch.zeros(4, 6), functional.cross_entropy),
        ((2, 3), torch.zeros(4, 3).long(), functional.cross_entropy),  # classes of places in images
    ],
)
def test_without_one_class_for_each_sample_there_is_no_accuracy(
    shape: tuple[int, ...], targets: Tensor, loss: Loss
) -> None:
    model = build(lambda: nn.Sequential(nn.Linear(6, 6), nn.Unflatten(1, shape)))
    data = [(x, targets) for x, _ in batches((4,), (6,))]
    surface = LossSurface(model, loss, data)
    assert math.isnan(surface.at(surface.center).accuracy)
