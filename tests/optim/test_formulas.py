"""Every further method against its formula, with gradients by torch.func at explicit points.

Each test follows one or more steps of plain gradient descent with learning rate 1 in float64 and
compares the directions; 1e-10 leaves room for a different order of summation and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sambench.errors import ConfigError
from sambench.optim import build
from sambench.optim.contract import batch, closure_of, flat, network
from sambench.optim.method import optimizers
from tests.optim.references import Quadratic, gradient_at

RHO = 0.3
Gradient = Callable[[Tensor], Tensor]


def directions(name: str, steps: int = 1, base: str = "sgd", **settings: Any) -> list[Tensor]:
    """What the weights lose in each step."""
    model = network()
    optimizer = build(name, model.parameters(), base, lr=1.0, **settings)
    lost = []
    for step in range(steps):
        before = flat(model)
        optimizer.step(closure_of(model, *batch(step)))
        lost.append(before - flat(model))
    return lost


def expected(rule: Callable[[Tensor, Gradient], Tensor], steps: int = 1) -> list[Tensor]:
    """What a rule of weights and gradient says, along its own trajectory."""
    model = network()
    weights, lost = flat(model), []
    for step in range(steps):

        def gradient(at: Tensor, step: int = step) -> Tensor:
            return gradient_at(model, at, *batch(step))

        direction = rule(weights, gradient)
        lost.append(direction)
        weights = weights - direction
    return lost


def agree(found: list[Tensor], wanted: list[Tensor]) -> None:
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def mask(choose: Callable[[nn.Module, str], bool]) -> Tensor:
    """Ones where the choice of (module, own attribute name) holds."""
    return torch.cat(
        [
            torch.full((parameter.numel(),), float(choose(module, name)))
            for module in network()
            for name, parameter in module.named_parameters(recurse=False)
        ]
    ).double()


@pytest.mark.parametrize("scope", ["weights", "all"])
@pytest.mark.parametrize("eta", [0.0, 0.01])
def test_asam(scope: str, eta: float) -> None:
    weight = mask(lambda module, name: scope == "all" or name == "weight")

    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        scale = torch.where(weight == 1, w.abs() + eta, torch.ones_like(w))
        g = gradient(w)
        return gradient(w + RHO * scale**2 * g / (scale * g).norm())

    agree(directions("asam", 3, rho=RHO, eta=eta, scope=scope), expected(rule, 3))


def test_asam_takes_the_radius_of_its_scope() -> None:
    parameters = list(network().parameters())
    found = [build("asam", parameters, scope=scope).param_groups[0] for scope in ("weights", "all")]
    assert [(group["rho"], group["eta"]) for group in found] == [(0.5, 0.01), (2.0, 0.0)]


def test_asam_of_every_tensor_is_invariant_under_rescaling_and_sam_is_not() -> None:
    """ReLU layers scaled by a and 1/a compute the same; only ASAM's worst loss is the same too."""
    worst: dict[str, list[float]] = {"asam": [], "sam": []}
    for name, losses in worst.items():
        for factor in (1.0, 7.0):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Flatten(), nn.Linear(72, 6), nn.ReLU(), nn.Linear(6, 3))
            model = model.double()
            with torch.no_grad():
                model[1].weight *= factor
                model[1].bias *= factor
                model[3].weight /= factor
            settings = {"scope": "all"} if name == "asam" else {}
            optimizer = build(name, model.parameters(), "sgd", lr=0.0, rho=0.5, **settings)
            optimizer.observing = True
            optimizer.step(closure_of(model, *batch()))
            assert optimizer.observation is not None
            losses.append(optimizer.observation.sharpness)
    assert worst["asam"][0] == pytest.approx(worst["asam"][1], rel=1e-9)
    assert worst["sam"][0] != pytest.approx(worst["sam"][1], rel=1e-2)


def gsam_rule(rho: float, alpha: float) -> Callable[[Tensor, Gradient], Tensor]:
    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        g = gradient(w)
        g_a = gradient(w + rho * g / g.norm())
        return g_a - alpha * (g - (g @ g_a) / (g_a @ g_a) * g_a)

    return rule


def test_gsam_at_a_constant_rate_has_its_largest_radius() -> None:
    found = directions("gsam", 3, rho_max=RHO, rho_min=0.1, alpha=0.4)
    agree(found, expected(gsam_rule(RHO, 0.4), 3))


@pytest.mark.parametrize("rate", ["of all", "of the group"])
@pytest.mark.parametrize(
    ("lr", "rho"), [(1.0, 0.4), (0.55, 0.3), (0.1, 0.2), (0.01, 0.2), (2.0, 0.4)]
)
def test_the_radius_of_gsam_follows_the_learning_rate_and_is_clamped(
    lr: float, rho: float, rate: str
) -> None:
    settings = {"rho_max": 0.4, "rho_min": 0.2, "lr_min": 0.1}
    group: dict[str, Any] = {"params": network().parameters()}
    (settings if rate == "of all" else group)["lr"] = 1.0
    optimizer = build("gsam", [group], "sgd", **settings)
    optimizer.param_groups[0]["lr"] = lr
    assert optimizer.method.rho() == pytest.approx(rho)  # type: ignore[attr-defined]


def wsam_scale(gamma: float) -> float:
    return gamma / (1 - gamma)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.9])
def test_wsam_coupled(gamma: float) -> None:
    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        g = gradient(w)
        a = wsam_scale(gamma)
        return a * gradient(w + RHO * g / g.norm()) + (1 - a) * g

    found = directions("wsam", 3, rho=RHO, gamma=gamma, decouple=False)
    agree(found, expected(rule, 3))


def test_wsam_decoupled_leaves_the_base_optimizer_the_clean_gradient() -> None:
    model, reference = network(), network()
    start = flat(model)
    optimizer = build("wsam", model.parameters(), "adam", lr=0.01, rho=RHO, gamma=0.8)
    optimizer.step(closure_of(model, *batch()))
    adam = build("adam", reference.parameters(), lr=0.01)
    adam.step(closure_of(reference, *batch()))
    g = gradient_at(network(), start, *batch())
    g_a = gradient_at(network(), start + RHO * g / g.norm(), *batch())
    wanted = flat(reference) - 0.01 * wsam_scale(0.8) * (g_a - g)
    torch.testing.assert_close(flat(model), wanted, rtol=0, atol=1e-10)


def test_wsam_decoupled_is_sam_for_gradient_descent_but_not_for_adam() -> None:
    agree(directions("wsam", 3, rho=RHO, gamma=0.5), directions("sam", 3, rho=RHO))
    found = directions("wsam", 3, "adam", rho=RHO, gamma=0.5)
    wanted = directions("sam", 3, "adam", rho=RHO)
    assert (found[-1] - wanted[-1]).norm() > 1e-2


def test_crsam_as_its_code() -> None:
    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        g = gradient(w)
        e = RHO * g / g.norm()
        g_a, g_b = gradient(w + e), gradient(w - e)
        return g_a + 0.3 * (g_a + g_b - 2 * g) + 0.2 * (g_a - g_b)

    agree(directions("crsam", 3, rho=RHO, gamma=0.3, beta=0.2), expected(rule, 3))


def test_crsam_with_logarithms() -> None:
    """The formula's losses are computed here at explicit points; one step, on the same batch."""
    model = network()
    weights = flat(model)
    inputs, targets = batch(0)

    def loss(at: Tensor) -> Tensor:
        nn.utils.vector_to_parameters(at, model.parameters())
        return nn.functional.cross_entropy(model(inputs), targets).detach()

    g = gradient_at(model, weights, inputs, targets)
    e = RHO * g / g.norm()
    g_a = gradient_at(model, weights + e, inputs, targets)
    g_b = gradient_at(model, weights - e, inputs, targets)
    clean, worst, best = loss(weights), loss(weights + e), loss(weights - e)
    curvature = (worst + best - 2 * clean).clamp(min=1e-6)
    wanted = g_a + 0.01 * (g_a + g_b - 2 * g) / curvature + 0.02 * (g_a - g_b) / (worst - best)
    found = directions("crsam", rho=RHO, gamma=0.01, beta=0.02, form="log")
    torch.testing.assert_close(found[0], wanted, rtol=1e-9, atol=1e-10)


def test_crsam_on_a_quadratic_is_sam_with_a_larger_radius() -> None:
    hessian = torch.diag(torch.tensor([3.0, 1.0, 0.2])).double()
    start = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    ends = []
    for name, settings in (
        ("crsam", {"rho": 0.2, "gamma": 0.7, "beta": 0.25}),
        ("sam", {"rho": 0.2 * 1.5}),
    ):
        problem = Quadratic(hessian, start)
        build(name, problem.parameters(), "sgd", lr=0.1, **settings).step(problem.closure)
        ends.append(problem.weight.detach())
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)


def test_fsam() -> None:
    means: list[Tensor] = []

    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        g = gradient(w)
        d = g - 0.7 * means[-1] if means else g
        means.append(0.8 * means[-1] + 0.2 * g if means else g)
        return gradient(w + RHO * d / d.norm())

    agree(directions("fsam", 4, rho=RHO, sigma=0.7, decay=0.8), expected(rule, 4))


def test_vasso() -> None:
    means: list[Tensor] = []

    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        g = gradient(w)
        means.append(0.6 * means[-1] + 0.4 * g if means else g)
        return gradient(w + RHO * means[-1] / means[-1].norm())

    agree(directions("vasso", 4, rho=RHO, theta=0.4), expected(rule, 4))


def test_looksam() -> None:
    kept: list[Tensor] = []
    step = 0

    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        nonlocal step
        step += 1
        g = gradient(w)
        if step in (1, 4):
            g_a = gradient(w + RHO * g / g.norm())
            kept.append(g_a - (g @ g_a) / (g @ g) * g)
            return g_a
        return g + 0.6 * g.norm() / kept[-1].norm() * kept[-1]

    agree(directions("looksam", 5, rho=RHO, alpha=0.6, k=3), expected(rule, 5))


def test_msam() -> None:
    model = network()
    weights, velocity = flat(model), torch.zeros_like(flat(model))
    optimizer = build("msam", model.parameters(), "sgd", lr=0.1, momentum=0.9, rho=RHO)
    for step in range(4):
        at = weights - RHO * velocity / velocity.norm() if step else weights
        velocity = 0.9 * velocity + gradient_at(network(), at, *batch(step))
        weights = weights - 0.1 * velocity
        optimizer.step(closure_of(model, *batch(step)))
        torch.testing.assert_close(flat(model), weights, rtol=0, atol=1e-10)


def test_msam_needs_momentum() -> None:
    with pytest.raises(ConfigError, match="msam needs a base optimizer with momentum"):
        build("msam", network().parameters(), "sgd", lr=0.1)


class ScheduleFree(torch.optim.SGD):
    """It has betas, as those of pytorch_optimizer, but no running mean of gradients."""

    def __init__(self, params: Any, lr: float = 0.1, betas: tuple[float, float] = (0.9, 0.99)):
        super().__init__(params, lr)
        self.param_groups[0]["betas"] = betas

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["z"] = parameter.detach().clone()


def test_msam_needs_a_base_that_keeps_the_momentum() -> None:
    model = network()
    optimizer = build("msam", model.parameters(), ScheduleFree, lr=0.1)
    optimizer.step(closure_of(model, *batch()))
    with pytest.raises(ConfigError, match="take another, as adam: ScheduleFree keeps no mean"):
        optimizer.step(closure_of(model, *batch()))


def test_sam_on_normalisation_layers_only() -> None:
    norm = mask(lambda module, name: isinstance(module, nn.LayerNorm))

    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        g = gradient(w) * norm
        return gradient(w + RHO * g / g.norm())

    agree(directions("sam-on", 3, rho=RHO), expected(rule, 3))


def test_asam_on_scales_the_ball_of_the_normalisation_layers() -> None:
    norm = mask(lambda module, name: isinstance(module, nn.LayerNorm))

    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        g, scale = gradient(w) * norm, w.abs() + 0.01
        return gradient(w + RHO * scale**2 * g / (scale * g).norm())

    agree(directions("sam-on", 3, rho=RHO, adaptive=True), expected(rule, 3))
    assert optimizers.get("sam-on").resolve("adam", {"lr": 0.1, "adaptive": True})["rho"] == 10.0


def losses_around(model: nn.Module, number: int) -> Callable[[Tensor], float]:
    """The loss of a batch at given weights, by torch.func."""
    inputs, targets = batch(number)
    names = [(name, parameter.shape) for name, parameter in model.named_parameters()]

    def loss(at: Tensor) -> float:
        pieces = at.split([shape.numel() for _, shape in names])
        tensors = {n: v.reshape(s) for (n, s), v in zip(names, pieces, strict=True)}
        outputs = torch.func.functional_call(model, tensors, (inputs,))
        return nn.functional.cross_entropy(outputs, targets).item()

    return loss


def test_xsam() -> None:
    """Its search is in the first step and the fourth; alpha stays between them."""
    alpha, step, chosen = 0.0, -1, []

    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        nonlocal alpha, step
        step += 1
        g = gradient(w)
        v_0 = g / g.norm()
        g_a = gradient(w + RHO * v_0)
        v_1 = g_a / g_a.norm()
        psi = torch.acos(v_0 @ v_1)

        def v(alpha: float) -> Tensor:
            return (torch.sin((1 - alpha) * psi) * v_0 + torch.sin(alpha * psi) * v_1) / psi.sin()

        if step % 3 == 0:
            loss = losses_around(network(), step)
            alpha = max((i / 10 for i in range(21)), key=lambda a: loss(w + 0.8 * v(a)))
            chosen.append(alpha)
        return g_a.norm() * v(alpha)

    agree(directions("xsam", 5, rho=RHO, rho_max=0.8, every=3), expected(rule, 5))
    assert len(set(chosen)) == 2  # else the test could not tell when it is looked for
    assert min(chosen) > 0


def test_xsam_where_both_directions_are_one() -> None:
    """On a line every direction is the gradient's, and so is their mean."""
    problem = Quadratic(torch.eye(1).double(), torch.ones(1).double())
    build("xsam", problem.parameters(), "sgd", lr=0.1, rho=RHO).step(problem.closure)
    assert problem.weight.item() == pytest.approx(1 - 0.1 * (1 + RHO), rel=1e-12)


def test_focal_sam_of_a_closure_without_shares_is_sam() -> None:
    agree(directions("focal-sam", 3, rho=RHO), directions("sam", 3, rho=RHO))


def test_usam() -> None:
    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        return gradient(w + RHO * gradient(w))

    agree(directions("usam", 3, rho=RHO), expected(rule, 3))


def test_sam_on_finds_layers_by_type_not_by_name() -> None:
    """torchvision's ResNets call a normalisation `downsample.1`, which no name rule finds."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    optimizer = build("sam-on", model.double().parameters(), "sgd", lr=0.0, rho=RHO)
    moved: list[bool] = []

    def note(module: nn.Module, inputs: Any) -> None:
        moved.append(not torch.equal(module.weight, original))

    original = model[2].weight.detach().clone()
    model[2].register_forward_pre_hook(note)
    optimizer.step(closure_of(model, *batch()))
    assert moved == [False, True]


def test_sam_on_a_model_without_normalisation() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).double()
    with pytest.raises(ConfigError, match="the model has no normalisation layer"):
        build("sam-on", model.parameters(), lr=0.1).step(closure_of(model, *batch()))


def test_stablesam() -> None:
    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        g = gradient(w)
        g_a = gradient(w + RHO * g / g.norm())
        return g_a * g.norm() / g_a.norm()

    agree(directions("stablesam", 3, rho=RHO), expected(rule, 3))


def test_interval_sam() -> None:
    step = 0

    def rule(w: Tensor, gradient: Gradient) -> Tensor:
        nonlocal step
        step += 1
        g = gradient(w)
        return gradient(w + 3 * RHO * g / g.norm()) if step in (1, 4) else g

    agree(directions("interval-sam", 5, rho=RHO, k=3), expected(rule, 5))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("fsam", {"sigma": 0.0}),
        ("vasso", {"theta": 1.0}),
        ("looksam", {"k": 1}),
        ("interval-sam", {"k": 1}),
        ("aesam", {"first": -1e9, "last": -1e9}),
        ("esam", {"share": 1.0}),
        ("crsam", {"gamma": 0.0, "beta": 0.0}),
        ("wsam", {"gamma": 0.5, "decouple": False}),
    ],
)
@pytest.mark.parametrize("base", ["sgd", "adam"])
def test_what_is_sam_in_a_limit(name: str, settings: dict[str, Any], base: str) -> None:
    agree(directions(name, 4, base, rho=RHO, **settings), directions("sam", 4, base, rho=RHO))


def test_gsam_without_its_orthogonal_part_is_sam() -> None:
    found = directions("gsam", 4, rho_max=RHO, rho_min=RHO, alpha=0.0)
    agree(found, directions("sam", 4, rho=RHO))


def test_aesam_with_an_endless_threshold_is_the_base_optimizer() -> None:
    """The first step has no past to compare with and is SAM's."""
    model = network()
    optimizer = build("aesam", model.parameters(), "sgd", lr=0.1, first=1e9, last=1e9)
    optimizer.step(closure_of(model, *batch(0)))
    reference = network()
    reference.load_state_dict(model.state_dict())
    plain = build("sgd", reference.parameters(), lr=0.1)
    for step in range(1, 5):
        optimizer.step(closure_of(model, *batch(step)))
        plain.step(closure_of(reference, *batch(step)))
    torch.testing.assert_close(flat(model), flat(reference), rtol=0, atol=1e-10)


def test_esam_perturbs_about_its_share_of_the_tensors_and_is_unbiased() -> None:
    model = nn.Sequential(*[nn.Linear(3, 3, bias=False) for _ in range(12)]).double()
    before = [p.detach().clone() for p in model.parameters()]
    inputs = torch.randn(4, 3, dtype=torch.float64)
    moved = torch.zeros(12)
    optimizer = build("esam", model.parameters(), "sgd", lr=0.0, share=0.25)
    for _ in range(200):
        passes = 0

        def closure() -> Tensor:
            nonlocal passes, moved
            if passes:
                found = zip(model.parameters(), before, strict=True)
                moved += torch.tensor([float(not torch.equal(a, b)) for a, b in found])
            passes += 1
            loss: Tensor = (model(inputs) ** 2).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
    assert 0.2 < moved.sum().item() / (200 * 12) < 0.3
