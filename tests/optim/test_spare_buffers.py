"""Buffers in the passes after the first: copies of their own, safe under anything."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.meter import Meter
from sambench.optim import build
from sambench.optim.contract import batch, closure_of
from sambench.optim.modules import Modules


def network(norm: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 4), norm, nn.Linear(4, 3)).double()


class Renorm(nn.BatchNorm1d):
    """A normalisation of somebody's own that reads its running statistics while training."""

    running_mean: Tensor

    def forward(self, x: Tensor) -> Tensor:
        shifted = x - self.running_mean.clone()
        with torch.no_grad():
            self.running_mean.lerp_(x.mean(dim=0), 0.1)
        return shifted


def test_a_later_pass_costs_a_copy_for_each_type_of_buffer() -> None:
    model, seen = network(nn.BatchNorm1d(4)), Modules()
    with seen.watching([]):
        model(batch()[0])
    with seen.statistics_kept():
        pass
    with Meter() as meter, seen.statistics_kept():
        pass
    assert [each.name for each in meter.operations] == ["aten._foreach_copy_.default"] * 2
    assert meter.peak == 0


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
@pytest.mark.parametrize("momentum", [0.1, 1.0, None])
def test_a_later_pass_may_be_infinite(poison: float, momentum: float | None) -> None:
    norm = nn.BatchNorm1d(4, momentum=momentum)
    model = network(norm)
    reference = copy.deepcopy(model)
    inputs, targets = batch()
    plain, calls = closure_of(model, inputs, targets), [0]

    def closure() -> Tensor:
        calls[0] += 1
        if calls[0] % 2 == 0:
            with torch.no_grad():
                model(torch.full_like(inputs, poison))
        return plain()

    optimizer = build("sam", model.parameters(), "sgd", lr=0.0)
    for _ in range(3):
        optimizer.step(closure)
        reference(inputs)
    for found, wanted in zip(model.buffers(), reference.buffers(), strict=True):
        assert torch.equal(found, wanted)
    assert norm.num_batches_tracked is not None
    assert int(norm.num_batches_tracked) == 3


@pytest.mark.parametrize("name", ["sam", "crsam"])
def test_a_norm_that_reads_its_statistics_finds_its_own(name: str) -> None:
    """As with the buffers saved and put back by hand around every later pass."""
    model = network(Renorm(4))
    by_hand = copy.deepcopy(model)
    optimizer = build(name, model.parameters(), "sgd", lr=0.1, rho=0.3)
    reference = build(name, by_hand.parameters(), "sgd", lr=0.1, rho=0.3)
    for step in range(3):
        optimizer.step(closure_of(model, *batch(step)))
        clean, kept = closure_of(by_hand, *batch(step)), []

        def closure(clean: Any = clean, kept: list[Tensor] = kept) -> Tensor:
            loss: Tensor = clean()
            buffers = list(by_hand.buffers())
            if not kept:
                kept.extend(buffer.clone() for buffer in buffers)
            for buffer, value in zip(buffers, kept, strict=True):
                buffer.copy_(value)
            return loss

        reference.step(closure)
    ends = [list(m.state_dict().values()) for m in (model, by_hand)]
    for found, wanted in zip(*ends, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-14)


def test_modules_that_share_a_buffer_go_on_sharing_it() -> None:
    first, second = Renorm(4).double(), Renorm(4).double()
    second.running_mean = first.running_mean
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 4).double(), first, second)
    seen, shared = Modules(), []
    with seen.watching([]):
        model(batch()[0])
    with seen.statistics_kept():
        shared.append(first.running_mean is second.running_mean)
    assert shared == [True]
    assert first.running_mean is second.running_mean


def test_spare_buffers_stay_where_they_are_from_step_to_step() -> None:
    """What a captured CUDA graph writes to in its later passes must outlive the capture."""
    norm = nn.BatchNorm1d(4)
    model = network(norm)
    places: list[list[int]] = []
    plain = closure_of(model, *batch())

    def closure() -> Tensor:
        places.append([buffer.data_ptr() for buffer in norm.buffers()])
        return plain()

    optimizer = build("crsam", model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.step(closure)
    clean, later = places[0], places[1]
    assert not set(clean) & set(later)
    assert places == [clean, later, later] * 3


def test_a_hook_that_reads_the_statistics_finds_them() -> None:
    norm = nn.BatchNorm1d(4)
    model = network(norm)
    found: list[Tensor] = []
    norm.register_forward_pre_hook(lambda module, _: found.append(module.running_mean.clone()))
    build("sam", model.parameters(), "sgd", lr=0.0).step(closure_of(model, *batch()))
    clean, later = found
    assert norm.running_mean is not None
    assert not torch.equal(clean, later)  # the first pass has moved them in between
    assert torch.equal(later, norm.running_mean)


def test_modules_moved_or_frozen_between_steps() -> None:
    norm = nn.BatchNorm1d(4)
    model = network(norm)
    optimizer = build("sam", model.parameters(), "sgd", lr=0.1)
    for change in (lambda: None, lambda: model.float().double(), norm.eval, norm.train):
        change()
        reference = copy.deepcopy(model)
        optimizer.step(closure_of(model, *batch()))
        reference(batch()[0])
        for found, wanted in zip(model.buffers(), reference.buffers(), strict=True):
            assert torch.equal(found, wanted)


@pytest.mark.parametrize("given", [True, False])
def test_a_closure_may_change_modes(given: bool) -> None:
    """As one does that labels images itself: both passes label by the statistics remembered."""
    model = network(nn.BatchNorm1d(4))
    reference = copy.deepcopy(model)
    inputs, targets = batch()
    plain, found = closure_of(model, inputs, targets), list[Tensor]()

    def closure() -> Tensor:
        found.append(model.eval()(inputs))
        model.train()
        loss = plain()
        model.eval()
        return loss

    settings: dict[str, Any] = {"model": model} if given else {}
    optimizer = build("sam", model.parameters(), "sgd", lr=0.0, rho=0.0, **settings)
    for _ in range(3):
        optimizer.step(closure)
        expected = [reference.eval()(inputs)]
        reference.train()(inputs)
        expected.append(reference.eval()(inputs))
        assert all(map(torch.equal, found[-2:], expected))
    for own, wanted in zip(model.buffers(), reference.buffers(), strict=True):
        assert torch.equal(own, wanted)
