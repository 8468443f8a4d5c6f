"""Our methods against those of two independent libraries, in float64, where the two should agree.

pytorch_optimizer sums its norms in float32: about 1e-8 of the perturbation's length. zij works in
float64 throughout; it asks for one release of torch, so it is installed without its dependencies or
not at all. Not comparable: LookSAM (both project tensor by tensor) and BSAM.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from sambench.optim import build
from sambench.optim.contract import batch, closure_of, flat, network

FLOAT32_NORM = 1e-7
FLOAT64_NORM = 1e-12
STEPS = 5

Step = Callable[[Tensor, Tensor], object]
Make = Callable[[nn.Module, type[torch.optim.Optimizer], dict[str, Any]], Step]

BASES: list[tuple[str, type[torch.optim.Optimizer], dict[str, Any]]] = [
    ("sgd", torch.optim.SGD, {"lr": 0.1}),
    ("sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("adam", torch.optim.Adam, {"lr": 0.01}),
]
EVERY_BASE = pytest.mark.parametrize(
    ("base", "base_class", "settings"), BASES, ids=["sgd", "momentum-and-decay", "adam"]
)


@dataclass(frozen=True)
class Case:
    """One of our methods and the class of a library that should do the same."""

    ours: str
    theirs: str
    own: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.ours, *(str(value) for value in self.own.values())])


def zeroing(model: nn.Module, inputs: Tensor, targets: Tensor) -> Callable[[], Tensor]:
    """A closure that clears gradients first: each library adds to what it finds somewhere."""
    closure = closure_of(model, inputs, targets)

    def cleared() -> Tensor:
        model.zero_grad()
        return closure()

    return cleared


def closure_once(model: nn.Module, optimizer: Any) -> Step:
    """The caller runs the clean pass and `step` the perturbed one."""

    def step(inputs: Tensor, targets: Tensor) -> None:
        closure = zeroing(model, inputs, targets)
        closure()
        optimizer.step(closure)

    return step


def closure_twice(model: nn.Module, optimizer: Any) -> Step:
    """`step` runs both passes."""
    return lambda inputs, targets: optimizer.step(zeroing(model, inputs, targets))


def closure_set(model: nn.Module, optimizer: Any) -> Step:
    """`step` makes its closure itself of a loss and a batch."""

    def step(inputs: Tensor, targets: Tensor) -> None:
        optimizer.set_closure(functional.cross_entropy, inputs, targets)
        optimizer.step()

    return step


class Constant:
    """A schedule of the radius that keeps it."""

    def __init__(self, value: float) -> None:
        self.value = value

    def step(self) -> float:
        return self.value


def pytorch_optimizer_step(case: Case) -> Make:
    """How to take steps with the class of pytorch_optimizer."""
    library = pytest.importorskip("pytorch_optimizer", reason="pytorch_optimizer is not installed")
    rival = getattr(library, case.theirs)

    def make(model: nn.Module, base: type[torch.optim.Optimizer], settings: dict[str, Any]) -> Step:
        parameters = list(model.parameters())
        if case.theirs == "GSAM":
            schedule = Constant(case.others["rho"])
            given = base(parameters, **settings)
            made = rival(parameters, given, model, schedule, alpha=case.others["alpha"])
            return closure_set(model, made)
        if case.theirs == "WSAM":
            return closure_twice(model, rival(model, parameters, base, **case.others, **settings))
        return closure_once(model, rival(parameters, base, **case.others, **settings))

    return make


def zij_step(case: Case) -> Make:
    """How to take steps with the class of zij."""
    reason = "zij is not installed: pip install --no-deps zij==0.1.1"
    library = pytest.importorskip("zij.contrib.sharpness_aware", reason=reason)
    rival = getattr(library, case.theirs)

    def make(model: nn.Module, base: type[torch.optim.Optimizer], settings: dict[str, Any]) -> Step:
        parameters = list(model.parameters())
        if case.theirs == "GSAM":
            return closure_set(
                model, rival(parameters, base(parameters, **settings), model, **case.others)
            )
        how = closure_twice if case.theirs == "WSAM" else closure_once
        return how(model, rival(parameters, base, **case.others, **settings))

    return make


def theirs(make: Make, base: type[torch.optim.Optimizer], settings: dict[str, Any]) -> Tensor:
    model = network()
    step = make(model, base, settings)
    for seed in range(STEPS):
        step(*batch(seed))
    return flat(model)


def ours(name: str, base: str, settings: dict[str, Any]) -> Tensor:
    model = network()
    optimizer = build(name, model.parameters(), base, **settings)
    for seed in range(STEPS):
        optimizer.step(closure_of(model, *batch(seed)))
    return flat(model)


ADAPTIVE = {"scope": "all", "eta": 0.0, "rho": 1.5}
WEIGHTED = {"rho": 0.2, "gamma": 0.6}
GAP = {"rho_max": 0.3, "rho_min": 0.3, "alpha": 0.4}
FRIENDLY = {"rho": 0.3, "sigma": 0.7, "decay": 0.6}

PYTORCH_OPTIMIZER = [
    Case("sam", "SAM", {"rho": 0.3}, {"rho": 0.3}),
    Case("asam", "SAM", ADAPTIVE, {"rho": 1.5, "adaptive": True}),
    Case("gcsam", "SAM", {"rho": 0.3, "norm": "raw"}, {"rho": 0.3, "use_gc": True}),
    Case("gsam", "GSAM", GAP, {"rho": 0.3, "alpha": 0.4}),
    Case("wsam", "WSAM", {**WEIGHTED, "decouple": True}, {**WEIGHTED, "decouple": True}),
    Case("wsam", "WSAM", {**WEIGHTED, "decouple": False}, {**WEIGHTED, "decouple": False}),
    Case("fsam", "FriendlySAM", FRIENDLY, {"rho": 0.3, "sigma": 0.7, "lmbda": 0.6}),
]
ZIJ = [
    Case("sam", "SAM", {"rho": 0.3}, {"rho": 0.3}),
    Case("asam", "ASAM", ADAPTIVE, {"rho": 1.5}),
    Case("gsam", "GSAM", GAP, {"rho": 0.3, "gsam_alpha": 0.4}),
    Case("wsam", "WSAM", {**WEIGHTED, "decouple": True}, {**WEIGHTED, "decouple": True}),
    Case("wsam", "WSAM", {**WEIGHTED, "decouple": False}, {**WEIGHTED, "decouple": False}),
]


@EVERY_BASE
@pytest.mark.parametrize("case", PYTORCH_OPTIMIZER, ids=str)
def test_it_agrees_with_pytorch_optimizer(
    case: Case, base: str, base_class: type[torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    expected = theirs(pytorch_optimizer_step(case), base_class, settings)
    found = ours(case.ours, base, {**settings, **case.own})
    torch.testing.assert_close(found, expected, rtol=0, atol=FLOAT32_NORM)


@EVERY_BASE
@pytest.mark.parametrize("case", ZIJ, ids=str)
def test_it_agrees_with_zij(
    case: Case, base: str, base_class: type[torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    expected = theirs(zij_step(case), base_class, settings)
    found = ours(case.ours, base, {**settings, **case.own})
    torch.testing.assert_close(found, expected, rtol=0, atol=FLOAT64_NORM)


@pytest.mark.parametrize(
    ("package", "module", "alpha", "tolerance"),
    [
        ("pytorch_optimizer", "pytorch_optimizer", "alpha", FLOAT32_NORM),
        ("zij", "zij.contrib.sharpness_aware", "gsam_alpha", FLOAT64_NORM),
    ],
    ids=["pytorch_optimizer", "zij"],
)
def test_the_radius_of_gsam_follows_the_learning_rate_as_theirs_does(
    package: str, module: str, alpha: str, tolerance: float
) -> None:
    library = pytest.importorskip(module, reason=f"{package} is not installed")
    model, reference = network(), network()
    optimizer = build(
        "gsam", model.parameters(), "sgd", lr=0.1, rho_max=0.5, rho_min=0.1, alpha=0.4, lr_min=0.01
    )
    schedule = CosineAnnealingLR(optimizer, T_max=STEPS, eta_min=0.01)
    base = torch.optim.SGD(reference.parameters(), lr=0.1)
    reference_schedule = CosineAnnealingLR(base, T_max=STEPS, eta_min=0.01)
    proportion = library.ProportionScheduler
    radius = proportion(reference_schedule, max_lr=0.1, min_lr=0.01, max_value=0.5, min_value=0.1)
    rival = library.GSAM(
        reference.parameters(), base, reference, rho_scheduler=radius, **{alpha: 0.4}
    )
    step = closure_set(reference, rival)
    for seed in range(STEPS):
        optimizer.step(closure_of(model, *batch(seed)))
        step(*batch(seed))
        schedule.step()
        reference_schedule.step()
        rival.update_rho_t()
    torch.testing.assert_close(flat(model), flat(reference), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("base", "settings"),
    [(base, settings) for base, _, settings in BASES[1:]],
    ids=["momentum-and-decay", "adam"],
)
def test_the_tolerances_tell_all_of_these_methods_apart(
    base: str, settings: dict[str, Any]
) -> None:
    """Without momentum both modes of WSAM would be the same."""
    ends = [ours(case.ours, base, {**settings, **case.own}) for case in PYTORCH_OPTIMIZER]
    ends.append(ours(base, base, settings))
    for one, other in itertools.combinations(ends, 2):
        assert (one - other).abs().max() > 1000 * FLOAT32_NORM
