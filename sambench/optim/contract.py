"""What every optimizer must do, whatever its mathematics: the contract that `check` runs.

A rule takes an entry of the registry and raises `Broken`, with what was seen, where it is not kept.
All are run in float64 on problems of a few hundred weights, so that "the same" can mean its bits.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from sambench.optim import build
from sambench.optim.method import ATTRIBUTES, OptimizerInfo
from sambench.optim.oracle import Closure


class Broken(Exception):
    """An optimizer does not keep a rule."""


class Rule(NamedTuple):
    """What an optimizer must do, in a line, and a check that raises `Broken` where it does not."""

    name: str
    check: Callable[[OptimizerInfo], None]


RULES: list[Rule] = []


def findings(info: OptimizerInfo) -> Iterator[tuple[Rule, str | None]]:
    """Check an optimizer; yield each rule with what is wrong, or None where it is kept."""
    for rule in RULES:
        try:
            rule.check(info)
        except Broken as broken:
            yield rule, str(broken)
        except Exception as error:  # of the optimizer's own
            yield rule, f"{type(error).__name__}: {error}"
        else:
            yield rule, None


def _rule(name: str) -> Callable[[Callable[[OptimizerInfo], None]], None]:
    return lambda check: RULES.append(Rule(name, check))


class _Trial:
    """A small network under an optimizer, perturbed by `radius` where it has one."""

    def __init__(
        self,
        info: OptimizerInfo,
        model: nn.Module | None = None,
        *,
        lr: float = 0.1,
        radius: float = 0.0,
        cut: int = 0,
        **settings: Any,
    ) -> None:
        self.model = network() if model is None else model
        own = {name for name in ("rho", "rho_max") if radius and name in info.hyperparameters}
        settings |= dict.fromkeys(own, radius)
        parameters = list(self.model.parameters())
        groups: Any = [{"params": part} for part in (parameters[:cut], parameters[cut:]) if part]
        self.optimizer = build(info.name, groups, lr=lr, **settings)
        self.optimizer.total_steps = 100.0  # as a run's loop tells them
        inputs, targets = batch()
        self.closure = Counted(closure_of(self.model, inputs.to(parameters[0].dtype), targets))

    def run(self, *steps: int) -> _Trial:
        """Take steps, each on the mini-batch of its number."""
        for step in steps:
            self.optimizer.step(closure_of(self.model, *batch(step)))
        return self

    def repeat(self, steps: int = 1) -> list[float]:
        """Take steps on one mini-batch; return their losses."""
        return [self.optimizer.step(self.closure).item() for _ in range(steps)]


def _passes(info: OptimizerInfo, steps: int = 1) -> int:
    trial = _Trial(info, lr=0.01)
    trial.repeat(steps)
    return len(trial.closure.losses)


def _same(found: Tensor, expected: Tensor, what: str, within: float = 0.0) -> None:
    if found.shape != expected.shape or not bool(torch.isfinite(found).all()):
        raise Broken(f"{what}: weights are missing or not finite")
    if (difference := float((found - expected).abs().max())) > within:
        raise Broken(f"{what}: weights differ by up to {difference:.3g}")


@_rule("it calls the closure as often as it says")
def _(info: OptimizerInfo) -> None:
    calls, said = _passes(info, steps=100), 100 * info.gradient_evaluations
    most = max(200, 2 * said)  # of a guess; else the last of its rounds may not be over
    if not (100 <= calls <= most if info.adaptive else abs(calls - said) < 0.99):
        raise Broken(f"{calls} passes in 100 steps; gradient_evaluations says {said:g}")


@_rule("it returns the loss at the weights before the step")
def _(info: OptimizerInfo) -> None:
    trial = _Trial(info)
    inputs, targets = batch()
    before = functional.cross_entropy(trial.model(inputs), targets).item()
    after = trial.repeat()[0]
    if after != before:
        raise Broken(f"it returned {after:.6g}, the loss was {before:.6g}")


@_rule("it lowers the loss of a batch it is shown again and again")
def _(info: OptimizerInfo) -> None:
    losses = _Trial(info, lr=0.02, radius=0.05).repeat(61)
    if not losses[-1] < 0.5 * losses[0]:
        raise Broken(f"the loss went from {losses[0]:.4g} to {losses[-1]:.4g} in 60 steps")


@_rule("two runs give the same bits")
def _(info: OptimizerInfo) -> None:
    first, second = (_Trial(info, lr=0.01).run(0, 1, 2, 3) for _ in range(2))
    _same(flat(first.model), flat(second.model), "two runs from one seed")


@_rule("a resumed run gives the bits of an uninterrupted one")
def _(info: OptimizerInfo) -> None:
    whole = _Trial(info, lr=0.01).run(0, 1, 2, 3, 4, 5)
    first = _Trial(info, lr=0.01)
    kept = vars(first.optimizer.method)
    before = {name: repr(value) for name, value in kept.items()}
    first.run(0, 1, 2)
    for name in sorted(kept.keys() - ATTRIBUTES):
        if before.get(name) != repr(kept[name]):
            raise Broken(f"{name} changes and is not saved: self.memory and self.counters are")
    saved = io.BytesIO()
    torch.save([first.model.state_dict(), first.optimizer.state_dict()], saved)
    saved.seek(0)
    second = _Trial(info, network(9), lr=0.01)
    model_state, optimizer_state = torch.load(saved, weights_only=True)
    second.model.load_state_dict(model_state)
    second.optimizer.load_state_dict(optimizer_state)
    second.run(3, 4, 5)
    _same(flat(second.model), flat(whole.model), "resumed after three steps of six")


@_rule("parameter groups with equal settings change nothing")
def _(info: OptimizerInfo) -> None:
    together, apart = (_Trial(info, lr=0.01, cut=cut).run(0, 1, 2) for cut in (0, 2))
    _same(flat(apart.model), flat(together.model), "two groups against one", within=1e-12)


@_rule("frozen parameters stay")
def _(info: OptimizerInfo) -> None:
    model = network()
    frozen = next(model.parameters()).requires_grad_(False)
    before = frozen.clone()
    _Trial(info, model).run(0, 1)
    _same(frozen, before, "a parameter without requires_grad")


@_rule("a schedule acts on the real learning rate")
def _(info: OptimizerInfo) -> None:
    trial = _Trial(info)
    scheduler = torch.optim.lr_scheduler.StepLR(trial.optimizer, step_size=1, gamma=0.0)
    trial.run(0)
    scheduler.step()
    before = flat(trial.model)
    _same(flat(trial.run(1).model), before, "a step at a learning rate of 0")


@_rule("weights are restored bit for bit after every pass")
def _(info: OptimizerInfo) -> None:
    trial = _Trial(info, network().float(), lr=0.0)
    before, addresses = flat(trial.model), [p.data_ptr() for p in trial.model.parameters()]
    trial.repeat(20)
    _same(flat(trial.model), before, "20 steps at a learning rate of 0")
    if [p.data_ptr() for p in trial.model.parameters()] != addresses:
        raise Broken("the weights lie in other memory than before")


@_rule("a pass that raises leaves the weights alone")
def _(info: OptimizerInfo) -> None:
    def fail() -> None:
        raise MemoryError

    trial = _Trial(info)
    before, trial.closure.after[_passes(info)] = flat(trial.model), fail
    try:
        trial.repeat()
    except MemoryError:
        _same(flat(trial.model), before, "after a pass that raised")
    else:
        raise Broken("the exception of the last pass was swallowed")


@_rule("a step that is not finite can be skipped")
def _(info: OptimizerInfo) -> None:
    whole = _Trial(info)
    whole.repeat()
    unharmed = flat(whole.model)
    for poisoned in range(1, len(whole.closure.losses) + 1):
        trial = _Trial(info, skip_nonfinite=True)

        def poison(model: nn.Module = trial.model) -> None:
            for parameter in model.parameters():
                parameter.grad = torch.full_like(parameter, float("inf"))

        before, trial.closure.after[poisoned] = flat(trial.model), poison
        trial.repeat()
        if not torch.equal(flat(trial.model), unharmed):  # else its gradient is not used
            _same(flat(trial.model), before, f"a step whose pass {poisoned} has infinite gradients")


@_rule("batch statistics come from the clean pass alone")
def _(info: OptimizerInfo) -> None:
    instance = nn.InstanceNorm2d(3, track_running_stats=True)
    for norm in (nn.BatchNorm2d(3), nn.BatchNorm2d(3, momentum=None), instance):
        layers = [nn.Conv2d(2, 3, 3), norm, nn.Flatten(), nn.Linear(48, 3), nn.LayerNorm(3)]
        model = nn.Sequential(*layers).double()
        reference = copy.deepcopy(model)
        _Trial(info, model).run(1)
        reference(batch(1)[0])
        for name, expected in reference.named_buffers():
            if not torch.equal(found := model.get_buffer(name), expected):
                raise Broken(f"{name} of {norm} is {found.tolist()}, not {expected.tolist()}")


@_rule("dropout masks can be replayed")
def _(info: OptimizerInfo) -> None:
    layers = [nn.Flatten(), nn.Dropout(0.5), nn.Linear(72, 3), nn.LayerNorm(3)]
    model = nn.Sequential(*layers).double()
    masks: list[Tensor] = []
    model[1].register_forward_hook(lambda module, inputs, output: masks.append(output == 0))
    trial = _Trial(info, model, replay_randomness=True).run(0)
    if not all(torch.equal(mask, masks[0]) for mask in masks):
        raise Broken("the passes of one step had different masks")
    trial.run(0)
    if torch.equal(masks[-1], masks[0]):
        raise Broken("two steps had the same masks")


@_rule("it works under autocast")
def _(info: OptimizerInfo) -> None:
    trial = _Trial(info, network().float(), radius=5.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trial.repeat()
    losses = trial.closure.losses
    if len(losses) > 1 and len({*losses}) == 1:
        raise Broken("every pass saw the unperturbed weights")


def network(seed: int = 0) -> nn.Sequential:
    """A convolution, two linear layers and a layer norm: tensors of one to four dimensions."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 5), nn.LayerNorm(5)]
    return nn.Sequential(*layers, nn.Tanh(), nn.Linear(5, 3)).double()


def batch(seed: int = 1) -> tuple[Tensor, Tensor]:
    """Eight images of 6x6 with labels."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(8, 2, 6, 6, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(0, 3, (8,), generator=generator)


def closure_of(model: nn.Module, inputs: Tensor, targets: Tensor) -> Closure:
    """Forward and backward on one batch."""

    def closure() -> Tensor:
        loss = functional.cross_entropy(model(inputs), targets)
        loss.backward()
        return loss

    return closure


class Counted:
    """A closure that keeps the loss of each call; `after` some of them it does something."""

    def __init__(self, closure: Closure) -> None:
        self.closure = closure
        self.losses: list[float] = []
        self.after: dict[int, Callable[[], None]] = {}

    def __call__(self) -> Tensor:
        """Run, count, and act."""
        loss = self.closure()
        self.losses.append(loss.item())
        self.after.get(len(self.losses), lambda: None)()
        return loss


def flat(model: nn.Module) -> Tensor:
    """All weights in one tensor."""
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])
