"""A graph for the CPU: a tape of the operations that ran, on the memory that they ran on.

It freezes what a CUDA graph freezes: addresses, Python numbers, the order of operations; and it
refuses what a capture refuses: reading a number from the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

Work = Callable[[], object]
FORBIDDEN = ("aten._local_scalar_dense", "aten.nonzero", "aten.is_nonzero")


def frozen(tensor: Tensor) -> Tensor:
    """Return the same memory under another tensor, whose address nobody changes."""
    return tensor.detach()


class Recorder(TorchDispatchMode):
    """Notes every operation with its arguments and results."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[Any, Any, Any, list[Any]]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if str(function).startswith(FORBIDDEN):
            raise RuntimeError("operation not permitted when stream is capturing")
        given = tree_map_only(Tensor, frozen, (args, kwargs or {}))
        result = function(*args, **(kwargs or {}))
        kept = [frozen(r) if isinstance(r, Tensor) else r for r in tree_flatten(result)[0]]
        self.notes.append((function, *given, kept))
        return result


class Tape:
    """A `Graph`. Recording does the work, as a capture would not."""

    def __init__(self) -> None:
        self.notes: list[tuple[Any, Any, Any, list[Any]]] = []
        self.replays = 0

    def warm_up(self, work: Work) -> None:
        work()

    def record(self, work: Work) -> None:
        with Recorder() as recorder:
            work()
        self.notes = recorder.notes

    def replay(self) -> None:
        self.replays += 1
        with torch.no_grad():
            for function, args, kwargs, kept in self.notes:
                again = tree_flatten(function(*args, **kwargs))[0]
                for old, new in zip(kept, again, strict=True):
                    if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)
