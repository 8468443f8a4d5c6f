"""Small problems in float64 on which optimizers are checked."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from sambench.optim.oracle import Closure


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
