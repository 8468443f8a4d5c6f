"""The arithmetic of forward and backward passes, by name, and what it leaves of a perturbation.

A pass in bfloat16 or TensorFloat-32 sees round(w + e), not w + e: with 8 or 11 bits of precision
most weights do not change at all, and those that do jump by a whole unit in the last place. What
the pass sees is d = round(w + e) - round(w); its projection on e is right on average, the rest is
noise. Sharpness and curvature are therefore measured in float32, whatever a run trains in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sambench.optim.sharpness_aware import SharpnessAware
from sambench.optim.vector import Vector


@contextmanager
def numerics(precision: str) -> Iterator[None]:
    """Allow TensorFloat-32 for "tf32" and "bf16", forbid it for "fp32"; put back what was set.

    torch allows it in convolutions by default, which would make "fp32" a lie on a GPU.
    """
    older: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    kinds = [older[1], getattr(older[0], "conv", None), getattr(older[0], "rnn", None)]
    newer = [kind for kind in kinds if hasattr(kind, "fp32_precision")]  # from torch 2.9 on
    with ExitStack() as stack:
        for kind in newer:
            stack.callback(setattr, kind, "fp32_precision", kind.fp32_precision)
        for backend in older:
            with suppress(RuntimeError):  # torch reads none where somebody has set a newer one
                stack.callback(setattr, backend, "allow_tf32", backend.allow_tf32)
                backend.allow_tf32 = precision != "fp32"
        for kind in newer:
            kind.fp32_precision = "ieee" if precision == "fp32" else "tf32"
        yield


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context of one forward pass: bfloat16 autocast for "bf16", else none.

    A new one is needed for each pass: within one, autocast would not see perturbed weights.
    """
    if precision != "bf16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


@dataclass(eq=False)
class RoundingWatch:
    """Looks at the weights in each pass of a step."""

    optimizer: SharpnessAware  # between two steps: its weights are the w of the next one
    precision: str  # one that `rounds` the weights

    def __post_init__(self) -> None:
        self._parameters = [p for p in self.optimizer.trainable if p.dim() > 1]
        self._before = [parameter.data for parameter in self._parameters]
        self._found: Tensor | None = None

    def look(self) -> None:
        """See the weights of a pass; of several that are perturbed the last counts."""
        now = [parameter.data for parameter in self._parameters]
        if any(a.data_ptr() != b.data_ptr() for a, b in zip(now, self._before, strict=True)):
            with torch.no_grad():
                self._found = _compare(self._before, now, self.precision)

    @property
    def rounding(self) -> dict[str, float | str] | None:
        """What is left of a perturbation e, the d; None where no pass was perturbed or rounds.

        Over the tensors of two or more dimensions (biases and normalisation layers are not
        rounded), as in `sambench.store.sections.training.Rounding`. Waits for the device.
        """
        if self._found is None:
            return None
        names = ("changed", "cosine", "norm_ratio")
        return {"precision": self.precision, **dict(zip(names, self._found.tolist(), strict=True))}


def _compare(before: Sequence[Tensor], after: Sequence[Tensor], precision: str) -> Tensor:
    """Return the share of weights that change, cos(d, e) and |d| / |e|."""
    weights = list(zip(before, after, strict=True))
    e = Vector(b - a for a, b in weights)
    d = Vector(rounded(b, precision) - rounded(a, precision) for a, b in weights)
    changed = torch.stack([(tensor != 0).sum() for tensor in d.tensors]).sum()
    total = sum(tensor.numel() for tensor in d.tensors)
    pairs = zip(d.tensors, e.tensors, strict=True)
    inner = torch.stack([(a * b).sum(dtype=torch.float64) for a, b in pairs])
    norm_d, norm_e = d.norm().double(), e.norm().double()
    tiny = torch.finfo(torch.float32).tiny
    cosine = inner.sum() / (norm_d * norm_e).clamp(min=tiny)
    return torch.stack([changed.double() / total, cosine, norm_d / norm_e.clamp(min=tiny)])


def rounded(tensor: Tensor, precision: str) -> Tensor:
    """Round float32 as the units do: "bf16" has 7 bits of mantissa, "tf32" 10.

    Ties go to even in bfloat16, away from zero in TensorFloat-32. There the sum carries into the
    exponent where the mantissa overflows, as rounding must.
    """
    if precision == "bf16":
        return tensor.to(torch.bfloat16).float()
    bits = tensor.float().contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def rounds(precision: str, device: torch.device) -> bool:
    """Whether passes in a precision round the weights; few GPUs before 2020 have TensorFloat-32."""
    if precision != "tf32" or device.type != "cuda":
        return precision == "bf16"
    return not torch.version.hip and torch.cuda.get_device_capability(device) >= (8, 0)
