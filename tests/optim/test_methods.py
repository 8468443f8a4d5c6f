"""Each method against its formula, evaluated by torch.func, and the identities of the family.

Float64 throughout; 1e-10 leaves room for a different order of summation and nothing else.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sambench.optim import build
from sambench.optim.contract import batch, closure_of, flat, network
from sambench.optim.method import optimizers
from sambench.optim.oracle import Observer
from sambench.optim.vector import Vector
from tests.optim.references import Quadratic, gradient_at

TOLERANCE = {"rtol": 0.0, "atol": 1e-10}
PERTURBING = [info.name for info in optimizers.list() if "rho" in info.hyperparameters]
LIMIT_IS_BASE = [name for name in PERTURBING if name != "looksam"]
"""LookSAM scales its sharpness to the gradient's length, however small the radius."""
BASES: list[tuple[str, dict[str, Any]]] = [
    ("sgd", {"lr": 0.1}),
    ("sgd", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("adam", {"lr": 0.01}),
    ("adamw", {"lr": 0.01, "weight_decay": 0.1}),
]


def trajectory(name: str, base: str, steps: int = 5, **settings: Any) -> Tensor:
    model = network()
    optimizer = build(name, model.parameters(), base, **settings)
    for step in range(steps):
        optimizer.step(closure_of(model, *batch(step)))
    return flat(model)


def centered(model: torch.nn.Module, vector: Tensor) -> Tensor:
    """GC of a flat vector, tensor by tensor, by explicit means over rows."""
    pieces, start = [], 0
    for parameter in model.parameters():
        piece = vector[start : start + parameter.numel()].reshape(parameter.shape)
        start += parameter.numel()
        if parameter.dim() > 1:
            rows = piece.reshape(len(piece), -1)
            piece = rows - rows.mean(dim=1, keepdim=True)
        pieces.append(piece.reshape(-1))
    return torch.cat(pieces)


def step_taken(name: str, **settings: Any) -> tuple[Tensor, Tensor, torch.nn.Module]:
    """Weights before, and the direction of one step of plain gradient descent."""
    model = network()
    before = flat(model)
    optimizer = build(name, model.parameters(), "sgd", lr=1.0, **settings)
    optimizer.step(closure_of(model, *batch()))
    return before, before - flat(model), network()


def test_sam_follows_its_formula() -> None:
    weights, direction, model = step_taken("sam", rho=0.3)
    g = gradient_at(model, weights, *batch())
    expected = gradient_at(model, weights + 0.3 * g / g.norm(), *batch())
    torch.testing.assert_close(direction, expected, **TOLERANCE)


@pytest.mark.parametrize("norm", ["raw", "centered"])
@pytest.mark.parametrize("center_descent", [False, True])
def test_gcsam_follows_its_formula(norm: str, center_descent: bool) -> None:
    weights, direction, model = step_taken(
        "gcsam", rho=0.3, norm=norm, center_descent=center_descent
    )
    g = gradient_at(model, weights, *batch())
    c = centered(model, g)
    length = g.norm() if norm == "raw" else c.norm()
    expected = gradient_at(model, weights + 0.3 * c / length, *batch())
    if center_descent:
        expected = centered(model, expected)
    torch.testing.assert_close(direction, expected, **TOLERANCE)


def wsam_rule(g: Tensor, a: Tensor, b: Tensor, gamma: Tensor) -> Tensor:
    return g + gamma / (1 - gamma) * (a - g)


def gsam_rule(g: Tensor, a: Tensor, b: Tensor, alpha: Tensor) -> Tensor:
    return a - alpha * (g - g @ a / (a @ a) * a)


def crsam_rule(g: Tensor, a: Tensor, b: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return a + gamma * (a + b - 2 * g) + beta * (a - b)


@pytest.mark.parametrize(
    ("name", "shared", "apart", "rule"),
    [
        ("wsam", {"rho": 0.3}, {"gamma": (0.5, 0.8)}, wsam_rule),
        ("wsam", {"rho": 0.3, "decouple": False}, {"gamma": (0.5, 0.8)}, wsam_rule),
        ("gsam", {"rho_max": 0.3}, {"alpha": (0.5, 2.0)}, gsam_rule),
        ("crsam", {"rho": 0.3}, {"gamma": (0.5, 0.8), "beta": (0.3, 0.1)}, crsam_rule),
    ],
)
def test_groups_may_weigh_the_parts_of_a_direction_each_by_its_own(
    name: str, shared: dict[str, Any], apart: dict[str, tuple[float, float]], rule: Any
) -> None:
    model = network()
    parts, weights = (list(model.parameters())[:2], list(model.parameters())[2:]), flat(model)
    groups = [
        {"params": part, **{key: values[place] for key, values in apart.items()}}
        for place, part in enumerate(parts)
    ]
    build(name, groups, "sgd", lr=1.0, **shared).step(closure_of(model, *batch()))
    g = gradient_at(network(), weights, *batch())
    e = 0.3 * g / g.norm()
    a, b = (gradient_at(network(), weights + sign * e, *batch()) for sign in (1, -1))
    counts = torch.tensor([sum(p.numel() for p in part) for part in parts])
    each = [
        torch.tensor(values, dtype=torch.float64).repeat_interleave(counts)
        for values in apart.values()
    ]
    torch.testing.assert_close(weights - flat(model), rule(g, a, b, *each), **TOLERANCE)


def test_gcsam_conv_only_leaves_linear_layers_alone() -> None:
    model = network()
    optimizer = build("gcsam", model.parameters(), "sgd", lr=0.1, conv_only=True)
    linear, convolution = torch.ones(4, 5), torch.randn(2, 3, 3, 3)
    optimizer.method.centralize(Vector([linear, convolution]))  # type: ignore[attr-defined]
    assert torch.equal(linear, torch.ones(4, 5))
    torch.testing.assert_close(convolution.sum(dim=(1, 2, 3)), torch.zeros(2), rtol=0, atol=1e-5)


def test_gcsam_equals_sam_where_all_tensors_have_one_dimension() -> None:
    start = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    ends = []
    for name in ("sam", "gcsam"):
        problem = Quadratic(torch.diag(torch.tensor([3.0, 1.0, 0.2])).double(), start)
        optimizer = build(name, problem.parameters(), "adam", lr=0.1, rho=0.2)
        for _ in range(5):
            optimizer.step(problem.closure)
        ends.append(problem.weight.detach())
    torch.testing.assert_close(*ends, **TOLERANCE)


@pytest.mark.parametrize("name", LIMIT_IS_BASE)
@pytest.mark.parametrize(("base", "settings"), BASES)
def test_radius_zero_is_the_base_optimizer(name: str, base: str, settings: dict[str, Any]) -> None:
    if name == "msam" and base == "sgd" and not settings.get("momentum"):
        pytest.skip("msam needs momentum")
    expected = trajectory(base, base, **settings)
    torch.testing.assert_close(trajectory(name, base, rho=0.0, **settings), expected, **TOLERANCE)


@pytest.mark.parametrize(("base", "settings"), BASES)
def test_baselines_are_torchs_own(base: str, settings: dict[str, Any]) -> None:
    model = network()
    classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    reference = classes[base](model.parameters(), **settings)
    for step in range(5):
        reference.zero_grad()
        closure_of(model, *batch(step))()
        reference.step()
    torch.testing.assert_close(trajectory(base, base, **settings), flat(model), **TOLERANCE)


def test_sam_on_a_quadratic_has_its_closed_form() -> None:
    hessian = torch.tensor([[3.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    problem = Quadratic(hessian, start)
    build("sam", problem.parameters(), "sgd", lr=0.1, rho=0.3).step(problem.closure)
    g = hessian @ start
    expected = start - 0.1 * (g + 0.3 * hessian @ g / g.norm())
    torch.testing.assert_close(problem.weight.detach(), expected, **TOLERANCE)


def test_sam_bounces_around_the_minimum_of_a_parabola() -> None:
    h, lr, rho = 2.0, 0.1, 0.5
    start = torch.tensor([1.0], dtype=torch.float64)
    problem = Quadratic(torch.tensor([[h]], dtype=torch.float64), start)
    optimizer = build("sam", problem.parameters(), "sgd", lr=lr, rho=rho)
    for _ in range(400):
        optimizer.step(problem.closure)
    assert abs(problem.weight.item()) == pytest.approx(lr * h * rho / (2 - lr * h), abs=1e-9)


@pytest.mark.parametrize("name", ["sam", "gcsam"])
def test_the_perturbation_does_not_depend_on_the_scale_of_the_loss(name: str) -> None:
    norms = []
    for scale in (1.0, 1000.0):
        model = network()
        optimizer = build(name, model.parameters(), "sgd", lr=0.0, rho=0.2)
        plain = closure_of(model, *batch())

        def scaled(plain: Any = plain, scale: float = scale, model: Any = model) -> Tensor:
            loss = plain() * scale
            for parameter in model.parameters():
                parameter.grad *= scale
            return loss

        optimizer.observing = True
        optimizer.step(scaled)
        assert optimizer.observation is not None
        norms.append(optimizer.observation.epsilon_norm)
    assert norms[0] == pytest.approx(norms[1], rel=1e-10)


def test_the_observed_perturbation_of_sam_has_norm_rho() -> None:
    model = network()
    optimizer = build("sam", model.parameters(), "sgd", lr=0.1, rho=0.2)
    optimizer.observing = True
    optimizer.step(closure_of(model, *batch()))
    assert optimizer.observation is not None
    assert optimizer.observation.epsilon_norm == pytest.approx(0.2, rel=1e-9)
    assert optimizer.observation.sharpness > 0


def test_the_observed_perturbation_of_raw_gcsam_is_shorter() -> None:
    model = network()
    g = gradient_at(model, flat(model), *batch())
    expected = 0.2 * centered(model, g).norm() / g.norm()
    optimizer = build("gcsam", model.parameters(), "sgd", lr=0.1, rho=0.2)
    optimizer.observing = True
    optimizer.step(closure_of(model, *batch()))
    assert optimizer.observation is not None
    assert optimizer.observation.epsilon_norm == pytest.approx(float(expected), rel=1e-9)


def test_what_a_step_observes_is_what_the_formulas_say() -> None:
    model = network()
    weights = flat(model)
    g = gradient_at(model, weights, *batch())
    e = 0.2 * g / g.norm()
    g_a = gradient_at(model, weights + e, *batch())
    one = torch.cat([torch.full((p.numel(),), float(p.dim() <= 1)) for p in model.parameters()])
    optimizer = build("sam", model.parameters(), "sgd", lr=0.1, rho=0.2)
    optimizer.observing = True
    optimizer.step(closure_of(model, *batch()))
    found = optimizer.observation
    assert found is not None
    assert found.one_dimensional_share == pytest.approx(float((one * e).norm() ** 2 / 0.04))
    assert found.gradient_cosine == pytest.approx(float(g @ g_a / g.norm() / g_a.norm()))
    assert found.gradient_norm_ratio == pytest.approx(float(g_a.norm() / g.norm()))


def test_a_perturbation_of_norms_and_biases_alone_is_all_of_it() -> None:
    """Two norms of one vector that are rounded in another order give no share above 1."""
    torch.manual_seed(3)
    for _ in range(30):
        e = Vector(torch.randn(7) if place % 2 else torch.zeros(4, 4) for place in range(40))
        observer = Observer()
        observer.gradient(e)
        observer.perturbation(e)
        observer.gradient(e)
        found = observer.observed([torch.zeros(())])
        assert found is not None
        assert 1 - 1e-6 < float(found[1]) <= 1


@pytest.mark.parametrize("name", [info.name for info in optimizers.list()])
def test_observing_changes_nothing(name: str) -> None:
    ends = []
    for observing in (False, True):
        model = network()
        optimizer = build(name, model.parameters(), lr=0.01)
        optimizer.observing = observing
        for step in range(3):
            optimizer.step(closure_of(model, *batch(step)))
        ends.append(flat(model))
    assert torch.equal(*ends)
