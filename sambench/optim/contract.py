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
from sambench.optim import build
from sambench.optim.method import OptimizerInfo
from sambench.optim.problems import Counted, batch, closure_of, flat, network
from sambench.optim.sharpness_aware import SharpnessAware


class Broken(Exception):
    """An optimizer does not keep a rule."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What an optimizer must do, in a line, and a check that raises `Broken` where it does not."""

    name: str
    check: Callable[[OptimizerInfo], None]


RULES: list[Rule] = []


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


def _rule(name: str) -> Callable[[Callable[[OptimizerInfo], None]], None]:
    return lambda check: RULES.append(Rule(name=name, check=check))


def _start(
    info: OptimizerInfo, seed: int = 0, *, lr: float = 0.1, radius: float = 0.0, **settings: Any
) -> tuple[nn.Sequential, SharpnessAware]:
    """Return a network and its optimizer, with a radius of its own where it has one."""
    model = network(seed)
    own = {name for name in ("rho", "rho_max") if radius and name in info.hyperparameters}
    settings |= dict.fromkeys(own, radius)
    return model, build(info.name, model.parameters(), lr=lr, **settings)


def _steps(model: nn.Module, optimizer: SharpnessAware, first: int, last: int) -> None:
    for step in range(first, last):
        optimizer.step(closure_of(model, *batch(step)))


def _passes(info: OptimizerInfo, steps: int = 1) -> int:
    model, optimizer = _start(info, lr=0.01)
    closure = Counted(closure_of(model, *batch()))
    for _ in range(steps):
        optimizer.step(closure)
    return closure.calls


def _same(found: Tensor, expected: Tensor, what: str, within: float = 0.0) -> None:
    if found.shape != expected.shape or not bool(torch.isfinite(found).all()):
        raise Broken(f"{what}: weights are missing or not finite")
    difference = float((found - expected).abs().max())
    if difference > within:
        raise Broken(f"{what}: weights differ by up to {difference:.3g}")


@_rule("it calls the closure as often as it says")
def _(info: OptimizerInfo) -> None:
    calls, said = _passes(info, steps=20), 20 * info.gradient_evaluations
    if not (20 <= calls <= 40 if info.adaptive else abs(calls - said) < 1e-9):
        raise Broken(f"{calls} passes in 20 steps; gradient_evaluations says {said:g}")


@_rule("it returns the loss at the weights before the step")
def _(info: OptimizerInfo) -> None:
    model, optimizer = _start(info)
    inputs, targets = batch()
    before = functional.cross_entropy(model(inputs), targets).item()
    after = optimizer.step(closure_of(model, inputs, targets))
    if after.item() != before:
        raise Broken(f"it returned {after.item():.6g}, the loss was {before:.6g}")


@_rule("it lowers the loss of a batch it is shown again and again")
def _(info: OptimizerInfo) -> None:
    model, optimizer = _start(info, lr=0.02, radius=0.05)
    closure = closure_of(model, *batch())
    losses = [optimizer.step(closure).item() for _ in range(61)]
    if not losses[-1] < 0.5 * losses[0]:
        raise Broken(f"the loss went from {losses[0]:.4g} to {losses[-1]:.4g} in 60 steps")


@_rule("two runs give the same bits")
def _(info: OptimizerInfo) -> None:
    first, second = _start(info, lr=0.01), _start(info, lr=0.01)
    for run in (first, second):
        _steps(*run, 0, 4)
    _same(flat(first[0]), flat(second[0]), "two runs from one seed")


@_rule("a resumed run gives the bits of an uninterrupted one")
def _(info: OptimizerInfo) -> None:
    whole, uninterrupted = _start(info, lr=0.01)
    _steps(whole, uninterrupted, 0, 6)
    first, interrupted = _start(info, lr=0.01)
    _steps(first, interrupted, 0, 3)
    saved = io.BytesIO()
    torch.save([first.state_dict(), interrupted.state_dict()], saved)
    saved.seek(0)
    second, resumed = _start(info, seed=9, lr=0.01)
    model_state, optimizer_state = torch.load(saved, weights_only=True)
    second.load_state_dict(model_state)
    resumed.load_state_dict(optimizer_state)
    _steps(second, resumed, 3, 6)
    _same(flat(second), flat(whole), "resumed after three steps of six")


@_rule("parameter groups with equal settings change nothing")
def _(info: OptimizerInfo) -> None:
    together, optimizer = _start(info, lr=0.01)
    _steps(together, optimizer, 0, 3)
    apart = network()
    parameters = list(apart.parameters())
    groups = [{"params": parameters[:2]}, {"params": parameters[2:]}]
    _steps(apart, build(info.name, groups, lr=0.01), 0, 3)
    _same(flat(apart), flat(together), "two groups against one", within=1e-12)


@_rule("frozen parameters stay")
def _(info: OptimizerInfo) -> None:
    model = network()
    frozen = next(model.parameters()).requires_grad_(False)
    before = frozen.clone()
    _steps(model, build(info.name, model.parameters(), lr=0.1), 0, 2)
    _same(frozen, before, "a parameter without requires_grad")


@_rule("a schedule acts on the real learning rate")
def _(info: OptimizerInfo) -> None:
    model, optimizer = _start(info)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.0)
    _steps(model, optimizer, 0, 1)
    scheduler.step()
    before = flat(model)
    _steps(model, optimizer, 1, 2)
    _same(flat(model), before, "a step at a learning rate of 0")


@_rule("weights are restored bit for bit after every pass")
def _(info: OptimizerInfo) -> None:
    model, optimizer = _start(info, lr=0.0)
    model.float()
    inputs, targets = batch()
    before, addresses = flat(model), [p.data_ptr() for p in model.parameters()]
    for _ in range(20):
        optimizer.step(closure_of(model, inputs.float(), targets))
    _same(flat(model), before, "20 steps at a learning rate of 0")
    if [p.data_ptr() for p in model.parameters()] != addresses:
        raise Broken("the weights lie in other memory than before")


@_rule("a pass that raises leaves the weights alone")
def _(info: OptimizerInfo) -> None:
    passes = _passes(info)
    model, optimizer = _start(info)
    before, closure = flat(model), Counted(closure_of(model, *batch()))

    def failing() -> Tensor:
        if closure.calls + 1 == passes:
            raise MemoryError
        return closure()

    try:
        optimizer.step(failing)
    except MemoryError:
        _same(flat(model), before, "after a pass that raised")
    else:
        raise Broken("the exception of the last pass was swallowed")


@_rule("a step that is not finite can be skipped")
def _(info: OptimizerInfo) -> None:
    for poisoned in range(1, _passes(info) + 1):
        model, optimizer = _start(info, skip_nonfinite=True)
        before, closure = flat(model), Counted(closure_of(model, *batch()))

        def infinite(
            model: nn.Module = model, closure: Counted = closure, poisoned: int = poisoned
        ) -> Tensor:
            loss = closure()
            if closure.calls == poisoned:
                for parameter in model.parameters():
                    parameter.grad = torch.full_like(parameter, float("inf"))
            return loss

        optimizer.step(infinite)
        _same(flat(model), before, f"a step whose pass {poisoned} has infinite gradients")


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
    if _passes(info) == 1:
        return
    model, optimizer = _start(info, radius=5.0)
    model.float()
    inputs, targets = batch()
    losses: list[float] = []

    def closure() -> Tensor:
        loss = functional.cross_entropy(model(inputs.float()).float(), targets)
        loss.backward()
        losses.append(loss.item())
        return loss

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
