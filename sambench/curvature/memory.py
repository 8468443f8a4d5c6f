"""How much memory may be kept for speed, and how much a graph holds on to."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path

import torch
from torch import Tensor

from sambench.curvature.vectors import SymmetricOperator

CUDA_SHARE = 0.5  # of the free device memory; a single batch in flight needs the rest
HOST_SHARE = 0.25  # of the available host memory, which other processes share
UNKNOWN_HOST_BYTES = 4 << 30

_processes: ContextVar[int] = ContextVar("processes that measure at once", default=1)


def share_memory(processes: int) -> None:
    """Give this process its part of the spare memory only, where so many measure at once."""
    _processes.set(processes)


def spare_bytes(device: torch.device) -> int:
    """Return the bytes on `device` that may be filled with what is only kept for speed."""
    return _spare_bytes(device) // _processes.get()


def _spare_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(CUDA_SHARE * (free + cached))
    return int(HOST_SHARE * _available_host_bytes())


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


class SavedBytes:
    """Counts the bytes that autograd saves for a graph, each storage once.

    Args:
        owned: Tensors that live anyway, such as the weights, and are not counted.
    """

    def __init__(self, owned: Iterable[Tensor]) -> None:
        self._owned = {tensor.untyped_storage().data_ptr() for tensor in owned}
        self._storages: dict[int, int] = {}

    def __enter__(self) -> SavedBytes:
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._record, lambda tensor: tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._hooks.__exit__(*exception)

    @property
    def total(self) -> int:
        """The bytes saved so far."""
        return sum(self._storages.values())

    def _record(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._owned:
            self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself may own the graph: a cycle that is never freed
