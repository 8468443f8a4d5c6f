"""Count what torch is asked to do: operations, launches, bytes moved, bytes alive, host waits.

None of these depends on the machine or its load, so tests can hold them to a number.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CHUNK = 65536
"""Elements that one block of a multi-tensor kernel takes."""

TENSORS_PER_LAUNCH, CHUNKS_PER_LAUNCH = (770, 448, 336, 252, 210), 2240
"""Most tensors, by the number of tensor lists, and chunks of one multi-tensor launch: those of
torch built for CUDA 13 (`MultiTensorApply.cuh`); for CUDA 12 (110, 64, 48, 36, 30) and 320."""

WAITS = ("_local_scalar_dense", "aten.equal.", "is_nonzero", "aten.nonzero", "aten.item")
"""Operations that make the host wait for the device."""

BLIND = ("copy_", "zero_", "fill_", "normal_", "uniform_", "random_")
"""In-place operations that do not read what they overwrite."""

NOTHING = ("profiler.", "aten.empty", "aten.promote_types", "prim.")
"""What touches no memory: bookkeeping, and memory asked for but not filled."""


@dataclass(frozen=True)
class Operation:
    """One dispatched operation.

    Attributes:
        name: Its overload, such as `aten._foreach_mul_.Tensor`.
        launches: Kernels a GPU is predicted to run for it.
        read: Bytes; a tensor that it takes twice is read once.
        written: Bytes.
    """

    name: str
    launches: int
    read: int
    written: int


class Meter(TorchDispatchMode):
    """Notes the operations dispatched while it is active, and the memory their results hold.

    Views are left out: they launch nothing and move nothing.

    Attributes:
        operations: In order.
        peak: Most bytes alive at a time of tensors made since it became active.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.peak = 0
        self._alive: dict[int, int] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        result = function(*args, **given)
        if not _is_view(function) and not str(function).startswith(NOTHING):
            self.operations.append(_operation(function, args, given, result))
        self._follow(result)
        return result

    @property
    def launches(self) -> int:
        """Kernels that a GPU is predicted to run."""
        return sum(operation.launches for operation in self.operations)

    @property
    def traffic(self) -> int:
        """Bytes read and written."""
        return sum(operation.read + operation.written for operation in self.operations)

    @property
    def waits(self) -> list[str]:
        """Operations that make the host wait for the device."""
        return [o.name for o in self.operations if any(wait in o.name for wait in WAITS)]

    def _follow(self, result: Any) -> None:
        """Count the memory of new tensors until it is given back."""
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._alive:
                self._alive[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self._alive.pop, storage._cdata, None)
        self.peak = max(self.peak, sum(self._alive.values()))


def multi_tensor_launches(sizes: Sequence[int], lists: int) -> int:
    """Return how many kernels torch launches for a multi-tensor operation.

    A launch is sent when it has as many tensors, or as many chunks, as it may; a tensor whose
    chunks did not all fit goes on in the next.

    Args:
        sizes: Elements of each tensor of a list.
        lists: Tensor lists that it goes over together, 1 to 5.
    """
    launches = tensors = chunks = 0
    for size in filter(None, sizes):
        tensors += 1
        left = -(-size // CHUNK)
        while left > 0:
            taken = min(left, CHUNKS_PER_LAUNCH - chunks)
            left, chunks = left - taken, chunks + taken
            full = tensors == TENSORS_PER_LAUNCH[lists - 1] and left == 0
            if full or chunks == CHUNKS_PER_LAUNCH:
                launches, tensors, chunks = launches + 1, int(left > 0), 0
    return launches + (chunks > 0)


def _operation(function: Any, args: Any, kwargs: Any, result: Any) -> Operation:
    name = str(function)
    schema = function._schema
    values = dict(zip((a.name for a in schema.arguments), args, strict=False)) | kwargs
    changed = [a.name for a in schema.arguments if a.alias_info and a.alias_info.is_write]
    base = name.split(".")[1]
    blind = base.endswith(BLIND) or name.endswith(".out")
    unread = changed if blind else []
    read = {
        _place(tensor): _bytes(tensor)
        for key, value in values.items()
        if key not in unread
        for tensor in _tensors(value)
    }
    written = [t for key in changed for t in _tensors(values.get(key))]
    if not changed:
        written = list(_tensors(result))
    if base.startswith(("_foreach", "_fused")):
        launches = _foreach_launches(base, values, 0 if changed else 1)
    else:
        launches = 1
    return Operation(name, launches, sum(read.values()), sum(map(_bytes, written)))


def _foreach_launches(base: str, values: dict[str, Any], outputs: int) -> int:
    lists = [v for v in values.values() if isinstance(v, list | tuple) and v]
    lists = [v for v in lists if isinstance(v[0], Tensor) and v[0].dim() + v[0].numel() > 0]
    sizes = [tensor.numel() for tensor in lists[0]]
    if base == "_foreach_norm":  # zeros for the parts, the parts, their sums
        return 2 + multi_tensor_launches(sizes, 1)
    full = [v for v in lists if [tensor.numel() for tensor in v] == sizes]
    return multi_tensor_launches(sizes, min(5, len(full) + outputs))


def _is_view(function: Any) -> bool:
    returns = function._schema.returns
    return bool(returns) and all(r.alias_info and not r.alias_info.is_write for r in returns)


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _place(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.untyped_storage()._cdata, tensor.storage_offset(), tensor.shape, tensor.stride()


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
