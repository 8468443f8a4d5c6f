"""What the hardware allows: measured ceilings, and the least time that a pass takes under them."""

from __future__ import annotations

from typing import Any

import torch
from gpu_steps import Workload
from gpu_timing import stretch_ms
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import flop_registry

from sambench.training.engine import layout_of
from sambench.training.precision import autocast, numerics

VIEWS = ("aten.view", "aten.detach", "aten.t.", "aten.transpose", "aten.expand", "aten.as_strided")
VIEWS += ("aten.permute", "aten._unsafe_view", "aten.slice", "aten.select", "aten.alias")
VIEWS += ("aten.unsqueeze", "aten.squeeze", "aten.split", "aten.unbind")


def ceilings(device: torch.device, small: bool) -> dict[str, float]:
    """Measure memory bandwidth, bytes read and written, and matrix products, operations a second.

    On random data: products of zeros run faster than any real one.
    """
    number = 2**20 if small else 2**30
    source = torch.randint(0, 100, (number,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = _least(lambda: target.copy_(source), device)
    found = {"bytes_per_second": 2 * number / (copy / 1e3)}
    side = 256 if small else 8192
    for precision, dtype in (
        ("fp32", torch.float32),
        ("tf32", torch.float32),
        ("bf16", torch.bfloat16),
    ):
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        with numerics(precision):
            ms = _least(lambda a=a, b=b: a @ b, device)
        found[f"{precision}_flops"] = 2 * side**3 / (ms / 1e3)
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def _least(take: Any, device: torch.device) -> float:
    for _ in range(3):
        take()
    return min(stretch_ms(take, 5, device) for _ in range(5))


class Roof(TorchDispatchMode):
    """Adds up, operation by operation, the larger of bytes over bandwidth and flops over rate."""

    def __init__(self, bandwidth: float, rate: float) -> None:
        super().__init__()
        self._bandwidth, self._rate = bandwidth, rate
        self.seconds = 0.0
        self.flops = self.bytes = 0
        self.operations = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if str(function).startswith(VIEWS):
            return result
        tensors = [t for t in tree_flatten((args, kwargs, result))[0] if isinstance(t, Tensor)]
        size = sum(t.numel() * t.element_size() for t in tensors)
        count = flop_registry.get(function._overloadpacket)
        flops = count(*args, **(kwargs or {}), out_val=result) if count else 0
        self.operations += 1
        self.bytes += size
        self.flops += flops
        self.seconds += max(size / self._bandwidth, flops / self._rate)
        return result


def pass_roof(
    workload: Workload, device: torch.device, limits: dict[str, float]
) -> dict[str, float]:
    """Return the least time of one forward and backward pass if no operation were fused."""
    model = workload.network(device)
    layout = layout_of(model, device)
    model.to(memory_format=layout)
    inputs, targets = workload.images(device)
    roof = Roof(limits["bytes_per_second"], limits[f"{workload.precision}_flops"])
    with numerics(workload.precision), roof:
        with autocast(workload.precision, device):
            logits = model(inputs.contiguous(memory_format=layout))
        functional.cross_entropy(logits.float(), targets).backward()
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return {
        "pass_ms": 1e3 * roof.seconds,
        "gflop": roof.flops / 1e9,
        "gbytes": roof.bytes / 1e9,
        "operations": roof.operations,
        "weight_bytes": weights,
    }
