"""Traps of earlier implementations: each of these tests failed, or would, on one of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR

from sambench.errors import ConfigError
from sambench.optim import SharpnessAware, build
from sambench.optim.contract import batch, closure_of, flat, network
from sambench.optim.method import OptimizerInfo, optimizers
from tests.optim.references import Quadratic

REGISTRY = optimizers.list()
WITH_RADIUS = [info for info in REGISTRY if {"rho", "rho_max"} & set(info.hyperparameters)]


def of(infos: Sequence[OptimizerInfo]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("info", infos, ids=[info.name for info in infos])


def radius(info: OptimizerInfo, value: float) -> dict[str, Any]:
    return {name: value for name in info.hyperparameters if name.startswith("rho")}


def visited(model: nn.Module, optimizer: SharpnessAware, steps: int = 1) -> list[Tensor]:
    """The weights at which each pass of some steps took its gradient."""
    points = []
    closure = closure_of(model, *batch())

    def recording() -> Tensor:
        points.append(flat(model))
        return closure()

    for _ in range(steps):
        optimizer.step(recording)
    return points


def gradient(model: nn.Module) -> Tensor:
    """What the base optimizer was given in the last step."""
    return torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])


def test_float32_weights_carry_a_small_perturbation_under_bfloat16_autocast() -> None:
    """Weights kept in bfloat16 would round most of it away."""
    model = network().float()
    inputs, targets = batch()
    points: list[Tensor] = []

    def closure() -> Tensor:
        points.append(flat(model).double())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = functional.cross_entropy(model(inputs.float()), targets)
        loss.backward()
        return loss

    build("sam", model.parameters(), "sgd", lr=0.0, rho=1e-3).step(closure)
    perturbation = points[1] - points[0]
    assert perturbation.norm().item() == pytest.approx(1e-3, rel=1e-3)
    in_bfloat16 = (points[0] + perturbation).bfloat16().double() - points[0].bfloat16().double()
    assert functional.cosine_similarity(in_bfloat16, perturbation, dim=0) < 0.9


class MovingMean(nn.Module):
    """Somebody's own normalisation, whose buffer is a new tensor after every pass."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(dim=0)
        return x - self.mean


class Twice(nn.Module):
    """One batch norm at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.norm(2 * self.norm(x) + 1)
        return outputs


def volumes() -> list[nn.Module]:
    reshape = nn.Unflatten(1, (3, 1, 1, 1))
    return [nn.Flatten(), nn.Linear(72, 3), reshape, nn.BatchNorm3d(3), nn.Flatten()]


STATEFUL: dict[str, Callable[[], list[nn.Module]]] = {
    "three dimensions": volumes,
    "synchronised, alone": lambda: [nn.Flatten(), nn.Linear(72, 3), nn.SyncBatchNorm(3)],
    "cumulative": lambda: [nn.Flatten(), nn.Linear(72, 3), nn.BatchNorm1d(3, momentum=None)],
    "one norm twice": lambda: [nn.Flatten(), nn.Linear(72, 3), Twice()],
    "own norm": lambda: [nn.Flatten(), nn.Linear(72, 3), MovingMean()],
    "spectral norm": lambda: [
        nn.Flatten(),
        nn.utils.parametrizations.spectral_norm(nn.Linear(72, 3)),
    ],
}


@of(REGISTRY)
@pytest.mark.parametrize("layers", STATEFUL.values(), ids=STATEFUL.keys())
def test_buffers_are_those_of_one_clean_pass(
    info: OptimizerInfo, layers: Callable[[], list[nn.Module]]
) -> None:
    model = nn.Sequential(*layers(), nn.LayerNorm(3)).double()
    reference = copy.deepcopy(model)
    inputs, targets = batch()
    optimizer = build(info.name, model.parameters(), lr=0.1, **radius(info, 2.0))
    optimizer.step(closure_of(model, inputs, targets))
    reference(inputs)
    for (name, found), (_, expected) in zip(
        model.named_buffers(), reference.named_buffers(), strict=True
    ):
        assert torch.equal(found, expected), name


class Branches(nn.Module):
    """A model one of whose layers is left out where asked."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(nn.Flatten(), nn.Linear(72, 3), nn.LayerNorm(3)).double()
        self.side = nn.Linear(3, 3).double()
        self.whole = True

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.main(x)
        return outputs + self.side(outputs) if self.whole else outputs


@of(REGISTRY)
def test_a_layer_left_out_of_a_step_stays_where_it_is(info: OptimizerInfo) -> None:
    model = Branches()
    optimizer = build(info.name, model.parameters(), lr=0.1, **radius(info, 0.5))
    optimizer.step(closure_of(model, *batch(0)))
    before = model.side.weight.detach().clone()
    model.whole = False
    optimizer.step(closure_of(model, *batch(1)))
    assert torch.equal(model.side.weight, before)


@of(REGISTRY)
def test_clipping_shortens_the_direction_and_does_not_turn_it(info: OptimizerInfo) -> None:
    """Clipping inside a pass would: most methods mix gradients of several, some also of steps."""
    directions = []
    for max_norm in (None, 0.01):
        model = network()
        optimizer = build(info.name, model.parameters(), lr=0.0, max_norm=max_norm)
        for seed in range(2):
            optimizer.step(closure_of(model, *batch(seed)))
        directions.append(functional.normalize(gradient(model), dim=0))
    torch.testing.assert_close(*directions, rtol=0, atol=1e-7)


@pytest.mark.not_nudged
@of(REGISTRY)
def test_gradients_from_before_a_step_are_refused_until_they_are_cleared(
    info: OptimizerInfo,
) -> None:
    """Whoever has accumulated or clipped them would otherwise lose them without a word."""
    model = network()
    optimizer = build(info.name, model.parameters(), lr=0.1)
    for set_to_none in (True, False):
        before = flat(model)
        closure_of(model, *batch(5))()
        with pytest.raises(ConfigError, match="would not use the gradients from before this step"):
            optimizer.step(closure_of(model, *batch()))
        assert torch.equal(flat(model), before)
        optimizer.zero_grad(set_to_none)
        optimizer.step(closure_of(model, *batch()))
        optimizer.step(closure_of(model, *batch()))  # its own gradients may stay
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        with pytest.raises(ConfigError, match="to clip max_norm="):
            optimizer.step(closure_of(model, *batch()))
        model.zero_grad(set_to_none)
        optimizer.step(closure_of(model, *batch()))
        optimizer.zero_grad()


@of(REGISTRY)
@pytest.mark.parametrize("set_to_none", [False, True])
def test_a_closure_may_clear_gradients_itself(info: OptimizerInfo, set_to_none: bool) -> None:
    plain, clearing = network(), network()
    first = build(info.name, plain.parameters(), lr=0.1)
    second = build(info.name, clearing.parameters(), lr=0.1)
    for seed in range(3):
        closure = closure_of(clearing, *batch(seed))

        def cleared(closure: Callable[[], Tensor] = closure) -> Tensor:
            second.zero_grad(set_to_none=set_to_none)
            return closure()

        first.step(closure_of(plain, *batch(seed)))
        second.step(cleared)
    assert torch.equal(flat(plain), flat(clearing))


@of(REGISTRY)
def test_weight_decay_is_not_part_of_the_perturbation(info: OptimizerInfo) -> None:
    points = []
    for decay in (0.0, 0.5):
        model = network()
        points.append(visited(model, build(info.name, model.parameters(), weight_decay=decay)))
    assert all(torch.equal(a, b) for a, b in zip(*points, strict=True))


def test_weight_decay_is_that_of_the_restored_weights() -> None:
    hessian = torch.tensor([[3.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    problem = Quadratic(hessian, start)
    settings: dict[str, Any] = {"lr": 0.1, "rho": 0.3, "weight_decay": 0.2}
    build("sam", problem.parameters(), "sgd", **settings).step(problem.closure)
    g = hessian @ start
    expected = start - 0.1 * (g + 0.3 * hessian @ g / g.norm() + 0.2 * start)
    torch.testing.assert_close(problem.weight.detach(), expected, rtol=0, atol=1e-12)


@of(REGISTRY)
def test_gradients_that_are_all_zero_break_nothing(info: OptimizerInfo) -> None:
    model = network()
    optimizer = build(info.name, model.parameters(), lr=0.1)
    closure = closure_of(model, *batch())

    def flat_ground() -> Tensor:
        loss = closure()
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad.zero_()
        return loss

    for each in (flat_ground, flat_ground, closure, closure):
        optimizer.step(each)
        assert torch.isfinite(flat(model)).all()


@of(WITH_RADIUS)
def test_a_group_with_radius_zero_is_perturbed_nowhere(info: OptimizerInfo) -> None:
    model = network()
    parameters = list(model.parameters())
    still: dict[str, Any] = {"params": parameters[:2], **radius(info, 0.0)}
    moving: dict[str, Any] = {"params": parameters[2:], **radius(info, 1.0)}
    points = visited(model, build(info.name, [still, moving], lr=0.0), steps=2)
    first = sum(parameter.numel() for parameter in parameters[:2])
    assert all(torch.equal(point[:first], points[0][:first]) for point in points)
    assert any(not torch.equal(point, points[0]) for point in points)


@of(WITH_RADIUS)
def test_a_radius_set_between_steps_counts_from_the_next(info: OptimizerInfo) -> None:
    model = network()
    optimizer = build(info.name, model.parameters(), lr=0.0, **radius(info, 1.0))
    visited(model, optimizer, steps=2)
    for group in optimizer.param_groups:
        group.update(radius(info, 0.0))
    assert all(torch.equal(point, flat(model)) for point in visited(model, optimizer, steps=2))


@of(REGISTRY)
def test_a_group_with_learning_rate_zero_stays(info: OptimizerInfo) -> None:
    model = network()
    parameters = list(model.parameters())
    before = parameters[2].detach().clone()
    groups: list[dict[str, Any]] = [
        {"params": parameters[:2]},
        {"params": parameters[2:], "lr": 0.0},
    ]
    build(info.name, groups, lr=0.1).step(closure_of(model, *batch()))
    assert torch.equal(parameters[2], before)


@of(REGISTRY)
def test_one_cycle_schedules_rate_and_momentum_without_complaint(info: OptimizerInfo) -> None:
    model = network()
    settings: dict[str, Any] = {"lr": 0.1, **({"momentum": 0.9} if info.base == "sgd" else {})}
    optimizer = build(info.name, model.parameters(), **settings)
    reference = type(optimizer.base)(network().parameters(), **settings)
    schedules = [OneCycleLR(each, max_lr=0.2, total_steps=6) for each in (optimizer, reference)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "all samples count alike")
        for seed in range(4):
            optimizer.step(closure_of(model, *batch(seed)))
            schedules[0].step()
    for _ in range(4):
        reference.step()
        schedules[1].step()
    for name in ("lr", "betas", "momentum"):
        expected = reference.param_groups[0].get(name)
        assert optimizer.param_groups[0].get(name) == expected


def test_the_radius_of_gsam_follows_one_cycle_up_and_down() -> None:
    """The rate it starts with is not the highest there."""
    model = network()
    optimizer = build("gsam", model.parameters(), lr=0.1, rho_max=1.0, rho_min=0.0)
    schedule = OneCycleLR(optimizer, max_lr=0.2, total_steps=10)
    for _ in range(9):
        share = optimizer.param_groups[0]["lr"] / 0.2
        assert optimizer.method.rho() == pytest.approx(share)  # type: ignore[attr-defined]
        optimizer.step(closure_of(model, *batch()))
        schedule.step()


def test_the_radius_of_gsam_follows_a_cyclic_rate_whose_highest_it_is_told() -> None:
    """CyclicLR starts at its lowest rate and leaves no other in the groups."""
    model = network()
    settings = {"rho_max": 1.0, "rho_min": 0.0, "lr_max": 0.2}
    optimizer = build("gsam", model.parameters(), "sgd", lr=0.1, momentum=0.9, **settings)
    schedule = CyclicLR(optimizer, base_lr=0.05, max_lr=0.2, step_size_up=4)
    radii = []
    for _ in range(8):
        radii.append(optimizer.method.rho())  # type: ignore[attr-defined]
        optimizer.step(closure_of(model, *batch()))
        schedule.step()
    assert radii[0] == pytest.approx(0.25)
    assert max(radii) == radii[4] == pytest.approx(1.0)
