"""Other people's SAM for `optimizer_overhead.py`, each made to take a step of a closure."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Step = Callable[[Callable[[], Tensor]], object]
Make = Callable[[nn.Module], Step]


class Supplied:
    """A closure without forward and backward: a fresh copy of fixed gradients at each call."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = list(model.parameters())
        self.gradients = [1e-3 * torch.randn_like(p) for p in self.parameters]
        self.loss = torch.tensor(1.0)
        self.calls = 0
        self.seconds = 0.0

    def __call__(self) -> Tensor:
        """Supply the gradients; the time this takes is kept apart."""
        start = time.thread_time()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient.clone()  # a new one, as backward makes it
        self.calls += 1
        self.seconds += time.thread_time() - start
        return self.loss


def once(model: nn.Module, optimizer: Any) -> Step:
    """Take a peer's step whose caller runs the clean pass."""

    def step(closure: Callable[[], Tensor]) -> None:
        closure()
        optimizer.step(closure)

    return step


def twice(model: nn.Module, optimizer: Any) -> Step:
    """Take a peer's step that runs both passes itself."""
    return optimizer.step


class LoopSAM:
    """SAM as most training scripts have it: the loop of davda54/sam, operation by operation.

    That is no package of the index. Its two products with 1.0 are there for ASAM, and cost what
    they cost: 12 sweeps over the weights, six operations for each parameter.
    """

    def __init__(self, parameters: Any, base: torch.optim.Optimizer, rho: float = 0.05) -> None:
        self.parameters, self.base, self.rho = list(parameters), base, rho

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> None:
        """Take a step; gradients are cleared by setting them to None, weights kept as copies."""
        closure()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.stack([(1.0 * gradient).norm() for gradient in gradients]).norm()
        scale, kept = self.rho / (norm + 1e-12), []
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            kept.append(parameter.data.clone())
            parameter.add_(1.0 * gradient * scale)
        self.base.zero_grad()
        closure()
        for parameter, weights in zip(self.parameters, kept, strict=True):
            parameter.data = weights
        self.base.step()
        self.base.zero_grad()


def loop_sam(model: nn.Module) -> Step:
    """Make steps of the plain loop."""
    base = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    return LoopSAM(model.parameters(), base).step


def peer(take: Callable[..., Step], module: str, attribute: str, **settings: Any) -> Make:
    """Make steps of a peer that is given the class of its base, fused Adam as ours has."""

    def make(model: nn.Module) -> Step:
        made = getattr(importlib.import_module(module), attribute)
        leading = [model] if (module, attribute) == ("pytorch_optimizer", "WSAM") else []
        arguments = [*leading, model.parameters(), torch.optim.Adam]
        return take(model, made(*arguments, lr=1e-4, fused=True, **settings))

    return make


def wrapping(module: str, attribute: str) -> Make:
    """Make steps of a peer that is given its base optimizer."""

    def make(model: nn.Module) -> Step:
        base = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
        made = getattr(importlib.import_module(module), attribute)
        return twice(model, made(model.parameters(), base))

    return make


ZIJ = "zij.contrib.sharpness_aware"
PEERS: dict[str, tuple[str, Make]] = {
    "pytorch_optimizer SAM": ("pytorch_optimizer", peer(once, "pytorch_optimizer", "SAM")),
    "pytorch_optimizer ASAM": (
        "pytorch_optimizer",
        peer(once, "pytorch_optimizer", "SAM", adaptive=True),
    ),
    "pytorch_optimizer GCSAM": (
        "pytorch_optimizer",
        peer(once, "pytorch_optimizer", "SAM", use_gc=True),
    ),
    "pytorch_optimizer WSAM": ("pytorch_optimizer", peer(twice, "pytorch_optimizer", "WSAM")),
    "pytorch_optimizer F-SAM": (
        "pytorch_optimizer",
        peer(once, "pytorch_optimizer", "FriendlySAM"),
    ),
    "zij SAM": ("zij", peer(once, ZIJ, "SAM")),
    "zij ASAM": ("zij", peer(once, ZIJ, "ASAM")),
    "zij WSAM": ("zij", peer(twice, ZIJ, "WSAM")),
    "sam-pytorch SAM": ("sam-pytorch", wrapping("sam", "SAM")),
}
"""Each with the package it comes in."""

LOOP = "davda54/sam's loop"


def available_peers(folder: str) -> tuple[dict[str, Make], dict[str, str]]:
    """Return the peers that can be had and take a step, installing them if need be, and why not."""
    sys.path.append(folder)
    found, left_out = {}, {}
    for name, (package, make) in PEERS.items():
        if importlib.util.find_spec({"sam-pytorch": "sam"}.get(package, package)) is None:
            install = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps"]
            subprocess.run(
                [*install, "--target", folder, package], check=False, capture_output=True
            )
            importlib.invalidate_caches()
        try:
            model = nn.Linear(3, 2)
            make(model)(Supplied(model))
            found[name] = make
        except Exception as error:
            left_out[name] = f"{type(error).__name__}: {error}"
            print(f"{name} left out: {left_out[name]}")
    return found, left_out
