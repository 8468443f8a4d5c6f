"""What other people's training loops do besides, each of which gave a silent wrong step once."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sambench.errors import ConfigError, SambenchWarning
from sambench.optim import SampleClosure, build
from sambench.optim.contract import batch, closure_of, flat, network
from sambench.optim.method import OptimizerInfo, optimizers

RMSPROP = r"gsam and torch.optim.*RMSprop both have a setting alpha, of one value; choose another"


def test_a_setting_of_the_base_is_not_the_methods_of_the_same_name() -> None:
    """RMSprop's alpha is 0.99, GSAM's 0.01; they would be one entry of a group."""
    with pytest.raises(ConfigError, match=RMSPROP):
        build("gsam", network().parameters(), torch.optim.RMSprop, lr=0.1)
    with pytest.raises(ConfigError, match="both have a setting rho"):
        optimizers.get("sam").resolve("torch.optim.Adadelta", {})


def test_the_radius_of_another_optimizer_in_a_group_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"has rho=0\.1, which it .* is rho_max and rho_min"):
        build("gsam", [{"params": network().parameters(), "rho": 0.1}], lr=0.1)
    build("adam", [{"params": network().parameters(), "rho": 0.1}], lr=0.1)  # as beside SAM


@pytest.mark.parametrize("name", ["max_norm", "loss_decay"])
def test_what_is_of_the_whole_optimizer_is_refused_in_a_group(name: str) -> None:
    groups = [{"params": [*network().parameters()], name: 0.1}]
    with pytest.raises(ConfigError, match=f"a group of sam has {name}=0.1, which is one for all"):
        build("sam", groups, "sgd", lr=0.1)


def take_step(optimizer: Any, closure: Callable[[], Tensor], *, by_passes: bool) -> None:
    if by_passes:
        for _ in optimizer.passes():
            closure()
        optimizer.step()
    else:
        optimizer.step(closure)


class HeadOnFeatures(nn.Module):
    """Features with statistics of their own, which another optimizer trains, below a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)).double()
        self.head = network()

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.head(self.features(inputs))
        return found


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("by_passes", [True, False])
@pytest.mark.parametrize("name", ["sam", "crsam"])
def test_what_another_optimizer_trains_has_the_gradient_at_w(
    name: str, by_passes: bool, given: bool
) -> None:
    """In place of the sum over all passes."""
    whole, reference = HeadOnFeatures(), HeadOnFeatures()
    closure_of(reference, *batch())()
    model = [whole] if given else []
    optimizer = build(name, whole.head.parameters(), "sgd", lr=0.1, rho=0.5, model=model)
    closure = closure_of(whole, *batch())
    for _ in range(2):
        whole.features.zero_grad()
        whole.load_state_dict(reference.state_dict())
        take_step(optimizer, closure, by_passes=by_passes)
        pairs = zip(whole.features.parameters(), reference.features.parameters(), strict=True)
        for found, wanted in pairs:
            torch.testing.assert_close(found.grad, wanted.grad, rtol=0, atol=1e-12)


def test_modules_beside_the_given_ones_are_noticed_in_the_second_step() -> None:
    torch._dynamo.utils.counters.clear()  # of other tests
    whole = HeadOnFeatures()
    optimizer = build("sam", whole.head.parameters(), "sgd", lr=0.1, model=whole.head)
    closure = closure_of(whole, *batch())
    optimizer.step(closure)
    with pytest.warns(SambenchWarning, match="BatchNorm2d, Conv2d ran in the step but are not in"):
        optimizer.step(closure)
    seen = whole.features.get_buffer("1.num_batches_tracked")
    before = int(seen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step(closure)
    assert int(seen) == before + 1


def test_a_frozen_model_beside_the_given_one_is_no_mistake() -> None:
    """As one that a smaller one learns from."""
    torch._dynamo.utils.counters.clear()  # of other tests
    whole = HeadOnFeatures()
    whole.features.requires_grad_(False).eval()
    optimizer = build("sam", whole.head.parameters(), "sgd", lr=0.1, model=whole.head)
    for _ in range(3):
        optimizer.step(closure_of(whole, *batch()))


@pytest.mark.parametrize("retain", [True, False])
@pytest.mark.parametrize("outside", ["loss", "features"])
def test_a_forward_pass_from_outside_of_the_closure_is_refused(outside: str, retain: bool) -> None:
    """Going back through it would give the gradient at w again, or a mixture."""
    model = network()
    inputs, targets = batch()
    features = model[:-1](inputs)
    loss = functional.cross_entropy(model[-1](features), targets)

    def closure() -> Tensor:
        inside = functional.cross_entropy(model[-1](features), targets)
        found = loss if outside == "loss" else inside
        found.backward(retain_graph=retain)
        return found

    optimizer = build("sam", model.parameters(), "sgd", lr=0.1, rho=0.5, model=model)
    before = flat(model)
    with pytest.raises(ConfigError, match="run the whole forward pass inside the closure"):
        optimizer.step(closure)
    assert torch.equal(flat(model), before)


class OutOfMemory(Exception):
    pass


TWICE = [
    info
    for info in optimizers.list()
    if info.gradient_evaluations > 1 and info.name not in ("fsam", "vasso")
]
"""Of F-SAM and VaSSO the running mean has counted the gradient, as the docstring of step says."""


@pytest.mark.parametrize("info", TWICE, ids=[info.name for info in TWICE])
def test_a_step_that_raised_may_be_taken_again(info: OptimizerInfo) -> None:
    """As a loop does that catches what a device without memory raises."""
    models = [network() for _ in range(2)]
    first, second = (build(info.name, model.parameters(), "sgd", lr=0.1) for model in models)
    shares = torch.full((8,), 0.5, dtype=torch.float64)
    calls: list[int] = []

    def taken(model: nn.Module, fails: bool) -> SampleClosure:
        def losses(some: Tensor | slice) -> Tensor:
            calls.append(1)
            if fails and len(calls) == 2:
                raise OutOfMemory
            inputs, targets = batch()
            return functional.cross_entropy(model(inputs[some]), targets[some], reduction="none")

        return SampleClosure(losses, shares=shares)

    for _ in range(3):
        first.step(taken(models[0], fails=False))
        calls.clear()
        try:
            second.step(taken(models[1], fails=True))
        except OutOfMemory:
            second.step(taken(models[1], fails=False))
        assert torch.equal(*map(flat, models))


@pytest.mark.parametrize("by_passes", [True, False])
@pytest.mark.parametrize("number", [1, 2])
def test_a_pass_that_raised_in_the_midst_of_backward_may_be_run_again(
    number: int, by_passes: bool
) -> None:
    """Some gradients are there already, which are of no step."""
    model, reference = network(), network()
    optimizer = build("sam", model.parameters(), "sgd", lr=0.1, rho=0.5)
    calls: list[int] = []

    def closure() -> Tensor:
        calls.append(1)
        loss = closure_of(model, *batch())()
        if len(calls) == number:
            raise OutOfMemory
        return loss

    with pytest.raises(OutOfMemory):
        take_step(optimizer, closure, by_passes=by_passes)
    take_step(optimizer, closure, by_passes=by_passes)
    build("sam", reference.parameters(), "sgd", lr=0.1, rho=0.5).step(
        closure_of(reference, *batch())
    )
    assert torch.equal(flat(model), flat(reference))


@pytest.mark.parametrize("name", ["adam", "sam", "looksam"])
def test_steps_within_one_autocast_see_the_weights_of_the_step_before(name: str) -> None:
    """Autocast keeps 16-bit copies of the weights as long as it lasts."""
    ends = []
    for whole in (True, False):
        model, (inputs, targets) = network().float(), batch()
        optimizer = build(name, model.parameters(), lr=0.05)
        closure = closure_of(model, inputs.float(), targets)
        with torch.autocast("cpu", torch.bfloat16, enabled=whole):
            for _ in range(4):
                with torch.autocast("cpu", torch.bfloat16):
                    optimizer.step(closure)
        ends.append(flat(model))
    assert torch.equal(*ends)


@pytest.mark.filterwarnings("ignore")
def test_a_gradient_may_be_one_number_for_all_elements() -> None:
    """As `torch.autograd.grad` gives it, without memory of its own for each."""
    weights = nn.Parameter(torch.zeros(3))

    def closure() -> Tensor:
        loss = weights.sum()
        (weights.grad,) = torch.autograd.grad(loss, [weights])
        return loss

    build("gcsam", [weights], "sgd", lr=0.1).step(closure)
    assert torch.equal(weights, torch.full((3,), -0.1))


@pytest.mark.parametrize("given", ["nothing", "a loss", "losses"])
def test_what_is_no_closure_is_refused(given: str) -> None:
    model = network()
    loss = closure_of(model, *batch())()
    wrong: Any = {"nothing": [], "a loss": loss, "losses": [loss]}[given]
    with pytest.raises(ConfigError, match="takes a closure, or a list of them, each a function"):
        build("sam", model.parameters()).step(wrong)


@pytest.mark.parametrize("name", ["sgd", "sam"])
def test_a_layer_may_join_under_momentum(name: str) -> None:
    """Its momentum begins with it, in the fused kernel too, of which `build` makes use."""
    ends = []
    for fused in (True, False):
        model = network()
        model[0].requires_grad_(False)
        own: dict[str, Any] = {} if fused else {"fused": False}
        settings = {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, **own}
        optimizer = build(name, model.parameters(), "sgd", **settings)
        for step in range(5):
            model[0].requires_grad_(step >= 2)
            optimizer.step(closure_of(model, *batch(step)))
        assert optimizer.param_groups[0]["fused"] is fused
        ends.append(flat(model))
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)


def test_groups_and_state_that_are_set_anew_count() -> None:
    model = network()
    closure = closure_of(model, *batch())
    optimizer = build("sam", model.parameters(), "sgd", lr=0.1, momentum=0.9)
    optimizer.step(closure)
    optimizer.param_groups = [{**optimizer.param_groups[0], "lr": 0.0}]
    before = flat(model)
    optimizer.step(closure)
    assert torch.equal(flat(model), before)
    optimizer.state = defaultdict(dict)
    assert optimizer.momentum() is None
    optimizer.step(closure)
    assert optimizer.momentum() is not None
    assert optimizer.base.state is optimizer.state


def test_a_sample_closure_may_serve_many_steps() -> None:
    """Each step compares with the losses of its own first pass."""
    models, (inputs, targets) = [network() for _ in range(2)], batch()

    def losses_of(model: nn.Module) -> Callable[[Tensor | slice], Tensor]:
        return lambda some: functional.cross_entropy(
            model(inputs[some]), targets[some], reduction="none"
        )

    made = [build("esam", model.parameters(), "sgd", lr=1.0, rho=0.5) for model in models]
    closure = SampleClosure(losses_of(models[0]))
    for _ in range(4):
        made[0].step(closure)
        made[1].step(SampleClosure(losses_of(models[1])))
    assert torch.equal(*map(flat, models))
    with pytest.raises(ConfigError, match=r"have the shape \(\) instead of one number a sample"):
        made[0].step(SampleClosure(lambda some: losses_of(models[0])(some).mean()))


def test_gradients_may_be_cleared_within_a_pass() -> None:
    ends = []
    for clears in (True, False):
        model = network()
        optimizer = build("sam", model.parameters(), "sgd", lr=0.1, rho=0.5)
        for _ in range(2):
            for _ in optimizer.passes():
                if clears:
                    optimizer.zero_grad()
                closure_of(model, *batch())()
            optimizer.step()
        ends.append(flat(model))
    assert torch.equal(*ends)


def test_passes_that_somebody_holds_end_with_the_next_step() -> None:
    model = network()
    optimizer = build("sam", model.parameters(), "sgd", lr=0.1, rho=0.5)
    before, held = flat(model), optimizer.passes()
    for number in held:
        closure_of(model, *batch())()
        if number == 0:
            continue
        break
    assert not torch.equal(flat(model), before)  # held within its second pass
    reference = network()
    optimizer.zero_grad()
    optimizer.step(closure_of(model, *batch()))
    build("sam", reference.parameters(), "sgd", lr=0.1, rho=0.5).step(
        closure_of(reference, *batch())
    )
    torch.testing.assert_close(flat(model), flat(reference), rtol=0, atol=0)


class Imitation:
    """A wrapper as Lightning makes it: of the class of what it wraps, with nothing of its own."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self.__class__ = type("Imitation", (Imitation, type(optimizer)), {})

    def step(self) -> None:
        self._optimizer.step()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._optimizer, name)


def test_a_wrapper_that_imitates_the_optimizer_is_it() -> None:
    ends = []
    for wrap in (Imitation, lambda optimizer: optimizer):
        model: Any = network()
        made = build("sam", model.parameters(), "sgd", lr=0.1, rho=0.5, skip_nonfinite=True)
        optimizer: Any = wrap(made)
        optimizer.param_groups[0]["lr"] = 0.2
        for step in range(2):
            optimizer.zero_grad()
            for _ in optimizer.passes():
                closure_of(model, *batch(step))()
            optimizer.step()
        for _ in optimizer.passes():
            closure_of(model, *batch())()
        model[0].bias.grad.fill_(float("inf"))
        optimizer.step()
        assert optimizer.skipped == 1
        ends.append(flat(model))
    assert torch.equal(*ends)
