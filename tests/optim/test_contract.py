"""What every optimizer of the registry must do, whatever its mathematics."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import sambench.optim
from sambench.optim import SharpnessAware, build
from sambench.optim.contract import RULES, Rule, batch, closure_of, flat, network
from sambench.optim.method import OptimizerInfo, optimizers
from tests.optim.references import Quadratic

REGISTRY = optimizers.list()
EVERY = pytest.mark.parametrize("info", REGISTRY, ids=[info.name for info in REGISTRY])


def steps(model: nn.Module, optimizer: SharpnessAware, first: int, last: int) -> None:
    for step in range(first, last):
        optimizer.step(closure_of(model, *batch(step)))


@EVERY
@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_the_contract(info: OptimizerInfo, rule: Rule) -> None:
    rule.check(info)


@EVERY
def test_it_is_a_torch_optimizer_under_its_own_name(info: OptimizerInfo) -> None:
    optimizer_class = getattr(sambench.optim, info.method.__name__)
    base = torch.optim.Adam if info.base is None else None
    optimizer = optimizer_class(network().parameters(), base, lr=0.1)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert type(optimizer).__name__ == info.method.__name__
    assert optimizer.__doc__ == info.method.__doc__


@EVERY
def test_it_goes_down_a_quadratic(info: OptimizerInfo) -> None:
    if info.name == "sam-on":
        pytest.skip("sam-on needs a normalisation layer, which a quadratic has not")
    problem = Quadratic(torch.diag(torch.tensor([2.0, 0.5])).double(), torch.ones(2).double())
    radius = {"rho": 0.05} if "rho" in info.hyperparameters else {}
    optimizer = build(info.name, problem.parameters(), lr=0.05, **radius)
    first = problem().item()
    for _ in range(100):
        optimizer.step(problem.closure)
    assert problem().item() < 0.05 * first


@EVERY
@pytest.mark.parametrize("base", ["adam", "sgd"])
def test_a_resumed_run_gives_the_bits_of_an_uninterrupted_one(
    info: OptimizerInfo, base: str, tmp_path: Any
) -> None:
    if info.base not in (None, base):
        pytest.skip(f"{info.name} is its own base optimizer")
    settings = {"lr": 0.01, **({"momentum": 0.9} if base == "sgd" else {})}
    whole = network()
    steps(whole, build(info.name, whole.parameters(), base, **settings), 0, 6)
    first = network()
    interrupted = build(info.name, first.parameters(), base, **settings)
    steps(first, interrupted, 0, 3)
    torch.save([first.state_dict(), interrupted.state_dict()], tmp_path / "saved.pt")
    second = network(seed=9)
    resumed = build(info.name, second.parameters(), base, **settings)
    model_state, optimizer_state = torch.load(tmp_path / "saved.pt", weights_only=True)
    second.load_state_dict(model_state)
    resumed.load_state_dict(optimizer_state)
    steps(second, resumed, 3, 6)
    assert torch.equal(flat(second), flat(whole))


@EVERY
def test_it_takes_named_parameters(info: OptimizerInfo) -> None:
    plain, named = network(), network()
    steps(plain, build(info.name, plain.parameters(), lr=0.01), 0, 2)
    steps(named, build(info.name, named.named_parameters(), lr=0.01), 0, 2)
    assert torch.equal(flat(plain), flat(named))


@EVERY
def test_skipping_a_step_that_is_not_finite_keeps_weights_and_moments(info: OptimizerInfo) -> None:
    model = network()
    optimizer = build(info.name, model.parameters(), lr=0.1, skip_nonfinite=True)
    steps(model, optimizer, 0, 1)
    before, state = flat(model), copy.deepcopy(optimizer.state_dict())

    def infinite() -> Tensor:
        loss = closure_of(model, *batch())() * float("inf")
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad *= float("inf")
        return loss

    optimizer.step(infinite)
    assert torch.equal(flat(model), before)
    torch.testing.assert_close(optimizer.state_dict()["state"], state["state"], rtol=0, atol=0)


@EVERY
def test_statistics_survive_a_perturbed_pass_that_is_not_finite(info: OptimizerInfo) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3), nn.BatchNorm1d(3)).double()
    inputs, targets = batch()
    calls = 0

    def closure() -> Tensor:
        nonlocal calls
        calls += 1
        scale = 1.0 if calls == 1 else float("nan")
        loss = functional.cross_entropy(model(inputs * scale), targets)
        loss.backward()
        return loss

    build(info.name, model.parameters(), lr=0.1, skip_nonfinite=True).step(closure)
    assert all(torch.isfinite(buffer).all() for buffer in model.buffers())


class OnlySometimes(nn.Module):
    """Uses its second weight in chosen passes only."""

    def __init__(self, passes: set[int]) -> None:
        super().__init__()
        self.always, self.sometimes = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
        self.passes, self.count = passes, 0

    def closure(self) -> Tensor:
        loss = (self.always**2).sum()
        if self.count in self.passes:
            loss = loss + (self.sometimes**2).sum()
        self.count += 1
        loss.backward()
        return loss


@EVERY
@pytest.mark.parametrize("passes", [set(), {0}, {1}])
def test_missing_gradients_neither_move_nor_break_weights(
    info: OptimizerInfo, passes: set[int]
) -> None:
    model = OnlySometimes(passes)
    if info.name == "sam-on":
        pytest.skip("sam-on needs a normalisation layer")
    optimizer = build(info.name, model.parameters(), lr=0.0, model=model)
    optimizer.step(model.closure)
    assert torch.equal(model.sometimes, torch.ones(3))
    used = any(call in passes for call in range(model.count))
    assert (model.sometimes.grad is not None) == used


@EVERY
def test_clipping_bounds_the_final_direction(info: OptimizerInfo) -> None:
    model = network()
    optimizer = build(info.name, model.parameters(), lr=1.0, max_norm=1e-3)
    optimizer.step(closure_of(model, *batch()))
    gradients = torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])
    if info.name == "wsam":  # what it applies beside the base optimizer takes its share
        assert gradients.norm().item() < 1e-3
    else:
        assert gradients.norm().item() == pytest.approx(1e-3, rel=1e-3)
