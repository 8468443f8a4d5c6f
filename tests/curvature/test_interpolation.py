"""The segment between two networks: its ends, its statistics, its barrier."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sambench.curvature import Interpolation, interpolation, random_landscape
from sambench.curvature.landscape import Rows
from sambench.errors import CurvatureError

from .cases import ConvNet, batches, build, flat_weights, joined, mlp

LOSS = functional.cross_entropy
DATA = batches((4, 3), (1, 8, 8))


def two_networks() -> tuple[nn.Module, nn.Module]:
    """Of one architecture, with different weights and running statistics."""
    one, other = build(ConvNet, 1), build(ConvNet, 2)
    other.features[1].running_mean.add_(0.5)  # type: ignore[index, union-attr, operator]
    return one, other


def evaluated(model: nn.Module) -> tuple[float, float]:
    inputs, targets = joined(DATA)
    outputs = model.eval()(inputs).detach()
    return float(LOSS(outputs, targets)), float((outputs.argmax(1) == targets).double().mean())


def test_the_ends_are_the_two_networks() -> None:
    one, other = two_networks()
    found = interpolation(one, other.state_dict(), LOSS, DATA, points=5)
    assert found.has_statistics
    for end, model in ((0, one), (-1, other)):
        values = (found.kept_loss[end], found.kept_accuracy[end])
        assert values == pytest.approx(evaluated(model), rel=1e-10)
    assert found.distance == pytest.approx(float((flat_weights(one) - flat_weights(other)).norm()))
    assert found.cost.forward_passes == 5 * 3


def test_the_ends_may_be_compiled() -> None:
    one, other = two_networks()
    plain = interpolation(one, other.state_dict(), LOSS, DATA, points=3)
    both = [torch.compile(model) for model in (one, other)]
    found = interpolation(both[0], both[1].state_dict(), LOSS, DATA, points=3)
    assert np.array_equal(found.kept_loss, plain.kept_loss)


def test_the_end_may_be_a_network() -> None:
    one, other = two_networks()
    plain = interpolation(one, other.state_dict(), LOSS, DATA, points=3)
    for end in (other, torch.compile(other), nn.DataParallel(other)):
        found = interpolation(one, end, LOSS, DATA, points=3)
        assert np.array_equal(found.loss, plain.loss)
        assert np.array_equal(found.kept_loss, plain.kept_loss)
    with pytest.raises(CurvatureError, match="the other weights are a list: give a network, or"):
        interpolation(one, [*other.parameters()], LOSS, DATA)  # type: ignore[arg-type]


def test_the_middle_is_the_mean_of_the_weights() -> None:
    one, other = two_networks()
    found = interpolation(one, other.state_dict(), LOSS, DATA, points=3)
    middle = copy.deepcopy(one)
    state = other.state_dict()
    middle.load_state_dict(
        {
            name: torch.lerp(tensor, state[name], 0.5) if tensor.is_floating_point() else tensor
            for name, tensor in one.state_dict().items()
        }
    )
    assert (found.kept_loss[1], found.kept_accuracy[1]) == pytest.approx(evaluated(middle))
    assert found.kept_loss[1] != pytest.approx(found.loss[1], rel=1e-3)


def test_recomputed_statistics_do_not_depend_on_those_kept() -> None:
    one, other = two_networks()
    state = other.state_dict()
    found = interpolation(one, state, LOSS, DATA, points=3)
    state = {**state, "features.1.running_mean": 5 + state["features.1.running_mean"]}
    again = interpolation(one, state, LOSS, DATA, points=3)
    np.testing.assert_array_equal(found.loss, again.loss)
    assert not np.array_equal(found.kept_loss, again.kept_loss)


def test_a_network_to_itself_is_a_constant() -> None:
    model = build(ConvNet)
    found = interpolation(model, model.state_dict(), LOSS, DATA, points=4)
    np.testing.assert_allclose(found.loss, found.loss[0], rtol=1e-12)
    assert found.distance == 0
    assert found.barrier == pytest.approx(0, abs=1e-12)


def test_without_batch_normalisation_there_is_one_loss() -> None:
    data = batches((4, 3), (6,))
    found = interpolation(build(mlp, 1), build(mlp, 2).state_dict(), LOSS, data, points=3)
    assert not found.has_statistics
    np.testing.assert_array_equal(found.loss, found.kept_loss)
    assert found.cost.forward_passes == 3


def test_the_barrier_is_above_the_chord() -> None:
    alphas = np.linspace(0, 1, 3)
    loss = np.array([1.0, 5.0, 3.0])
    common = {"accuracy": loss, "kept_loss": loss, "kept_accuracy": loss, "has_statistics": False}
    found = Interpolation(
        alphas=alphas,
        loss=loss,
        distance=1.0,
        num_samples=1,
        cost=None,
        **common,  # type: ignore[arg-type]
    )
    assert found.barrier == 3.0


def test_finished_points_are_not_computed_again() -> None:
    one, other = two_networks()
    rows: Rows = {}
    seen: list[tuple[int, int]] = []
    first = interpolation(
        one, other.state_dict(), LOSS, DATA, points=3, rows=rows,
        on_progress=lambda done, most: seen.append((done, most)),
    )  # fmt: skip
    assert seen == [(1, 3), (2, 3), (3, 3)]
    rows[1][0] = 7.0
    assert interpolation(one, other.state_dict(), LOSS, DATA, points=3, rows=rows).loss[1] == 7.0
    rows[1][0] = first.loss[1]
    again = interpolation(one, other.state_dict(), LOSS, DATA, points=3, rows=rows)
    assert again.cost == first.cost
    np.testing.assert_array_equal(first.loss, again.loss)


def test_nothing_of_the_models_is_changed() -> None:
    one, other = two_networks()
    states = [copy.deepcopy(model.state_dict()) for model in (one, other)]
    interpolation(one, other.state_dict(), LOSS, DATA, points=3)
    for model, state in zip((one, other), states, strict=True):
        assert all(torch.equal(state[n], tensor) for n, tensor in model.state_dict().items())
        assert model.training


def test_the_ends_are_the_two_networks_where_some_weights_are_frozen() -> None:
    """Frozen weights and buffers of the other network are its own, and go along."""
    one, other = two_networks()
    for model in (one, other):
        model.features[0].requires_grad_(False)  # type: ignore[index, union-attr, operator]
    found = interpolation(one, other, LOSS, DATA, points=2)
    assert found.kept_loss[[0, -1]] == pytest.approx([evaluated(m)[0] for m in (one, other)])
    assert found.loss[-1] == pytest.approx(interpolation(other, one, LOSS, DATA, points=2).loss[0])
    same = interpolation(one, one, LOSS, DATA, points=2)
    assert found.loss[0] == same.loss[0] and found.loss[-1] != same.loss[-1]


def test_a_buffer_of_another_shape_is_of_another_model() -> None:
    one, other = build(mlp), build(mlp)
    one.register_buffer("mask", torch.ones(3)), other.register_buffer("mask", torch.ones(4))
    with pytest.raises(CurvatureError, match=r"another model: mask is \(4,\), here \(3,\)"):
        interpolation(one, other, LOSS, batches((4,), (6,)))


def test_refusals() -> None:
    model = build(mlp)
    with pytest.raises(CurvatureError, match=r"another model: 0\.weight is missing"):
        interpolation(model, build(ConvNet).state_dict(), LOSS, batches((4,), (6,)))
    with pytest.raises(ValueError, match="points=1 must be at least 2"):
        interpolation(model, model.state_dict(), LOSS, batches((4,), (6,)), points=1)


@pytest.mark.parametrize("name", ["features.0.weight", "features.1.running_var"])
def test_an_end_that_diverged_is_no_curve(name: str) -> None:
    """It was drawn as a loss that is infinite everywhere, at the sound end too."""
    one, other = two_networks()
    other.state_dict()[name].fill_(np.nan)
    with pytest.raises(CurvatureError, match=rf"not finite \({name}\): they have diverged; "):
        interpolation(one, other, LOSS, DATA, points=3)


def test_weights_that_diverged_have_no_landscape() -> None:
    one, _ = two_networks()
    one.state_dict()["features.0.weight"].fill_(np.nan)
    with pytest.raises(CurvatureError, match="the weights are not finite: they have diverged"):
        random_landscape(one, LOSS, DATA, points=3)
