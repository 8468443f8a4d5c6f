"""The contract finds the optimizers that break it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from sambench.optim.contract import findings
from sambench.optim.hyperparameter import EPSILON, Hyperparameter
from sambench.optim.method import Method, OptimizerInfo


def info(method: type[Method], passes: float = 2) -> OptimizerInfo:
    return OptimizerInfo(
        name="under-test", method=method, gradient_evaluations=passes, extra_memory=1, reference=""
    )


class Faithful(Method):
    """SAM."""

    rho = Hyperparameter(0.05, help="radius")

    def direction(self, gradient: Any) -> Any:
        g = gradient()
        return gradient(at=g, by=self.rho / (g.norm() + EPSILON))


class Forgetful(Faithful):
    """It keeps a running mean where `state_dict` does not see it."""

    def __init__(self, optimizer: Any) -> None:
        super().__init__(optimizer)
        self.mean: Any = None

    def direction(self, gradient: Any) -> Any:
        g = gradient()
        self.mean = g.clone() if self.mean is None else self.mean.toward_(g, 0.5)
        return gradient(at=self.mean * (self.rho / (self.mean.norm() + EPSILON)))


class Late(Faithful):
    """It counts its steps in itself, which makes no difference in the first of them."""

    steps = 0

    def direction(self, gradient: Any) -> Any:
        self.steps += 1
        g_a = super().direction(gradient)
        return g_a if self.steps < 50 else g_a.mul_(2.0)


class Drifting(Faithful):
    """It moves the weights itself and back by subtraction."""

    def direction(self, gradient: Any) -> Any:
        g = gradient()
        e = g.mul_(self.rho / (g.norm() + EPSILON))
        gradient.weights.add_(e)
        g_a = gradient()
        gradient.weights.add_(e, -1.0)
        return g_a


class Climbing(Faithful):
    """It goes uphill."""

    def direction(self, gradient: Any) -> Any:
        return super().direction(gradient).mul_(-1.0)


class Random(Faithful):
    """It draws from a generator that goes on from run to run."""

    numbers = itertools.count()

    def direction(self, gradient: Any) -> Any:
        g_a = super().direction(gradient)
        noise = torch.rand((), generator=torch.Generator().manual_seed(next(self.numbers)))
        return g_a.mul_(1.0 + noise)


class Undefined(Faithful):
    """Its direction is no number."""

    def direction(self, gradient: Any) -> Any:
        return super().direction(gradient).mul_(float("nan"))


class PerGroup(Faithful):
    """It takes a norm of its own for each parameter group."""

    def direction(self, gradient: Any) -> Any:
        g = gradient()
        groups, start = self.optimizer.param_groups, 0
        for group in groups:
            end = start + len(group["params"])
            part = g.part([start <= place < end for place in range(len(g))])
            part.mul_(self.rho / (part.norm() + EPSILON))
            start = end
        return gradient(at=g)


class Third(Faithful):
    """It is SAM in each third step, of which there are 34 in a hundred."""

    def direction(self, gradient: Any) -> Any:
        return gradient() if self.next_step() % 3 else super().direction(gradient)


class Seeking(Faithful):
    """It looks on where the loss has risen."""

    def direction(self, gradient: Any) -> Any:
        g = super().direction(gradient)
        if gradient.losses[1] > gradient.losses[0]:
            g = gradient(at=g, by=self.rho / (g.norm() + EPSILON))
        return g


class Annealed(Faithful):
    """Its radius falls over the steps that the run's loop tells."""

    def direction(self, gradient: Any) -> Any:
        left = 1.0 - self.next_step() / self.optimizer.total_steps  # type: ignore[operator]
        g = gradient()
        return gradient(at=g, by=left * self.rho / (g.norm() + EPSILON))


class Ahead(Faithful):
    """Its first pass is elsewhere, so its loss is another point's."""

    def direction(self, gradient: Any) -> Any:
        return gradient(at=gradient(at=gradient.weights, by=0.1, keep=True), by=self.rho)


class Decaying(Faithful):
    """It shrinks all weights itself, whatever the learning rate, the frozen ones too."""

    def direction(self, gradient: Any) -> Any:
        g = super().direction(gradient)
        for group in self.optimizer.param_groups:
            torch._foreach_mul_(group["params"], 0.999)
        return g


class Swapping(Faithful):
    """It gives the weights other memory."""

    def direction(self, gradient: Any) -> Any:
        for parameter in gradient.parameters:
            parameter.data = parameter.data.clone()
        return super().direction(gradient)


class Swallowing(Faithful):
    """It goes on with the clean gradient where the perturbed pass fails."""

    def direction(self, gradient: Any) -> Any:
        g = gradient()
        try:
            return gradient(at=g, by=self.rho / (g.norm() + EPSILON), keep=True)
        except MemoryError:
            return g


class Clamping(Faithful):
    """It makes numbers of what is not finite."""

    def direction(self, gradient: Any) -> Any:
        g = super().direction(gradient)
        for tensor in g.tensors:
            torch.nan_to_num_(tensor, posinf=1.0)
        return g


class Direct(Faithful):
    """It calls the closure itself."""

    def direction(self, gradient: Any) -> Any:
        g = super().direction(gradient)
        with torch.enable_grad():
            gradient.closure()
        return g


class Seeded(Faithful):
    """It seeds torch's generator, in each step alike."""

    def direction(self, gradient: Any) -> Any:
        torch.manual_seed(0)
        return super().direction(gradient)


class Unmoved(Faithful):
    """Both of its passes are at the weights themselves."""

    def direction(self, gradient: Any) -> Any:
        gradient()
        return gradient()


class Returning(Faithful):
    """The last of its passes is at the weights themselves."""

    def direction(self, gradient: Any) -> Any:
        g_a = super().direction(gradient).clone()
        return g_a.toward_(gradient(), 0.1)


class Shadowing(Faithful):
    """It has a radius of its own, whatever a run sets."""

    def __init__(self, optimizer: Any) -> None:
        super().__init__(optimizer)
        self.rho = 0.5  # type: ignore[assignment]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Names of the rules that a method breaks."""
    from sambench.optim.method import optimizers

    def of(method: type[Method], passes: float = 2, adaptive: bool = False) -> set[str]:
        entry = replace(info(method, passes), adaptive=adaptive)
        optimizers.list()
        monkeypatch.setitem(optimizers._entries, "under-test", entry)
        return {rule.name for rule, wrong in findings(entry) if wrong is not None}

    return of


def test_a_faithful_method_keeps_all(broken: Any) -> None:
    assert broken(Faithful) == set()


@pytest.mark.parametrize(
    ("method", "passes", "adaptive"),
    [(Third, 4 / 3, False), (Seeking, 2.5, True), (Annealed, 2, False), (Returning, 3, False)],
)
def test_what_a_method_may_do_is_no_breach(
    broken: Any, method: type[Method], passes: float, adaptive: bool
) -> None:
    assert broken(method, passes, adaptive) == set()


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        (Forgetful, "a resumed run gives the bits of an uninterrupted one"),
        (Late, "a resumed run gives the bits of an uninterrupted one"),
        (Drifting, "weights are restored bit for bit after every pass"),
        (Drifting, "a pass that raises leaves the weights alone"),
        (Climbing, "it lowers the loss of a batch it is shown again and again"),
        (Random, "two runs give the same bits"),
        (Random, "a resumed run gives the bits of an uninterrupted one"),
        (Undefined, "two runs give the same bits"),
        (PerGroup, "parameter groups with equal settings change nothing"),
        (Ahead, "it returns the loss at the weights before the step"),
        (Decaying, "frozen parameters stay"),
        (Decaying, "a schedule acts on the real learning rate"),
        (Swapping, "weights are restored bit for bit after every pass"),
        (Swallowing, "a pass that raises leaves the weights alone"),
        (Clamping, "a step that is not finite can be skipped"),
        (Direct, "batch statistics come from the clean pass alone"),
        (Direct, "dropout masks can be replayed"),
        (Seeded, "dropout masks can be replayed"),
        (Unmoved, "it works under autocast"),
        (Shadowing, "it lowers the loss of a batch it is shown again and again"),
    ],
)
def test_a_breach_is_found(broken: Any, method: type[Method], rule: str) -> None:
    assert rule in broken(method)


def test_passes_are_counted(broken: Any) -> None:
    rule = "it calls the closure as often as it says"
    assert rule in broken(Faithful, passes=3)
    assert rule in broken(Faithful, passes=2.01)
    assert rule in broken(Third, passes=1.35)
    assert rule in broken(Seeking, passes=1.4, adaptive=True)


def test_an_exception_is_a_finding(broken: Any) -> None:
    class Raising(Faithful):
        """It raises."""

        def direction(self, gradient: Any) -> Any:
            raise KeyError("e_w")

    assert len(broken(Raising)) > 5
