"""Flat vectors: the operator protocol, inner products, random draws, and how many may be kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

Named = Mapping[str, Tensor]

Progress = Callable[[int, int], None]
"""Called with what is done and the most there can be, in the units of the caller's docstring."""

Stop = Callable[[], bool]
"""Asked after each step whether the time is up; what was found so far is returned then."""

EndedBy = Literal["tolerance", "max_matvecs", "minutes", "memory", "rounding"]
"""Why an algorithm ended: the accuracy was reached, or the products, the time or the room for
Lanczos vectors ran out before, or nothing but rounding is left to gain."""

CHUNK = 1 << 20  # 8 MiB in float64: memory that the allocator has at hand, where more is fresh
EIGENVALUE_STREAM, TRACE_STREAM, CHECK_STREAM = 0, 1, 5
ROUNDING = 100.0  # times the unit round-off: what a product is off at least, beside the norm
CUDA_SHARE = 0.5  # of the free device memory; a single batch in flight needs the rest
HOST_SHARE = 0.25  # of the available host memory, which other processes share
UNKNOWN_HOST_BYTES = 4 << 30

_processes: ContextVar[int] = ContextVar("processes that measure at once", default=1)


class SymmetricOperator(Protocol):
    """A symmetric matrix known by its products; what every algorithm of this package takes."""

    matvecs: int
    """How many products with one vector have been made."""

    @property
    def size(self) -> int:
        """The number of rows."""

    @property
    def device(self) -> torch.device:
        """Where its vectors are."""

    @property
    def dtype(self) -> torch.dtype:
        """Their type."""

    def matvec(self, vector: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the product with a vector of shape (size,), written to `out` or a fresh tensor."""

    def matmat(self, vectors: Tensor) -> Tensor:
        """Return the products with the columns of a matrix of shape (size, k)."""


def rounding_of(H: SymmetricOperator) -> float:
    """Return how far rounding takes a product, beside the norm: `product_error` if H knows it."""
    return max(ROUNDING * torch.finfo(H.dtype).eps, getattr(H, "product_error", 0.0))


def dot(left: Tensor, right: Tensor) -> float:
    """Return the inner product, accumulated in float64, of which no whole copy is ever held."""
    chunks = zip(torch.split(left, CHUNK), torch.split(right, CHUNK), strict=True)
    return float(torch.stack([torch.dot(a.double(), b.double()) for a, b in chunks]).sum())


def norm(vector: Tensor) -> float:
    """Return the Euclidean norm, accumulated in float64, also where squares leave its range."""
    square = dot(vector, vector)
    if 1e-280 < square < math.inf:  # of a smaller sum digits are lost
        return math.sqrt(square)
    scale = float(torch.linalg.vector_norm(vector, math.inf)) or 1.0
    return scale * math.sqrt(dot(vector / scale, vector / scale))


def flattened(tensors: Iterable[Tensor]) -> Tensor:
    """Return tensors, one after the other, as one detached vector."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def parts_of(vector: Tensor, like: Named) -> dict[str, Tensor]:
    """Return the parts of a vector by name, as views of it in the shapes of other tensors."""
    parts = torch.split(vector, [tensor.numel() for tensor in like.values()])
    return {name: part.view_as(like[name]) for name, part in zip(like, parts, strict=True)}


def generator(device: torch.device, seed: int, stream: int) -> torch.Generator:
    """Return an own generator; streams of one seed are independent of each other."""
    state = np.random.SeedSequence((seed, stream)).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state >> np.uint64(1)))


def gaussian(like: Tensor | SymmetricOperator, source: torch.Generator) -> Tensor:
    """Draw a standard normal tensor, or vector of an operator: its direction is uniform."""
    shape = like.shape if isinstance(like, Tensor) else (like.size,)
    return torch.randn(shape, generator=source, device=like.device, dtype=like.dtype)


def rademacher(H: SymmetricOperator, source: torch.Generator, count: int) -> Tensor:
    """Draw `count` vectors of independent fair signs, as rows."""
    bits = torch.randint(2, (count, H.size), generator=source, device=H.device, dtype=torch.int8)
    return bits.to(H.dtype).mul_(2).sub_(1)


def share_memory(processes: int) -> None:
    """Give this process its part of the spare memory only, where so many measure at once."""
    _processes.set(processes)


def spare_bytes(device: torch.device) -> int:
    """Return the bytes on `device` that may be filled with what is only kept for speed."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(CUDA_SHARE * (free + cached)) // _processes.get()
    return int(HOST_SHARE * _available_host_bytes()) // _processes.get()


def vectors_that_fit(H: SymmetricOperator) -> int:
    """Return how many more vectors of an operator may be kept."""
    return spare_bytes(H.device) // (H.size * H.dtype.itemsize)


def _available_host_bytes() -> int:
    """Return `MemAvailable` of Linux, or a modest constant where there is no such account."""
    account = Path("/proc/meminfo")
    if not account.exists():
        return UNKNOWN_HOST_BYTES
    fields = dict(line.split(":", 1) for line in account.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024
