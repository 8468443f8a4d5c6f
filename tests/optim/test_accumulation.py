"""Micro-batches in both meanings, and float16 with a scaler."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.nn import functional

from sambench.errors import ConfigError
from sambench.optim import build
from sambench.optim.contract import batch, closure_of, flat, network
from sambench.optim.method import optimizers
from tests.optim.references import gradient_at

NAMES = [info.name for info in optimizers.list()]


def micro_closure(model: torch.nn.Module, part: slice) -> Any:
    inputs, targets = batch()

    def closure() -> Tensor:
        loss = functional.cross_entropy(model(inputs[part]), targets[part]) / 2
        loss.backward()
        return loss.detach()

    return closure


@pytest.mark.parametrize("name", NAMES)
def test_a_closure_over_all_micro_batches_is_one_large_batch(name: str) -> None:
    whole, parts = network(), network()
    build(name, whole.parameters(), lr=0.01).step(closure_of(whole, *batch()))
    closures = [micro_closure(parts, slice(0, 4)), micro_closure(parts, slice(4, 8))]
    build(name, parts.parameters(), lr=0.01).step(lambda: closures[0]() + closures[1]())
    torch.testing.assert_close(flat(parts), flat(whole), rtol=0, atol=1e-10)


def test_a_closure_for_each_micro_batch_perturbs_for_each() -> None:
    model = network()
    weights, wanted = flat(model), torch.zeros_like(flat(model))
    inputs, targets = batch()
    for part in (slice(0, 4), slice(4, 8)):
        g = gradient_at(network(), weights, inputs[part], targets[part])
        at = weights + 0.3 * g / g.norm()
        wanted += gradient_at(network(), at, inputs[part], targets[part]) / 2
    optimizer = build("sam", model.parameters(), "sgd", lr=1.0, rho=0.3)
    loss = optimizer.step([micro_closure(model, slice(0, 4)), micro_closure(model, slice(4, 8))])
    torch.testing.assert_close(weights - flat(model), wanted, rtol=0, atol=1e-10)
    clean = functional.cross_entropy(network()(inputs), targets).item()
    assert loss.item() == pytest.approx(clean, rel=1e-12)


def test_decay_of_the_loss_counts_once_a_step() -> None:
    alone, twice = network(), network()
    settings: dict[str, Any] = {"lr": 1.0, "rho": 0.3, "loss_decay": 0.1}
    build("sam", alone.parameters(), "sgd", **settings).step(closure_of(alone, *batch()))
    optimizer = build("sam", twice.parameters(), "sgd", **settings)
    half = micro_closure(twice, slice(0, 8))
    optimizer.step([half, half])
    torch.testing.assert_close(flat(twice), flat(alone), rtol=0, atol=1e-12)
    for _ in optimizer.passes():
        half()
    with pytest.raises(ConfigError, match="give step\\(\\) a list of closures in place of them"):
        next(optimizer.passes())


@pytest.mark.parametrize("name", NAMES)
def test_micro_batches_that_are_alike_are_one(name: str) -> None:
    """Two closures at half the loss; running means and counters must advance once a step."""
    alone, twice = network(), network()
    reference = build(name, alone.parameters(), lr=0.01)
    scaled = {"rho": 0.1} if name == "usam" else {}  # of half the gradient
    optimizer = build(name, twice.parameters(), lr=0.01, **scaled)

    def halved() -> Tensor:
        inputs, targets = batch()
        loss = functional.cross_entropy(twice(inputs), targets) / 2
        loss.backward()
        return loss

    for _ in range(4):
        reference.step(closure_of(alone, *batch()))
        optimizer.step([halved, halved])
    torch.testing.assert_close(flat(twice), flat(alone), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_one_closure_in_a_list_is_that_closure(name: str) -> None:
    alone, listed = network(), network()
    build(name, alone.parameters(), lr=0.01).step(closure_of(alone, *batch()))
    build(name, listed.parameters(), lr=0.01).step([closure_of(listed, *batch())])
    assert torch.equal(flat(alone), flat(listed))


def scaled_closure(model: torch.nn.Module, scaler: GradScaler, spoil: float = 1.0) -> Any:
    inputs, targets = batch()

    def closure() -> Tensor:
        loss = functional.cross_entropy(model(inputs * spoil), targets)
        scaler.scale(loss).backward()
        return loss

    return closure


@pytest.mark.parametrize("name", NAMES)
def test_a_scaler_changes_nothing_but_the_range(name: str) -> None:
    """float64: the scale of 2^16 is undone exactly, so only the order of rounding may differ."""
    plain, scaled = network(), network()
    scaler = GradScaler("cpu", init_scale=2.0**16)
    optimizer = build(name, scaled.parameters(), lr=0.01)
    reference = build(name, plain.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.step(scaled_closure(scaled, scaler), scaler=scaler)
        reference.step(closure_of(plain, *batch()))
    torch.testing.assert_close(flat(scaled), flat(plain), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["sam", "fsam", "wsam", "looksam"])
def test_a_scaled_step_that_overflows_is_skipped_and_the_scale_halved(name: str) -> None:
    model = network()
    scaler = GradScaler("cpu", init_scale=2.0**16)
    optimizer = build(name, model.parameters(), lr=0.01)
    optimizer.step(scaled_closure(model, scaler), scaler=scaler)
    before, state = flat(model), copy.deepcopy(optimizer.state_dict())
    optimizer.step(scaled_closure(model, scaler, spoil=float("inf")), scaler=scaler)
    assert torch.equal(flat(model), before)
    assert scaler.get_scale() == 2.0**15
    after = optimizer.state_dict()
    torch.testing.assert_close(after["state"], state["state"], rtol=0, atol=0)
    assert after["param_groups"][0]["method"] == state["param_groups"][0]["method"]
    optimizer.step(scaled_closure(model, scaler), scaler=scaler)
    assert torch.isfinite(flat(model)).all()
    assert not torch.equal(flat(model), before)
