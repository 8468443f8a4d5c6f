"""Rises of the loss against closed forms of quadratics and exact Hessians."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor, nn
from torch.nn import functional

from sambench.curvature import (
    HessianOperator,
    average_sharpness,
    step_sharpness,
    worst_case_sharpness,
)
from sambench.curvature.sharpness import Ball, maximise, on_normalised_logits, recut
from sambench.errors import CurvatureError

from .cases import (
    SPECTRA,
    Attention,
    Batches,
    ConvNet,
    Loss,
    batches,
    build,
    exact_hessian,
    flat_weights,
    loss_of_weights,
    mlp,
    random_vector,
    with_spectrum,
)


class Weights(nn.Module):
    """Gives its weights as the outputs of every sample, so that a loss is a function of them."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values.clone())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.values.expand(len(inputs), -1)


def quadratic(matrix: Tensor) -> Loss:
    """The mean over samples of t w'Aw / 2, with t the sample's target."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (targets * 0.5 * (outputs @ matrix * outputs).sum(1)).mean()

    return loss


def scaled_samples(*factors: list[float]) -> Batches:
    return [
        (torch.zeros(len(f), 1).double(), torch.tensor(f, dtype=torch.float64)) for f in factors
    ]


def largest_rise(matrix: Tensor, gradient: Tensor, rho: float) -> float:
    """The maximum of d'Ad/2 + g'd over |d| <= rho: (l - A) d = g with l above the spectrum."""
    eigenvalues, vectors = np.linalg.eigh(matrix.numpy())
    g = vectors.T @ gradient.numpy()

    def excess(multiplier: float) -> float:
        return float(np.linalg.norm(g / (multiplier - eigenvalues))) - rho

    top, length = max(eigenvalues[-1], 0.0), np.linalg.norm(g)
    if top == 0 and excess(1e-300) < 0:
        multiplier = 0.0  # the maximum is inside
    else:
        multiplier = brentq(excess, top * (1 + 1e-12) + 1e-12, top + length / rho + 1, xtol=1e-14)
    d = g / (multiplier - eigenvalues)
    return float(g @ d + 0.5 * eigenvalues @ d**2)


@pytest.mark.parametrize("name", ["network-like", "near pair", "negative dominates", "slow decay"])
@pytest.mark.parametrize("rho", [0.05, 2.0])
def test_worst_case_of_a_quadratic(name: str, rho: float) -> None:
    """Against the secular equation; batches have different curvature, the last one is smaller."""
    matrix = with_spectrum(SPECTRA[name]).matrix
    model, data = Weights(random_vector(60, 3) / 8), scaled_samples([1.0, 2.0], [0.5])
    found = worst_case_sharpness(model, quadratic(matrix), data, rho, steps=100)
    gradient = matrix @ model.values.detach()
    exact = [largest_rise(factor * matrix, factor * gradient, rho) for factor in (1.5, 0.5)]
    assert found.is_lower_bound
    assert found.batch_sizes == (2, 1)
    for rise, top in zip(found.samples, exact, strict=True):
        assert rise <= top * (1 + 1e-9)
        assert rise >= top * (1 - 1e-3)  # what a hundred steps reach where top eigenvalues crowd
    assert found.value == pytest.approx((2 * found.samples[0] + found.samples[1]) / 3, rel=1e-12)


def test_twenty_steps_are_nearly_enough() -> None:
    matrix = with_spectrum(SPECTRA["network-like"]).matrix
    model, data = Weights(random_vector(60, 3) / 8), scaled_samples([1.0])
    found = worst_case_sharpness(model, quadratic(matrix), data, 0.5)
    exact = largest_rise(matrix, matrix @ model.values.detach(), 0.5)
    assert exact * 0.95 <= found.value <= exact * (1 + 1e-9)
    assert found.stderr is None
    assert (found.cost.forward_passes, found.cost.gradients) == (1, 21)


def test_worst_case_in_an_adaptive_ball() -> None:
    """With c = |w| the quadratic of u = d / c has the matrix CAC."""
    matrix = with_spectrum(SPECTRA["network-like"]).matrix
    values = random_vector(60, 3)
    values[7] = 0.0  # cannot move
    found = worst_case_sharpness(
        Weights(values), quadratic(matrix), scaled_samples([1.0]), 0.3, ball="adaptive-l2", steps=99
    )
    scale = torch.diag(values.abs())
    exact = largest_rise(scale @ matrix @ scale, scale @ matrix @ values, 0.3)
    assert exact * (1 - 1e-3) <= found.value <= exact * (1 + 1e-9)


def test_worst_case_in_a_cube() -> None:
    """A convex quadratic is largest in a corner: all 2^8 are tried."""
    matrix = with_spectrum(torch.linspace(0.1, 2, 8)).matrix
    values = random_vector(8, 1)
    found = worst_case_sharpness(
        Weights(values), quadratic(matrix), scaled_samples([1.0]), 0.2, ball="adaptive-linf",
        restarts=5,
    )  # fmt: skip
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 8)
    corners = values + 0.2 * signs * values.abs()
    rises = 0.5 * (corners @ matrix * corners).sum(1) - 0.5 * values @ matrix @ values
    assert found.value == pytest.approx(float(rises.max()), rel=1e-9)


def test_worst_case_at_a_stationary_point() -> None:
    """No gradient to follow: at the minimum of a quadratic the answer is rho^2/2 top, not zero."""
    matrix = with_spectrum(SPECTRA["network-like"]).matrix
    model = Weights(torch.zeros(60, dtype=torch.float64))
    found = worst_case_sharpness(model, quadratic(matrix), scaled_samples([1.0]), 0.1, steps=60)
    assert found.value == pytest.approx(0.005 * 85.3, rel=1e-3)
    step = step_sharpness(model, quadratic(matrix), scaled_samples([1.0]), 0.1)
    assert step.value == 0


def test_a_maximum_is_no_sharper_than_itself() -> None:
    matrix = with_spectrum(SPECTRA["all negative"]).matrix
    model = Weights(torch.zeros(60, dtype=torch.float64))
    found = worst_case_sharpness(model, quadratic(matrix), scaled_samples([1.0]), 0.1)
    assert found.value == 0


def test_an_ascent_that_rises_but_finds_nothing_better_goes_back_with_half_the_step() -> None:
    """The second of Auto-PGD's conditions, after the eighth step; then, after 11, the first."""
    source, asked, up = torch.Generator(), list[Tensor](), torch.tensor([1.0, 0.0]).double()

    def function(point: Tensor) -> tuple[float, Tensor]:
        asked.append(point)
        return (0.0 if len(asked) == 1 else len(asked) - 99.0), up

    found = maximise(function, torch.zeros_like(up), Ball(4.0, 2, up, source), 20)
    assert found == 0.0
    back = [number for number, point in enumerate(asked) if point[0] != 4.0]
    # from the start again: 0.75 of a step that was 2 x 4 and is 4, then 2
    assert [(n, float(asked[n][0])) for n in back[:3]] == [(0, 0.0), (9, 3.0), (12, 1.5)]


def test_an_ascent_that_finds_better_at_each_step_keeps_its_step_and_momentum() -> None:
    """Against the formula of Auto-PGD, in numpy: steps of 2 rho, 0.75 of each, 0.25 of the last."""
    source, asked, ways = torch.Generator(), list[Tensor](), torch.eye(2).double()

    def function(point: Tensor) -> tuple[float, Tensor]:
        asked.append(point)
        return float(len(asked)), ways[len(asked) % 2]

    assert maximise(function, torch.zeros(2).double(), Ball(4.0, 2, ways[0], source), 12) == 13

    def project(x: np.ndarray) -> np.ndarray:
        return x * min(1.0, 4.0 / np.linalg.norm(x))

    before = np.zeros(2)
    point = project(8.0 * ways[1].numpy())
    for number in range(2, 13):
        np.testing.assert_allclose(asked[number - 1], point, rtol=1e-12, atol=1e-12)
        step = project(point + 8.0 * ways[number % 2].numpy()) - point
        before, point = point, project(point + 0.75 * step + 0.25 * (point - before))


@pytest.mark.parametrize("p", [2, "inf"])
def test_a_random_start_is_anywhere_on_the_ball(p: Any) -> None:
    found = Ball(3.0, p, torch.zeros(1000).double(), torch.Generator().manual_seed(0)).random()
    if p == 2:
        assert float(found.norm()) == pytest.approx(3.0)
    else:
        assert float(found.abs().max()) == pytest.approx(3.0, rel=0.02)
        assert float(found.std()) == pytest.approx(3.0 / math.sqrt(3), rel=0.1)
    assert abs(float(found.mean())) < 0.2


def test_another_start_may_find_another_hill() -> None:
    """Of the rectangle's corners (0.1, 2.09) is the highest: 1.77105, and -1.095 in the middle."""
    matrix = torch.tensor([[1.0, -2.0], [-2.0, 1.0]]).double()
    model, loss = Weights(torch.tensor([1.0, 1.1], dtype=torch.float64)), quadratic(matrix)
    one, five = (
        worst_case_sharpness(
            model, loss, scaled_samples([1.0]), 0.9, ball="adaptive-linf", restarts=n
        )
        for n in (1, 5)
    )
    assert one.value < 2 < five.value
    assert five.value == pytest.approx(2.86605)


def test_more_starts_find_no_less() -> None:
    model, data, told = build(mlp), batches((8, 3), (6,)), list[tuple[int, int]]()
    one, three = (
        worst_case_sharpness(
            *(model, functional.cross_entropy, data, 1.0), restarts=n,
            on_progress=lambda *done: told.append(done),
        )
        for n in (1, 3)
    )  # fmt: skip
    assert told == [(1, 2), (2, 2)] * 2
    assert one.definition == "worst-case-l2"
    assert one.value <= three.value
    assert three.cost.gradients == 3 * one.cost.gradients
    assert one.stderr is not None


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_average_case_of_a_quadratic_is_half_the_trace(adaptive: bool) -> None:
    """Each pair gives d'Hd/2 exactly, so values agree to the sampling error and no bias."""
    matrix = with_spectrum(SPECTRA["network-like"]).matrix
    values = random_vector(60, 3)
    found = average_sharpness(
        Weights(values), quadratic(matrix), scaled_samples([1.0, 2.0], [0.0]), 0.3,
        adaptive=adaptive, pairs=400,
    )  # fmt: skip
    scale = values.abs() if adaptive else torch.ones(60)
    exact = 0.5 * 0.3**2 * float((scale**2 * matrix.diagonal()).sum())  # the mean target is 1
    assert found.stderr is not None
    assert abs(found.value - exact) < 4 * found.stderr
    variance = 0.5 * 0.3**4 * float(((scale[:, None] * matrix * scale) ** 2).sum())
    assert found.stderr == pytest.approx(math.sqrt(variance / 400), rel=0.3)
    assert found.cost.forward_passes == 1 + 2 * 400
    assert found.definition == ("average-case-adaptive" if adaptive else "average-case")


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_average_case_of_a_network(adaptive: bool) -> None:
    """Small noise against the trace of the exact Hessian; the next order is below 1e-4 of it."""
    model, data = build(mlp), batches((8, 3), (6,))
    rho, scale = 1e-3, flat_weights(model).abs() if adaptive else torch.ones(1)
    exact = 0.5 * rho**2 * float((scale**2 * exact_hessian(model, data).diagonal()).sum())
    told = list[tuple[int, int]]()
    found = average_sharpness(
        *(model, functional.cross_entropy, data, rho), adaptive=adaptive, pairs=200,
        on_progress=lambda *done: told.append(done),
    )  # fmt: skip
    assert told == [(number, 200) for number in range(1, 201)]
    assert found.stderr is not None
    assert 0 < found.stderr < 0.2 * exact
    assert abs(found.value - exact) < 4 * found.stderr


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_step_of_sam(adaptive: bool) -> None:
    model, data = build(mlp), batches((8, 3), (6,))
    function, weights = loss_of_weights(model, functional.cross_entropy, data), flat_weights(model)
    gradient = torch.func.grad(function)(weights)
    scale = weights.abs() if adaptive else torch.ones_like(weights)
    step = 0.5 * scale**2 * gradient / (scale * gradient).norm()
    found = step_sharpness(model, functional.cross_entropy, data, 0.5, adaptive=adaptive)
    assert found.value == pytest.approx(float(function(weights + step) - function(weights)))
    assert found.loss == pytest.approx(float(function(weights)))
    assert (found.cost.gradients, found.cost.forward_passes) == (1, 1)
    assert found.cost.gradient_equivalents == pytest.approx(4 / 3)
    assert found.definition == ("asam-step" if adaptive else "sam-step")


def test_the_worst_case_is_no_less_than_the_step() -> None:
    model, data = build(mlp), batches((11,), (6,))
    step = step_sharpness(model, functional.cross_entropy, data, 0.5)
    worst = worst_case_sharpness(model, functional.cross_entropy, data, 0.5)
    assert step.value <= worst.value * (1 + 1e-12)


def test_batches_of_another_size() -> None:
    model, data = build(mlp), batches((8, 3), (6,))
    found = worst_case_sharpness(model, functional.cross_entropy, data, 0.1, m=4)
    assert found.batch_sizes == (4, 4, 3)
    again = worst_case_sharpness(model, functional.cross_entropy, recut(data, 4), 0.1)
    assert again.samples == found.samples


def test_normalised_logits_do_not_feel_their_scale() -> None:
    model, data = build(lambda: nn.Linear(6, 4, bias=False)), batches((11,), (6,))
    scaled = copy.deepcopy(model)
    with torch.no_grad():
        scaled.weight.mul_(100)  # type: ignore[union-attr, operator]
    for ball in ("adaptive-l2", "adaptive-linf"):
        plain, large = (
            worst_case_sharpness(
                m, functional.cross_entropy, data, 0.2, ball=ball, normalise_logits=True
            )
            for m in (model, scaled)
        )
        assert large.loss == pytest.approx(plain.loss)
        assert large.value == pytest.approx(plain.value, rel=1e-6)
        assert large.definition == f"worst-case-{ball}-normalised-logits"
    constant = torch.ones(2, 3).double()
    assert torch.isfinite(
        on_normalised_logits(functional.cross_entropy)(constant, torch.ones(2).long())
    )


@pytest.mark.parametrize(("factory", "shape"), [(ConvNet, (1, 8, 8)), (Attention, (3, 4))])
def test_nothing_of_the_model_is_changed(factory: type[nn.Module], shape: tuple[int, ...]) -> None:
    model, data = build(factory), batches((4, 3), shape)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    modules = list(model.modules())
    modules[-1].eval()
    modes = [module.training for module in modules]
    before = copy.deepcopy(model.state_dict())
    gradients = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]
    state = torch.get_rng_state()
    step_sharpness(model, functional.cross_entropy, data)
    worst_case_sharpness(model, functional.cross_entropy, data, steps=3, restarts=2)
    average_sharpness(model, functional.cross_entropy, data, pairs=2)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    pairs = zip(gradients, model.parameters(), strict=True)
    assert all(
        parameter.grad is not None and torch.equal(g, parameter.grad) for g, parameter in pairs
    )
    assert modes == [module.training for module in modules]
    assert torch.equal(state, torch.get_rng_state())


def test_modes_of_batch_normalisation() -> None:
    """Another clean loss, and as much of a quadratic around it."""
    model, data = build(ConvNet), batches((7,), (1, 8, 8))
    found = {
        mode: average_sharpness(
            model, functional.cross_entropy, data, 1e-3, pairs=50, batch_norm=mode
        )
        for mode in ("eval", "train", "recalibrate")
    }
    losses = [measure.loss for measure in found.values()]
    assert len({round(loss, 6) for loss in losses}) == 3
    with HessianOperator(model, functional.cross_entropy, data, batch_norm="train") as H:
        trace = float(H.matmat(torch.eye(H.size).double()).trace())
    measure = found["train"]
    assert measure.stderr is not None
    assert abs(measure.value - 0.5e-6 * trace) < 4 * measure.stderr


def test_refusals() -> None:
    model, data = build(mlp), batches((4,), (6,))
    loss = functional.cross_entropy
    with pytest.raises(ValueError, match="rho=0 must be positive"):
        step_sharpness(model, loss, data, 0)
    with pytest.raises(ValueError, match="m=0 must be positive"):
        worst_case_sharpness(model, loss, data, m=0)
    with pytest.raises(ValueError, match="ball='l1': one of l2, adaptive-l2, adaptive-linf"):
        worst_case_sharpness(model, loss, data, ball="l1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 2"):
        average_sharpness(model, loss, data, pairs=1)
    with pytest.raises(CurvatureError, match="smaller radius"):
        average_sharpness(model, loss, data, 1e308)
