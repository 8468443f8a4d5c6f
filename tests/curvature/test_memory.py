"""What a graph holds, and what may be held."""

from __future__ import annotations

import torch

from sambench.curvature.memory import SavedBytes, spare_bytes


def test_saved_tensors_are_counted_once_and_weights_not() -> None:
    weight = torch.ones(100, requires_grad=True)
    with SavedBytes([weight]) as saved:
        hidden = torch.ones(100) * weight  # saves the ones
        result = hidden.exp()  # saves its result ...
        (result * result).sum()  # ... which is saved again, twice
    assert saved.total == 2 * 100 * 4


def test_counting_leaves_derivatives_as_they_are() -> None:
    weight = torch.linspace(0, 1, 5, dtype=torch.float64, requires_grad=True)
    with SavedBytes([weight]):
        (gradient,) = torch.autograd.grad(weight.sin().exp().sum(), weight, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), weight)
    expected = weight.sin().exp() * (weight.cos() ** 2 - weight.sin())
    # some units in the last place of three functions of order one, which libraries round each way
    torch.testing.assert_close(second, expected.detach(), rtol=1e-13, atol=1e-14)


def test_spare_memory_is_some_of_what_there_is() -> None:
    assert 1 << 20 < spare_bytes(torch.device("cpu")) < 1 << 50
