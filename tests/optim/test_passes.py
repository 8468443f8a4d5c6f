"""The step whose passes the loop runs itself, against the step with a closure."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.amp import GradScaler
from torch.nn import functional

from sambench.errors import ConfigError
from sambench.optim import build
from sambench.optim.contract import batch, closure_of, flat, network
from sambench.optim.method import optimizers

NAMES = [info.name for info in optimizers.list() if info.name != "xsam"]  # which needs the losses


@pytest.mark.parametrize("name", NAMES)
def test_a_loop_of_passes_is_the_step_with_a_closure(name: str) -> None:
    closed, looped = network(), network()
    reference = build(name, closed.parameters(), lr=0.01)
    optimizer = build(name, looped.parameters(), lr=0.01)
    for step in range(7):
        reference.step(closure_of(closed, *batch(step)))
        for _ in optimizer.passes():
            closure_of(looped, *batch(step))()
        optimizer.step()
    assert torch.equal(flat(looped), flat(closed))


@pytest.mark.parametrize("name", NAMES)
def test_passes_on_several_micro_batches_are_a_list_of_closures(name: str) -> None:
    closed, looped = network(), network()
    reference = build(name, closed.parameters(), lr=0.01)
    optimizer = build(name, looped.parameters(), lr=0.01)
    for step in range(3):
        reference.step([closure_of(closed, *batch(s)) for s in (step, step + 9)])
        for s in (step, step + 9):
            for _ in optimizer.passes():
                closure_of(looped, *batch(s))()
        optimizer.step()
    torch.testing.assert_close(flat(looped), flat(closed), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["sam", "gsam", "crsam", "vasso"])
def test_passes_under_a_scaler(name: str) -> None:
    """The step after it is the scaler's own; one that overflows leaves nothing behind."""
    closed, looped = network(), network()
    scaler = GradScaler("cpu", init_scale=2.0**16)
    reference = build(name, closed.parameters(), lr=0.01)
    optimizer = build(name, looped.parameters(), lr=0.01)
    for step, spoil in enumerate((1.0, float("inf"), 1.0)):
        inputs, targets = batch(step)
        for _ in optimizer.passes(scaler=scaler):
            loss = functional.cross_entropy(looped(inputs * spoil), targets)
            scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        if spoil == 1.0:
            reference.step(closure_of(closed, inputs, targets))
    torch.testing.assert_close(flat(looped), flat(closed), rtol=0, atol=1e-9)
    assert scaler.get_scale() == 2.0**15


def test_the_direction_may_be_clipped_before_the_step() -> None:
    clipped, model = network(), network()
    build("sam", clipped.parameters(), "sgd", lr=1.0, max_norm=1e-2).step(
        closure_of(clipped, *batch())
    )
    optimizer = build("sam", model.parameters(), "sgd", lr=1.0)
    for _ in optimizer.passes():
        closure_of(model, *batch())()
    nn.utils.clip_grad_norm_(model.parameters(), 1e-2)
    optimizer.step()
    torch.testing.assert_close(flat(model), flat(clipped), rtol=0, atol=1e-9)


def test_a_tensor_whose_gradient_is_taken_away_after_the_passes_stays() -> None:
    """Its moments from the step before do not move it, as they do not in torch."""
    model = network()
    optimizer = build("sam", model.parameters(), lr=0.1)
    for step in range(2):
        for _ in optimizer.passes():
            closure_of(model, *batch())()
        if step == 1:
            model[0].weight.grad, before = None, model[0].weight.clone()
        optimizer.step()
    assert torch.equal(model[0].weight, before)


def test_both_ways_to_clip_leave_out_layers_without_a_gradient() -> None:
    """LookSAM's kept sharpness has a part on them, which no step applies."""
    ends = []
    for own in (True, False):
        model = nn.ModuleList(network() for _ in range(2))
        optimizer = build("looksam", model.parameters(), lr=0.1, k=9, max_norm=own * 1e-2)
        for step in range(3):
            for _ in optimizer.passes():
                for each in model if step == 0 else model[:1]:
                    closure_of(each, *batch(step))()
            if not own:
                nn.utils.clip_grad_norm_(model.parameters(), 1e-2)
            optimizer.step()
        ends.append(flat(model))
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)


def test_what_a_loop_can_do_wrong_is_said() -> None:
    model = network()
    closure = closure_of(model, *batch())
    before = flat(model)
    optimizer = build("sam", model.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="sam needs its passes: give step"):
        optimizer.step()
    closure()  # and no passes
    with pytest.raises(ConfigError, match="sam needs its passes: give step"):
        optimizer.step()
    with pytest.raises(ConfigError, match="would not use the gradients from before this step"):
        next(optimizer.passes())
    optimizer.zero_grad()
    with pytest.raises(RuntimeError, match="must call backward"):
        list(optimizer.passes())
    for _ in optimizer.passes():
        closure()
    with pytest.raises(ConfigError, match="take its step with step\\(\\), without a closure"):
        optimizer.step(closure)
    assert torch.equal(flat(model), before)


def test_leaving_the_loop_early_leaves_the_weights_alone() -> None:
    model = network()
    before = flat(model)
    optimizer = build("fsam", model.parameters(), lr=0.1, rho=1.0)
    for number in optimizer.passes():
        closure_of(model, *batch())()
        if number == 1:
            assert not torch.equal(flat(model), before)
            break
    assert torch.equal(flat(model), before)
    model.zero_grad()
    fresh = network()
    reference = build("fsam", fresh.parameters(), lr=0.1, rho=1.0)
    for each, its in ((optimizer, model), (reference, fresh)):
        each.step(closure_of(its, *batch()))
    assert torch.equal(flat(model), flat(fresh))


@pytest.mark.parametrize("name", NAMES)
def test_a_micro_batch_that_is_left_early_costs_no_other(name: str) -> None:
    sound, left = network(), network()
    reference, optimizer = (build(name, model.parameters(), lr=0.01) for model in (sound, left))
    for step in range(3):
        for s in (step, step + 9):
            for _ in reference.passes():
                closure_of(sound, *batch(s))()
        for s in (step, step + 5, step + 9):
            for _ in optimizer.passes():
                closure_of(left, *batch(s))()
                if s == step + 5:
                    break
        reference.step()
        optimizer.step()
    assert torch.equal(flat(left), flat(sound))


@pytest.mark.not_nudged
def test_clipping_what_wsam_does_not_apply_as_a_gradient_is_refused() -> None:
    model = network()
    optimizer = build("wsam", model.parameters(), "sgd", lr=0.1)
    for _ in optimizer.passes():
        closure_of(model, *batch())()
    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    with pytest.raises(ConfigError, match="changed since passes\\(\\): clip with max_norm="):
        optimizer.step()


@pytest.mark.parametrize(("name", "settings"), [("crsam", {"form": "log"}), ("xsam", {})])
def test_a_form_that_needs_the_losses(name: str, settings: dict[str, Any]) -> None:
    model = network()
    optimizer: Any = build(name, model.parameters(), lr=0.1, **settings)
    with pytest.raises(ConfigError, match="does not see losses"):
        for _ in optimizer.passes():
            closure_of(model, *batch())()
