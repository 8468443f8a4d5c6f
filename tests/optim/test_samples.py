"""A closure that tells its samples apart, and the method that chooses among them."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn import functional

from sambench.errors import ConfigError, SambenchWarning
from sambench.optim import SampleClosure, build
from sambench.optim.contract import batch, closure_of, flat, network
from tests.optim.references import gradient_at


def losses_of(model: nn.Module, seen: list[int] | None = None) -> Callable[..., Tensor]:
    inputs, targets = batch()

    def losses(some: Tensor | slice) -> Tensor:
        if seen is not None:
            seen.append(len(targets[some]))
        return functional.cross_entropy(model(inputs[some]), targets[some], reduction="none")

    return losses


def test_esam_learns_from_the_samples_whose_loss_rises_most() -> None:
    """Against torch.func at w + e, over the samples that an own comparison of losses chooses."""
    model, seen = network(), list[int]()
    inputs, targets = batch()
    weights = flat(model)
    e = gradient_at(model, weights, inputs, targets)
    e = 0.3 * e / e.norm()
    moved = network()
    nn.utils.vector_to_parameters(weights + e, moved.parameters())
    with torch.no_grad():
        rise = losses_of(moved)(slice(None)) - losses_of(model)(slice(None))
    hardest = [index for index in range(8) if (rise > rise[index]).sum() < 3]
    wanted = gradient_at(model, weights + e, inputs[hardest], targets[hardest])
    optimizer = build("esam", model.parameters(), "sgd", lr=1.0, rho=0.3, share=1.0, samples=0.3)
    closure = SampleClosure(losses_of(model, seen))
    optimizer.step(closure)
    torch.testing.assert_close(weights - flat(model), wanted, rtol=0, atol=1e-10)
    assert seen == [8, 8, 3]
    assert closure.evaluations == pytest.approx(1 + 1 / 3 + 3 / 8)


def test_focal_sam_weighs_samples_by_the_shares_of_their_classes() -> None:
    """Against torch.func over losses that are weighed here: c = lambda (1 - pi)^gamma."""
    model, reference = network(), network()
    inputs, targets = batch()
    weights, pi = flat(model), torch.tensor([0.7, 0.25, 0.05], dtype=torch.float64)[targets]
    c = 0.6 * (1 - pi) ** 1.7
    names = [(name, parameter.shape) for name, parameter in model.named_parameters()]

    def gradient(at: Tensor, weigh: Tensor) -> Tensor:
        def loss(vector: Tensor) -> Tensor:
            pieces = vector.split([shape.numel() for _, shape in names])
            tensors = {n: v.reshape(s) for (n, s), v in zip(names, pieces, strict=True)}
            outputs = torch.func.functional_call(reference, tensors, (inputs,))
            return (weigh * functional.cross_entropy(outputs, targets, reduction="none")).mean()

        return torch.func.grad(loss)(at)

    g_c = gradient(weights, c)
    wanted = gradient(weights, 1 - c) + gradient(weights + 0.3 * g_c / g_c.norm(), c)
    optimizer = build("focal-sam", model.parameters(), "sgd", lr=1.0, rho=0.3, lam=0.6, gamma=1.7)
    closure = SampleClosure(losses_of(model), shares=pi)
    loss = optimizer.step(closure)
    torch.testing.assert_close(weights - flat(model), wanted, rtol=0, atol=1e-10)
    assert loss.item() == losses_of(network())(slice(None)).mean().item()
    assert closure.evaluations == 3


@pytest.mark.parametrize("name", ["adam", "sam", "crsam", "esam"])
def test_all_samples_are_a_plain_closure(name: str) -> None:
    settings = {"samples": 1.0} if name == "esam" else {}
    plain, apart = network(), network()
    reference = build(name, plain.parameters(), lr=0.01, **settings)
    optimizer = build(name, apart.parameters(), lr=0.01, **settings)
    for _ in range(3):
        first = reference.step(closure_of(plain, *batch()))
        second = optimizer.step(SampleClosure(losses_of(apart)))
        assert second.item() == pytest.approx(first.item(), rel=1e-12)
    torch.testing.assert_close(flat(apart), flat(plain), rtol=0, atol=1e-10)


def test_samples_are_scaled_as_a_batch_is() -> None:
    plain, scaled = network(), network()
    scaler = GradScaler("cpu", init_scale=2.0**16)
    build("esam", plain.parameters(), lr=0.01).step(SampleClosure(losses_of(plain)))
    optimizer = build("esam", scaled.parameters(), lr=0.01)
    optimizer.step(SampleClosure(losses_of(scaled), scaler), scaler=scaler)
    torch.testing.assert_close(flat(scaled), flat(plain), rtol=0, atol=1e-9)


def test_both_looks_at_the_samples_draw_the_same_masks_when_they_are_replayed() -> None:
    masks: list[Tensor] = []
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3)).double()
    model[0].register_forward_hook(lambda module, inputs, output: masks.append(output == 0))
    inputs, targets = torch.ones(8, 6, dtype=torch.float64), torch.zeros(8, dtype=torch.long)

    def losses(some: Tensor | slice) -> Tensor:
        return functional.cross_entropy(model(inputs[some]), targets[some], reduction="none")

    optimizer = build("esam", model.parameters(), lr=0.1, samples=1.0, replay_randomness=True)
    optimizer.step(SampleClosure(losses))
    optimizer.zero_grad()
    optimizer = build("esam", model.parameters(), lr=0.1, samples=0.99, replay_randomness=True)
    optimizer.step(SampleClosure(losses))
    assert len(masks) == 2 + 3
    assert torch.equal(masks[0], masks[1])
    assert torch.equal(masks[2], masks[3])
    assert torch.equal(masks[2], masks[4])


@pytest.mark.parametrize("name", ["esam", "focal-sam"])
def test_a_plain_closure_cannot_tell_samples_apart(name: str) -> None:
    """It would be another method without a word."""
    model = network()
    optimizer = build(name, model.parameters(), lr=0.1)
    with pytest.warns(
        SambenchWarning, match="all samples count alike: give `step` a SampleClosure"
    ):
        optimizer.step(closure_of(model, *batch()))
    optimizer.zero_grad()
    sam = build("sam", model.parameters(), lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sam.step(closure_of(model, *batch()))


def test_focal_sam_needs_the_shares_of_a_sample_closure() -> None:
    model = network()
    optimizer = build("focal-sam", model.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="needs the `shares` of a SampleClosure"):
        optimizer.step(SampleClosure(losses_of(model)))
