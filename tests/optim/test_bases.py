"""Which base optimizers, settings and parameters are accepted, and what is said of the others."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sambench.optim
from sambench.errors import ConfigError
from sambench.optim import SAM, AdamW, build
from sambench.optim.contract import batch, closure_of, flat, network
from sambench.optim.method import optimizers
from tests.optim.references import Quadratic

ADAM = torch.optim.Adam


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_a_class_that_is_its_own_base_runs_on_that(name: str) -> None:
    ours, theirs = network(), network()
    optimizer = getattr(sambench.optim, name)(ours.parameters(), lr=0.1)
    reference = getattr(torch.optim, name)(theirs.parameters(), lr=0.1)
    assert type(optimizer.base) is type(reference)
    for step in range(3):
        optimizer.step(closure_of(ours, *batch(step)))
        reference.zero_grad()
        reference.step(closure_of(theirs, *batch(step)))
    assert torch.equal(flat(ours), flat(theirs))


class Bare(torch.optim.SGD):
    """An optimizer whose step takes no closure."""

    def step(self) -> None:  # type: ignore[override]
        super().step()


def test_a_base_whose_step_takes_no_closure() -> None:
    plain, bare = network(), network()
    for model, base in ((plain, torch.optim.SGD), (bare, Bare)):
        SAM(model.parameters(), base, lr=0.1).step(closure_of(model, *batch()))
    assert torch.equal(flat(plain), flat(bare))


@pytest.mark.parametrize("name", ["foreach", "differentiable"])
def test_settings_that_exclude_a_fused_base(name: str) -> None:
    optimizer = build("sam", network().parameters(), lr=0.1, **{name: True})
    assert not optimizer.param_groups[0]["fused"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another base": (
        {"name": "sgd", "base": "adam"},
        "sgd is its own base optimizer; it cannot run on 'adam'",
    ),
    "another class": (
        {"name": "adam", "base": torch.optim.AdamW},
        "adam is its own base optimizer; it cannot run on 'adamw'",
    ),
    "no optimizer": ({"base": nn.Linear}, "is not a torch.optim.Optimizer"),
    "close name": ({"rh": 0.1}, "sam on adam has no hyperparameter 'rh': did you mean 'rho'"),
    "range": ({"lr": -1.0}, "adam lr=-1.0 is not allowed; allowed: >= 0"),
    "no number": ({"rho": math.nan}, "sam rho=nan is not allowed; allowed: >= 0"),
    "type": ({"betas": 0.9}, "adam betas=0.9 is not allowed; expected like [0.9,0.999]"),
    "number": ({"betas": (0.9,)}, "adam betas=(0.9,) is not allowed; expected like [0.9,0.999]"),
    "betas": ({"betas": (0.9, 5)}, "adam betas=5 is not allowed; allowed: [0, 1)"),
    "what torch refuses": (
        {"base": "sgd", "nesterov": True},
        "base sgd: Nesterov momentum requires a momentum and zero dampening",
    ),
    "what a dotted base refuses": (
        {"base": "torch.optim.Rprop", "etas": (2.0, 3.0)},
        "base torch.optim.Rprop: Invalid eta values: 2.0, 3.0",
    ),
    "max_norm": ({"max_norm": -1.0}, "sam max_norm=-1.0 is not allowed; allowed: >= 0"),
    "loss_decay": ({"loss_decay": -0.1}, "sam loss_decay=-0.1 is not allowed; allowed: >= 0"),
    "maximize": ({"maximize": True}, "maximize=True is not supported"),
    "base_optimizer": ({"base_optimizer": ADAM}, "the base optimizer is `base=`"),
    "adaptive": ({"adaptive": True}, "is another optimizer here: ASAM(..., scope='all')"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_refused_in_one_line(given: dict[str, Any], message: str) -> None:
    settings = {"name": "sam", "lr": 0.1, **given}
    with pytest.raises(ConfigError) as refusal:
        build(settings.pop("name"), network().parameters(), **settings)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_base_that_was_made_already() -> None:
    model = network()
    with pytest.raises(ConfigError, match="base is a Adam that was made already; give its class"):
        SAM(model.parameters(), ADAM(model.parameters()))  # type: ignore[arg-type]


def test_a_parameter_in_place_of_parameters() -> None:
    with pytest.raises(TypeError, match="params argument given to the optimizer should be an iter"):
        SAM(nn.Parameter(torch.ones(2)))  # type: ignore[arg-type]


def test_complex_parameters() -> None:
    with pytest.raises(ConfigError, match="complex parameters are not supported; use torch"):
        build("sam", [nn.Parameter(torch.ones(2, dtype=torch.complex64))], lr=0.1)


@pytest.mark.parametrize("method", ["first_step", "second_step"])
def test_the_two_calls_of_other_libraries_name_the_loop_here(method: str) -> None:
    optimizer = build("sam", network().parameters(), lr=0.1)
    assert not hasattr(optimizer, method)
    with pytest.raises(AttributeError, match=r"for _ in optimizer.passes\(\)"):
        getattr(optimizer, method)


def test_its_text_names_its_base() -> None:
    text = repr(AdamW(network().parameters(), lr=0.1))
    assert text.startswith("AdamW on AdamW (\nParameter Group 0\n")
    assert "weight_decay: 0.01" in text


@pytest.mark.parametrize("how", ["first", "later", "between steps"])
def test_a_radius_below_zero_in_a_group(how: str) -> None:
    model = network()
    parameters = list(model.parameters())
    wrong: dict[str, Any] = {"params": parameters[1:], "rho": -1.0}
    with pytest.raises(ConfigError, match=r"sam rho=-1\.0 is not allowed; allowed: >= 0"):
        if how == "first":
            build("sam", [{"params": parameters[:1]}, wrong], lr=0.1)
        optimizer = build("sam", parameters[:1], lr=0.1)
        if how == "later":
            optimizer.add_param_group(wrong)
        optimizer.param_groups[0]["rho"] = -1.0
        optimizer.step(closure_of(model, *batch()))


@pytest.mark.parametrize("off", [0.0, None])
def test_a_norm_of_zero_clips_nothing(off: float | None) -> None:
    plain, model = network(), network()
    build("sam", plain.parameters(), lr=0.1).step(closure_of(plain, *batch()))
    build("sam", model.parameters(), lr=0.1, max_norm=off).step(closure_of(model, *batch()))
    assert torch.equal(flat(model), flat(plain))


@pytest.mark.parametrize("scale", [1e19, 1e22, 1e25])
@pytest.mark.parametrize("name", ["sam", "gsam", "looksam", "stablesam", "wsam", "fsam"])
def test_gradients_whose_square_overflows_float32_perturb_as_others_do(
    name: str, scale: float
) -> None:
    """e does not depend on the scale of the loss; in float64 nothing overflows."""
    radius = {"rho_max": 0.3, "alpha": 0.5} if name == "gsam" else {"rho": 0.3}
    directions = {}
    for dtype in (torch.float32, torch.float64):
        hessian = torch.tensor([[3.0, 0.5], [0.5, 1.0]], dtype=dtype) * scale
        problem = Quadratic(hessian, torch.tensor([1.0, -2.0], dtype=dtype))
        points: list[Tensor] = []

        def closure(problem: Quadratic = problem, points: list[Tensor] = points) -> Tensor:
            points.append(problem.weight.detach().double())
            return problem.closure()

        optimizer = build(name, problem.parameters(), "sgd", lr=0.0, **radius)
        for _ in range(2):
            optimizer.step(closure)
        assert problem.weight.grad is not None
        assert (points[1] - points[0]).norm().item() == pytest.approx(0.3, rel=1e-6)
        directions[dtype] = problem.weight.grad.double() / scale
    found, wanted = directions[torch.float32], directions[torch.float64]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["wsam", "gsam", "looksam"])
def test_persistent_gradient_buffers_are_copied(name: str) -> None:
    """A closure that writes its gradients to memory of its own, as captured graphs do."""
    plain, buffered = network(), network()
    radius = {"rho_max": 0.5, "alpha": 0.5} if name == "gsam" else {"rho": 0.5}
    buffers = [torch.zeros_like(parameter) for parameter in buffered.parameters()]
    reference = build(name, plain.parameters(), "sgd", lr=0.1, **radius)
    optimizer = build(name, buffered.parameters(), "sgd", lr=0.1, **radius)
    for step in range(3):
        inner = closure_of(buffered, *batch(step))

        def closure(inner: Any = inner) -> Tensor:
            loss: Tensor = inner()
            for parameter, buffer in zip(buffered.parameters(), buffers, strict=True):
                assert parameter.grad is not None
                parameter.grad = buffer.copy_(parameter.grad)
            return loss

        reference.step(closure_of(plain, *batch(step)))
        optimizer.step(closure)
    assert torch.equal(flat(buffered), flat(plain))


def test_a_default_depends_on_the_base_it_is_known_to_work_on() -> None:
    """MSAM's authors use 3 on SGD and AdamW; on Adam that makes a constant predictor."""
    found = {}
    for base in ("adam", "adamw", "sgd"):
        momentum = {"momentum": 0.9} if base == "sgd" else {}
        optimizer = build("msam", network().parameters(), base, lr=0.1, **momentum)
        found[base] = optimizer.param_groups[0]["rho"]
        assert optimizers.get("msam").resolve(base, momentum)["rho"] == found[base]
    assert found == {"adam": 0.03, "adamw": 3.0, "sgd": 3.0}


def test_where_defaults_are_from_is_said_and_where_the_authors_name_none() -> None:
    note = {name: optimizers.get(name).default_note for name in ("adam", "sam", "gcsam", "msam")}
    assert note["adam"]() == ""
    assert note["sam"]() == (
        "the authors named no values for Adam: they used these on SGD "
        "(github.com/google-research/sam)"
    )
    assert note["sam"]("sgd").startswith("as the authors used them on SGD (")
    assert note["sam"]("torch.optim.RMSprop").startswith(
        "the authors named no values for torch.optim.RMSprop: "
    )
    assert note["gcsam"]().startswith("as the authors used them on Adam (")
    assert note["msam"]().startswith(
        "the authors named no values for Adam: they used other values on SGD ("
    )
    assert optimizers.get("usam").default_note() == "no values of the authors were found"
