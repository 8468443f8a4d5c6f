"""States that are saved, loaded into another optimizer, checkpointed by torch, copied, pickled."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.optim.lr_scheduler import StepLR

from sambench.optim import SharpnessAware, build
from sambench.optim.contract import Counted, batch, closure_of, flat, network
from sambench.optim.method import optimizers


def steps(model: nn.Module, optimizer: SharpnessAware, first: int, last: int) -> None:
    for step in range(first, last):
        optimizer.step(closure_of(model, *batch(step)))


def test_adam_goes_on_as_sam() -> None:
    """Adam's moments are taken over; with radius 0 the two are one."""
    plain, model = network(), network()
    adam = torch.optim.Adam(plain.parameters(), lr=0.05)
    for step in range(2):
        adam.zero_grad()
        adam.step(closure_of(plain, *batch(step)))
    model.load_state_dict(plain.state_dict())
    optimizer = build("sam", model.parameters(), lr=0.1, rho=0.0, fused=False)
    optimizer.load_state_dict(copy.deepcopy(adam.state_dict()))
    for step in range(2, 4):
        adam.zero_grad()
        adam.step(closure_of(plain, *batch(step)))
    steps(model, optimizer, 2, 4)
    torch.testing.assert_close(flat(model), flat(plain), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("before", "after"), [("sam", "gsam"), ("fsam", "vasso"), ("wsam", "sam")])
def test_a_method_goes_on_as_another(before: str, after: str) -> None:
    """Of the method's own it has what it was made with, and memory of its own."""
    model = network()
    first = build(before, model.parameters(), lr=0.01)
    steps(model, first, 0, 2)
    own = {"rho_max": 0.3} if after == "gsam" else {"rho": 0.3}
    second = build(after, model.parameters(), lr=0.5, **own)
    second.load_state_dict(first.state_dict())
    assert second.param_groups[0]["lr"] == 0.01
    radius, own_radius = next(iter(own.items()))
    assert second.param_groups[0][radius] == first.param_groups[0].get(radius, own_radius)
    assert not second.method.memory
    steps(model, second, 2, 4)
    assert torch.isfinite(flat(model)).all()


@pytest.mark.parametrize("freeze_before_loading", [True, False])
def test_a_layer_frozen_on_the_way(freeze_before_loading: bool) -> None:
    model, fresh = network(), network()
    optimizer = build("fsam", model.parameters(), lr=0.01)
    steps(model, optimizer, 0, 2)
    model[0].weight.requires_grad_(False)
    saved = copy.deepcopy(optimizer.state_dict())
    fresh.load_state_dict(model.state_dict())
    resumed = build("fsam", fresh.parameters(), lr=0.01)
    if freeze_before_loading:
        fresh[0].weight.requires_grad_(False)
    resumed.load_state_dict(saved)
    fresh[0].weight.requires_grad_(False)
    for each, its in ((model, optimizer), (fresh, resumed)):
        steps(each, its, 2, 4)
    assert torch.equal(flat(model), flat(fresh))


def test_hooks_on_states_run() -> None:
    model = network()
    optimizer = build("fsam", model.parameters(), lr=0.01)
    steps(model, optimizer, 0, 1)
    called: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda o: called.append("before saving"))
    optimizer.register_state_dict_post_hook(lambda o, s: {**s, "mine": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, s: called.append("before loading"))
    optimizer.register_load_state_dict_post_hook(lambda o: called.append("after loading"))
    saved = optimizer.state_dict()
    assert saved["mine"] == 1
    optimizer.load_state_dict(saved)
    assert called == ["before saving", "before loading", "after loading"]


@pytest.mark.parametrize("name", ["sam", "vasso", "looksam"])
def test_a_scheduled_optimizer_is_copied_and_pickled_apart(name: str) -> None:
    model = network()
    optimizer = build(name, model.parameters(), lr=0.01)
    schedule = StepLR(optimizer, step_size=1, gamma=0.5)
    steps(model, optimizer, 0, 1)
    schedule.step()
    everything = (model, optimizer, schedule)
    twins = [copy.deepcopy(everything)]
    if name == "sam":
        twins.append(pickle.loads(pickle.dumps((model, optimizer))))
    before = flat(model)
    ends = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: the copy's step counts no steps for the schedule
        for twin, twin_optimizer, *_ in twins:
            steps(twin, twin_optimizer, 1, 3)
            ends.append(flat(twin))
    assert torch.equal(flat(model), before)
    steps(model, optimizer, 1, 3)
    assert all(torch.equal(end, flat(model)) for end in ends)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [info.name for info in optimizers.list()])
def test_a_distributed_checkpoint_goes_on_as_without(name: str, tmp_path: Path) -> None:
    """Into an optimizer that has taken no step; two are saved, since most methods keep memory."""
    whole, first, second = network(), network(), network(seed=9)
    reference = build(name, whole.parameters(), lr=0.01)
    steps(whole, reference, 0, 4)
    optimizer = build(name, first.parameters(), lr=0.01)
    steps(first, optimizer, 0, 2)
    model_state, state = get_state_dict(first, optimizer)
    checkpoint.save({"model": model_state, "optimizer": state}, checkpoint_id=tmp_path)
    resumed = build(name, second.parameters(), lr=0.01)
    model_state, state = get_state_dict(second, resumed)
    loaded: dict[str, Any] = {"model": model_state, "optimizer": state}
    checkpoint.load(loaded, checkpoint_id=tmp_path)
    set_state_dict(
        second, resumed, model_state_dict=loaded["model"], optim_state_dict=loaded["optimizer"]
    )
    steps(second, resumed, 2, 4)
    assert torch.equal(flat(second), flat(whole))


def test_the_threshold_of_aesam_moves_over_the_whole_run() -> None:
    """Beside the constant 10,000 steps, over which it would hardly move in a short run."""
    taken = []
    for total in (None, 30):
        model = network()
        optimizer = build("aesam", model.parameters(), lr=0.01)
        optimizer.total_steps = total
        closure = Counted(closure_of(model, *batch()))
        thresholds = []
        for _ in range(30):
            optimizer.step(closure)
            thresholds.append(len(closure.losses))
        taken.append(len(closure.losses) - 30)
    assert taken[1] > taken[0]
