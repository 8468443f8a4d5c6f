"""Optimizers that are copied, pickled, regrouped, unfrozen or given unusual weights."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sambench.optim
from sambench.errors import ConfigError, SambenchWarning
from sambench.optim import build
from sambench.optim.contract import Counted, batch, closure_of, flat, network
from sambench.optim.method import optimizers
from tests.optim.references import gradient_at

NAMES = [info.name for info in optimizers.list()]


@pytest.mark.parametrize("name", NAMES)
def test_a_deep_copy_goes_on_as_the_original(name: str) -> None:
    model = network()
    optimizer = build(name, model.parameters(), lr=0.01)
    optimizer.step(closure_of(model, *batch(0)))
    twin, twin_optimizer = copy.deepcopy((model, optimizer))
    for step in (1, 2):
        optimizer.step(closure_of(model, *batch(step)))
        twin_optimizer.step(closure_of(twin, *batch(step)))
    assert torch.equal(flat(model), flat(twin))


@pytest.mark.parametrize("name", NAMES)
def test_a_pickled_optimizer_comes_back(name: str) -> None:
    model = network()
    optimizer = build(name, model.parameters(), lr=0.01)
    optimizer.step(closure_of(model, *batch(0)))
    twin, twin_optimizer = pickle.loads(pickle.dumps((model, optimizer)))
    optimizer.step(closure_of(model, *batch(1)))
    twin_optimizer.step(closure_of(twin, *batch(1)))
    assert torch.equal(flat(model), flat(twin))


def test_what_build_makes_is_an_instance_of_the_public_class() -> None:
    assert isinstance(build("sam", network().parameters()), sambench.optim.SAM)


@pytest.mark.parametrize("name", NAMES)
def test_a_group_that_is_added_has_the_settings_that_it_does_not_name(name: str) -> None:
    ends = []
    for later in (True, False):
        model = network()
        first, *others = model.parameters()
        groups: list[Any] = [{"params": [first]}, {"params": others, "lr": 0.02}]
        optimizer = build(name, groups[:1] if later else groups, lr=0.01)
        if later:
            optimizer.add_param_group(groups[1])
        for step in range(3):
            optimizer.step(closure_of(model, *batch(step)))
        ends.append(flat(model))
    assert torch.equal(*ends)


@pytest.mark.parametrize("by_passes", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_parameters_may_be_unfrozen_on_the_way(name: str, by_passes: bool) -> None:
    if name == "xsam" and by_passes:
        pytest.skip("xsam needs the losses, which passes() does not see")
    model = network()
    model[0].weight.requires_grad_(False)
    optimizer = build(name, model.parameters(), lr=0.01)
    for step in range(4):
        model[0].weight.requires_grad_(step >= 2)
        before, closure = model[0].weight.detach().clone(), closure_of(model, *batch(step))
        for _ in optimizer.passes() if by_passes else ():
            closure()
        optimizer.step(*(() if by_passes else (closure,)))
        assert torch.equal(model[0].weight, before) == (step < 2)


def test_clipping_counts_in_what_wsam_applies_beside_the_base_optimizer() -> None:
    model = network()
    before = flat(model)
    optimizer = build("wsam", model.parameters(), "sgd", lr=1.0, rho=1.0, max_norm=1e-3)
    optimizer.step(closure_of(model, *batch()))
    assert (flat(model) - before).norm().item() == pytest.approx(1e-3, rel=1e-2)


def test_the_loss_returned_is_that_of_the_first_pass_even_if_a_buffer_is_reused() -> None:
    model, buffer = network(), torch.zeros((), dtype=torch.float64)
    closure = closure_of(model, *batch())

    def reusing() -> Tensor:
        buffer.copy_(closure().detach())
        return buffer

    optimizer = build("sam", model.parameters(), "sgd", lr=0.0, rho=1.0)
    first = closure().item()
    optimizer.zero_grad()
    assert optimizer.step(reusing).item() == first


@pytest.mark.parametrize("name", ["interval-sam", "looksam"])
def test_several_closures_are_one_step_of_the_interval(name: str) -> None:
    model = network()
    closure = Counted(closure_of(model, *batch()))
    optimizer = build(name, model.parameters(), lr=0.01, k=2)
    made = []
    for _ in range(4):
        closure.losses.clear()
        optimizer.step([closure, closure])
        made.append(len(closure.losses))
    assert made == [4, 2, 4, 2]


def test_weights_of_16_bits_are_warned_of() -> None:
    with pytest.warns(SambenchWarning, match="16-bit weights swallow most of a perturbation"):
        build("sam", network().bfloat16().parameters(), lr=0.1)


def test_float32_and_float64_in_one_model() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())

    def closure() -> Tensor:
        loss: Tensor = (model[1](model[0](torch.ones(3, 2)).double()) ** 2).sum()
        loss.backward()
        return loss

    before = [p.detach().clone() for p in model.parameters()]
    build("sam", model.parameters(), "sgd", lr=0.1, fused=False).step(closure)
    assert not any(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize(
    ("name", "setting"), [("asam", "scope"), ("looksam", "k"), ("gsam", "lr_min")]
)
def test_what_must_be_the_same_in_all_groups(name: str, setting: str) -> None:
    model = network()
    values = ("weights", "all") if setting == "scope" else (2, 3)
    parameters = list(model.parameters())
    groups = [
        {"params": part, setting: value}
        for part, value in zip((parameters[:2], parameters[2:]), values, strict=True)
    ]
    optimizer = build(name, groups, lr=0.1)
    before = flat(model)
    with pytest.raises(ConfigError, match=f"{setting} must be the same in all parameter groups"):
        for _ in range(2):
            optimizer.step(closure_of(model, *batch()))
    assert torch.equal(flat(model), before)


@pytest.mark.parametrize(("name", "setting"), [("esam", "share"), ("vasso", "theta")])
def test_shares_beyond_one(name: str, setting: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} {setting}=2.0 is not allowed"):
        build(name, network().parameters(), lr=0.1, **{setting: 2.0})


def test_a_base_optimizer_that_needs_a_closure_itself() -> None:
    with pytest.raises(ConfigError, match="base optimizer LBFGS needs a closure itself"):
        build("sam", network().parameters(), "torch.optim.LBFGS", lr=0.1)


def test_weight_decay_in_the_loss_shapes_the_perturbation() -> None:
    """Against the formula: g and g_a are gradients of L + lambda |w|^2 / 2."""
    model = network()
    weights = flat(model)
    g = gradient_at(network(), weights, *batch()) + 0.1 * weights
    at = weights + 0.3 * g / g.norm()
    wanted = gradient_at(network(), at, *batch()) + 0.1 * at
    optimizer = build("sam", model.parameters(), "sgd", lr=1.0, rho=0.3, loss_decay=0.1)
    optimizer.step(closure_of(model, *batch()))
    torch.testing.assert_close(weights - flat(model), wanted, rtol=0, atol=1e-10)


class SkipsAtFirst(nn.Module):
    """A layer that the first pass leaves out, as stochastic depth may."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head, self.passes = nn.BatchNorm1d(4), nn.Linear(4, 3), 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.passes += 1
        features = self.norm(inputs) if self.passes > 1 else inputs
        logits: Tensor = self.head(features)
        return logits


def test_statistics_of_a_layer_that_only_perturbed_passes_run_are_kept() -> None:
    model = SkipsAtFirst()
    optimizer = build("sam", model.parameters(), "sgd", lr=0.1)
    optimizer.step(closure_of(model, torch.randn(8, 4) + 5, torch.arange(8) % 3))
    assert model.passes == 2
    assert torch.equal(model.norm.running_mean, torch.zeros(4))
    assert model.norm.num_batches_tracked == 0


def test_wsam_decoupled_on_adam_is_warned_of() -> None:
    with pytest.warns(SambenchWarning, match="the sharpness term is not preconditioned"):
        build("wsam", network().parameters(), "adam")
