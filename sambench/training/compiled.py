"""torch.compile for the network of a run: when it pays, and a way back where it fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

PAYS_AFTER = 600.0
"""Seconds of training from which compiling pays by itself: it takes one or two minutes, and saves
a fifth to a third of a step."""

FIXED: dict[str, Any] = {"fallback_random": True}
"""Have compiled dropout draw as torch does, so that compiling changes no mask."""


def compile_network(network: nn.Module, backend: str = "inductor") -> nn.Module:
    """Return the network in compiled form, sharing its parameters; compiled at its first pass.

    One shape only, so without dynamic sizes; no CUDA graphs of its own: whole steps are captured.
    """
    options: dict[str, Any] | None = FIXED if backend == "inductor" else None
    compiled: Any = torch.compile(network, dynamic=False, backend=backend, options=options)
    return compiled  # type: ignore[no-any-return]


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that some work takes when it runs a second time, device included."""
    taken = 0.0
    for _ in range(2):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken = time.perf_counter() - start
    return taken


def forget_compiled() -> None:
    """Remove what a failed compilation has left in torch."""
    import torch._dynamo

    torch._dynamo.reset()
