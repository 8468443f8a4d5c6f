"""Accelerate: a closure that calls `accelerator.backward`, or a loop of passes.

`gradient_accumulation_steps` stays 1: with n, Accelerate drops all but every n-th closure, which
is refused. To accumulate give `step` a list of closures, or run `passes` on each micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional

from sambench.optim import build


def train(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], name: str, **settings: Any
) -> None:
    """Train with a closure."""
    accelerator = Accelerator(cpu=True)
    optimizer = build(name, network.parameters(), model=network, **settings)
    model, prepared = accelerator.prepare(network, optimizer)
    for inputs, targets in batches:

        def closure(inputs: Tensor = inputs, targets: Tensor = targets) -> Tensor:
            loss = functional.cross_entropy(model(inputs), targets)
            accelerator.backward(loss)
            return loss

        prepared.step(closure)


def train_in_passes(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], name: str, **settings: Any
) -> None:
    """Train with forward and backward in the loop."""
    accelerator = Accelerator(cpu=True)
    optimizer = build(name, network.parameters(), model=network, **settings)
    model, prepared = accelerator.prepare(network, optimizer)
    for inputs, targets in batches:
        for _ in prepared.optimizer.passes():
            accelerator.backward(functional.cross_entropy(model(inputs), targets))
        prepared.step()
        prepared.zero_grad()
