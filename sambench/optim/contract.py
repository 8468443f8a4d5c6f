"""What every optimizer must do, whatever its mathematics: the contract that `check` runs.

A rule takes an entry of the registry and raises `Broken`, with what was seen, where it is not kept.
All are run in float64 on problems of a few hundred weights, so that "the same" can mean its bits.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sambench.errors import ConfigError
from sambench.optim.method import OptimizerInfo
from sambench.optim.problems import Counted, batch, closure_of, flat, network
from sambench.optim.sharpness_aware import SharpnessAware, build


class Broken(Exception):
    """An optimizer does not keep a rule."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        name: What the optimizer must do, in a line.
        check: Raises `Broken` where it does not.
    """

    name: str
    check: Callable[[OptimizerInfo], None]


RULES: list[Rule] = []
RADII = ("rho", "rho_max")


def findings(info: OptimizerInfo) -> Iterator[tuple[Rule, str | None]]:
    """Check an optimizer; yield each rule with what is wrong, or None where it is kept.

    An exception of the optimizer's own counts as a rule that is not kept.
    """
    for rule in RULES:
        try:
            rule.check(info)
        except Broken as broken:
            yield rule, str(broken)
        except Exception as error:
            yield rule, f"{type(error).__name__}: {error}"
        else:
            yield rule, None


def passes_of_a_step(info: OptimizerInfo) -> int:
    """Count the closure calls of the first step."""
    model = network()
    closure = Counted(closure_of(model, *batch()))
    build(info.name, model.parameters(), lr=0.1).step(closure)
    return closure.calls


def _rule(name: str) -> Callable[[Callable[[OptimizerInfo], None]], None]:
    def add(check: Callable[[OptimizerInfo], None]) -> None:
        RULES.append(Rule(name=name, check=check))

    return add


def _steps(model: nn.Module, optimizer: SharpnessAware, first: int, last: int) -> None:
    for step in range(first, last):
        optimizer.step(closure_of(model, *batch(step)))


def _same(found: Tensor, expected: Tensor, what: str, within: float = 0.0) -> None:
    if found.shape != expected.shape or not bool(torch.isfinite(found).all()):
        raise Broken(f"{what}: weights are missing or not finite")
    difference = float((found - expected).abs().max())
    if difference > within:
        raise Broken(f"{what}: weights differ by up to {difference:.3g}")


@_rule("it calls the closure as often as it says")
def _(info: OptimizerInfo) -> None:
    model = network()
    closure = Counted(closure_of(model, *batch()))
    optimizer = build(info.name, model.parameters(), lr=0.01)
    for _ in range(20):
        optimizer.step(closure)
    said = 20 * info.gradient_evaluations
    if not (20 <= closure.calls <= 40 if info.adaptive else abs(closure.calls - said) < 1e-9):
        raise Broken(f"{closure.calls} passes in 20 steps; gradient_evaluations says {said:g}")


@_rule("it returns the loss at the weights before the step")
def _(info: OptimizerInfo) -> None:
    model = network()
    inputs, targets = batch()
    before = functional.cross_entropy(model(inputs), targets).item()
    after = build(info.name, model.parameters(), lr=0.1).step(closure_of(model, inputs, targets))
    if after.item() != before:
        raise Broken(f"it returned {after.item():.6g}, the loss was {before:.6g}")


@_rule("it lowers the loss of a batch it is shown again and again")
def _(info: OptimizerInfo) -> None:
    model = network()
    closure = closure_of(model, *batch())
    radii: dict[str, Any] = {
        name: 0.05 for name in ("rho", "rho_max") if name in info.hyperparameters
    }
    optimizer = build(info.name, model.parameters(), lr=0.02, **radii)
    first = optimizer.step(closure).item()
    for _ in range(60):
        last = optimizer.step(closure).item()
    if not last < 0.5 * first:
        raise Broken(f"the loss went from {first:.4g} to {last:.4g} in 60 steps")


@_rule("two runs give the same bits")
def _(info: OptimizerInfo) -> None:
    first, second = network(), network()
    for model in (first, second):
        _steps(model, build(info.name, model.parameters(), lr=0.01), 0, 4)
    _same(flat(first), flat(second), "two runs from one seed")


@_rule("a resumed run gives the bits of an uninterrupted one")
def _(info: OptimizerInfo) -> None:
    whole, first, second = network(), network(), network(seed=9)
    _steps(whole, build(info.name, whole.parameters(), lr=0.01), 0, 6)
    interrupted = build(info.name, first.parameters(), lr=0.01)
    _steps(first, interrupted, 0, 3)
    saved = io.BytesIO()
    torch.save([first.state_dict(), interrupted.state_dict()], saved)
    saved.seek(0)
    model_state, optimizer_state = torch.load(saved, weights_only=True)
    second.load_state_dict(model_state)
    resumed = build(info.name, second.parameters(), lr=0.01)
    resumed.load_state_dict(optimizer_state)
    _steps(second, resumed, 3, 6)
    _same(flat(second), flat(whole), "resumed after three steps of six")


@_rule("parameter groups with equal settings change nothing")
def _(info: OptimizerInfo) -> None:
    together, apart = network(), network()
    parameters = list(apart.parameters())
    groups = [{"params": parameters[:2]}, {"params": parameters[2:]}]
    _steps(together, build(info.name, together.parameters(), lr=0.01), 0, 3)
    _steps(apart, build(info.name, groups, lr=0.01), 0, 3)
    _same(flat(apart), flat(together), "two groups against one", within=1e-12)


@_rule("frozen parameters stay")
def _(info: OptimizerInfo) -> None:
    model = network()
    frozen = next(model.parameters())
    frozen.requires_grad_(False)
    before = frozen.detach().clone()
    _steps(model, build(info.name, model.parameters(), lr=0.1), 0, 2)
    _same(frozen.detach(), before, "a parameter without requires_grad")


@_rule("a schedule acts on the real learning rate")
def _(info: OptimizerInfo) -> None:
    model = network()
    optimizer = build(info.name, model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.0)
    _steps(model, optimizer, 0, 1)
    scheduler.step()
    before = flat(model)
    _steps(model, optimizer, 1, 2)
    _same(flat(model), before, "a step at a learning rate of 0")


@_rule("weights are restored bit for bit after every pass")
def _(info: OptimizerInfo) -> None:
    model = network().float()
    inputs, targets = batch()
    before, addresses = flat(model), [p.data_ptr() for p in model.parameters()]
    optimizer = build(info.name, model.parameters(), lr=0.0)
    for _ in range(20):
        optimizer.step(closure_of(model, inputs.float(), targets))
    _same(flat(model), before, "20 steps at a learning rate of 0")
    if [p.data_ptr() for p in model.parameters()] != addresses:
        raise Broken("the weights lie in other memory than before")


@_rule("a pass that raises leaves the weights alone")
def _(info: OptimizerInfo) -> None:
    passes, calls = passes_of_a_step(info), 0
    model = network()
    before, closure = flat(model), closure_of(model, *batch())

    def failing() -> Tensor:
        nonlocal calls
        calls += 1
        if calls == passes:
            raise MemoryError
        return closure()

    try:
        build(info.name, model.parameters(), lr=0.1).step(failing)
    except MemoryError:
        _same(flat(model), before, "after a pass that raised")
    else:
        raise Broken("the exception of the last pass was swallowed")


@_rule("a step that is not finite can be skipped")
def _(info: OptimizerInfo) -> None:
    for poisoned in range(passes_of_a_step(info)):
        model = network()
        optimizer = build(info.name, model.parameters(), lr=0.1, skip_nonfinite=True)
        before, closure = flat(model), Counted(closure_of(model, *batch()))

        def infinite(
            model: nn.Module = model, closure: Counted = closure, poisoned: int = poisoned
        ) -> Tensor:
            loss = closure()
            if closure.calls == poisoned + 1:
                for parameter in model.parameters():
                    parameter.grad = torch.full_like(parameter, float("inf"))
            return loss

        optimizer.step(infinite)
        _same(flat(model), before, f"a step whose pass {poisoned + 1} has infinite gradients")


@_rule("batch statistics come from the clean pass alone")
def _(info: OptimizerInfo) -> None:
    norms = (
        nn.BatchNorm2d(3),
        nn.BatchNorm2d(3, momentum=None),
        nn.InstanceNorm2d(3, track_running_stats=True),
    )
    for norm in norms:
        layers = [nn.Conv2d(2, 3, 3), norm, nn.Flatten(), nn.Linear(48, 3), nn.LayerNorm(3)]
        model = nn.Sequential(*layers).double()
        reference = copy.deepcopy(model)
        inputs, targets = batch()
        build(info.name, model.parameters(), lr=0.1).step(closure_of(model, inputs, targets))
        reference(inputs)
        pairs = zip(model.named_buffers(), reference.named_buffers(), strict=True)
        for (name, found), (_, expected) in pairs:
            if not torch.equal(found, expected):
                raise Broken(f"{name} of {norm} is {found.tolist()}, not {expected.tolist()}")


@_rule("dropout masks can be replayed")
def _(info: OptimizerInfo) -> None:
    layers = [nn.Flatten(), nn.Dropout(0.5), nn.Linear(72, 3), nn.LayerNorm(3)]
    model = nn.Sequential(*layers).double()
    masks: list[Tensor] = []
    model[1].register_forward_hook(lambda module, inputs, output: masks.append(output == 0))
    optimizer = build(info.name, model.parameters(), lr=0.1, replay_randomness=True)
    _steps(model, optimizer, 0, 1)
    if not all(torch.equal(mask, masks[0]) for mask in masks):
        raise Broken("the passes of one step had different masks")
    optimizer.step(closure_of(model, *batch(0)))
    if torch.equal(masks[-1], masks[0]):
        raise Broken("two steps had the same masks")


@_rule("it works under autocast")
def _(info: OptimizerInfo) -> None:
    if passes_of_a_step(info) == 1:
        return
    model = network().float()
    inputs, targets = batch()
    losses: list[float] = []

    def closure() -> Tensor:
        loss = functional.cross_entropy(model(inputs.float()).float(), targets)
        loss.backward()
        losses.append(loss.item())
        return loss

    radii: dict[str, Any] = {
        name: 5.0 for name in info.hyperparameters if name in ("rho", "rho_max")
    }
    optimizer = build(info.name, model.parameters(), lr=0.1, **radii)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        optimizer.step(closure)
    if losses[0] == losses[1]:
        raise Broken("the second pass saw the unperturbed weights")


@_rule("hyperparameters refuse what lies outside their range")
def _(info: OptimizerInfo) -> None:
    for name, hyperparameter in info.hyperparameters.items():
        wrong: Any = "no such choice" if hyperparameter.choices else float("nan")
        try:
            build(info.name, network().parameters(), lr=0.1, **{name: wrong})
        except ConfigError:
            continue
        raise Broken(f"{name}={wrong!r} was accepted")
