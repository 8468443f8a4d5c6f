"""What an optimizer keeps alive, copies and accepts: graphs, memory, sparse gradients."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.meter import Meter
from sambench.errors import SambenchWarning
from sambench.optim import build
from sambench.optim.contract import batch, closure_of, flat, network
from sambench.optim.method import Method, OptimizerInfo, optimizers
from sambench.optim.vector import Vector

REGISTRY = optimizers.list()
EVERY = pytest.mark.parametrize("info", REGISTRY, ids=[info.name for info in REGISTRY])


@EVERY
def test_whoever_holds_the_weights_memory_sees_every_step(info: OptimizerInfo) -> None:
    model = network()
    held = [p.detach() for p in model.parameters()]
    before = flat(model)
    optimizer = build(info.name, model.parameters(), lr=0.1)
    for seed in range(2):
        optimizer.step(closure_of(model, *batch(seed)))
    assert torch.equal(torch.cat([tensor.reshape(-1) for tensor in held]), flat(model))
    assert not torch.equal(flat(model), before)


@EVERY
def test_the_state_shares_no_memory_with_weights_or_gradients(info: OptimizerInfo) -> None:
    model = network()
    optimizer = build(info.name, model.parameters(), lr=0.1)
    for seed in range(3):
        optimizer.step(closure_of(model, *batch(seed)))
    state = [value for values in optimizer.state.values() for value in values.values()]
    kept = [tensor for vector in optimizer.method.memory.values() for tensor in vector.tensors]
    addresses = {tensor.data_ptr() for tensor in [*state, *kept]}
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.data_ptr() not in addresses
        assert parameter.grad.data_ptr() not in addresses


def test_what_a_method_keeps_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though clipping changes the gradient, the step the weights, and clearing sets to zero.

    Clipped is once what is both the direction and beside it.
    """

    def keeping(method: Method, gradient: Any) -> Vector:
        method.memory |= {"gradient": (g := gradient()), "weights": gradient.weights}
        method.beside = g, 0.0
        return g

    monkeypatch.setattr(optimizers.get("sam").method, "direction", keeping)
    model, reference = network(), network()
    optimizer = build("sam", model.parameters(), "sgd", lr=0.1, max_norm=1e-3)
    optimizer.step(closure_of(model, *batch()))
    clipped = torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])
    assert clipped.norm().item() == pytest.approx(1e-3, rel=1e-3)
    optimizer.zero_grad(set_to_none=False)
    closure_of(reference, *batch())()
    kept = optimizer.method.memory
    for tensors, wanted in (
        (kept["weights"].tensors, list(reference.parameters())),
        (kept["gradient"].tensors, [p.grad for p in reference.parameters()]),
    ):
        assert all(map(torch.equal, tensors, wanted))  # type: ignore[arg-type]


class Token:
    """Something that a weak reference can follow."""


class Followed(torch.autograd.Function):
    """The identity; its node in the graph holds a token, which dies with the graph."""

    tokens: list[weakref.ref[Token]]

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.token = Token()
        Followed.tokens.append(weakref.ref(ctx.token))
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


@EVERY
def test_the_graph_of_a_pass_is_gone_before_the_next_and_after_the_step(
    info: OptimizerInfo,
) -> None:
    model = network()
    inputs, targets = batch()
    Followed.tokens = []
    alive: list[int] = []

    def closure() -> Tensor:
        alive.append(sum(token() is not None for token in Followed.tokens))
        loss = functional.cross_entropy(Followed.apply(model(inputs)), targets)
        loss.backward()
        return loss

    optimizer = build(info.name, model.parameters(), lr=0.1)
    loss = optimizer.step(closure)
    assert not any(alive)
    assert not loss.requires_grad
    assert all(token() is None for token in Followed.tokens)


def peak_in_copies_of_the_weights(name: str, **settings: Any) -> float:
    """The largest amount of memory at a time in some steps, gradients and momentum included."""
    model = nn.Sequential(*[nn.LayerNorm(5000) for _ in range(3)])
    parameters = list(model.parameters())
    inputs = torch.zeros(1, 5000)

    def closure() -> Tensor:
        with torch.no_grad():
            model[0](inputs)
        for index, parameter in enumerate(parameters):
            parameter.grad = torch.cos(parameter.detach()).mul_(index + 1)
        return torch.tensor(1.0)

    base = None if name == "adam" else "sgd"
    optimizer = build(name, parameters, base, lr=0.1, momentum=0.9, model=model, **settings)
    with Meter() as meter:
        for _ in range(4):
            optimizer.step(closure)
    size = sum(4 * parameter.numel() for parameter in parameters)
    return float(meter.peak / size)


PERTURBING = [info for info in REGISTRY if info.base is None]
TURNS = {"looksam": {"k": 2.0}, "interval-sam": {"k": 2.0}, "aesam": {"first": -9.0, "last": -9.0}}


@pytest.mark.parametrize("info", PERTURBING, ids=[info.name for info in PERTURBING])
def test_it_needs_the_copies_of_the_weights_that_it_says(info: OptimizerInfo) -> None:
    needed = peak_in_copies_of_the_weights(info.name, **TURNS.get(info.name, {}))
    base = peak_in_copies_of_the_weights("sgd")
    said = f"extra_memory of {info.name}"
    assert needed - base == pytest.approx(info.extra_memory, abs=0.1), said


@EVERY
def test_sparse_gradients_give_the_bits_of_dense_ones(info: OptimizerInfo) -> None:
    ends = []
    words, targets = torch.tensor([1, 5, 5, 7]), torch.tensor([0, 1, 2, 0])
    for sparse in (False, True):
        torch.manual_seed(0)
        layers = [nn.Embedding(10, 4, sparse=sparse), nn.LayerNorm(4), nn.Linear(4, 3)]
        model = nn.Sequential(*layers).double()

        def closure(model: nn.Module = model) -> Tensor:
            loss = functional.cross_entropy(model(words), targets)
            loss.backward()
            return loss

        optimizer = build(info.name, model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.step(closure)
        ends.append(flat(model))
    assert torch.equal(*ends)


def test_layers_may_have_different_precisions() -> None:
    model = nn.Sequential(nn.Linear(4, 4).bfloat16(), nn.LayerNorm(4))
    inputs = torch.randn(5, 4)

    def closure() -> Tensor:
        loss: Tensor = model[1](model[0](inputs.bfloat16()).float()).square().mean()
        loss.backward()
        return loss

    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.warns(SambenchWarning):
        optimizer = build("gsam", model.parameters(), "adam", lr=0.1)
    optimizer.step(closure)
    for parameter, start in zip(model.parameters(), before, strict=True):
        assert parameter.dtype == start.dtype
        assert torch.isfinite(parameter).all()
