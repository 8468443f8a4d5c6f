"""Buffers that stand in for a model's own while a pass must leave no trace on them."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor, nn

WRITERS = {nn.BatchNorm2d.forward, nn.SyncBatchNorm.forward, nn.InstanceNorm2d.forward}
"""Torch's own normalisation: while training it writes to its buffers and never reads them."""


class SpareBuffers:
    """Stand-ins for the buffers of some modules, one for each buffer however many modules share it.

    Swapping them in is a matter of pointers. What torch's own normalisation leaves in them is never
    read, so it may be anything; for all other modules they are filled with copies first.

    Args:
        modules: Those with buffers, in training mode.
        before: The stand-ins of an earlier step; those that still fit are used again, so that their
            addresses stay and no memory is asked for.
    """

    def __init__(self, modules: Sequence[nn.Module], before: SpareBuffers | None = None) -> None:
        self._modules = list(modules)
        self._places, self._own = _buffers(modules)
        kept = {} if before is None else dict(zip(before._places, before._spares, strict=True))
        standing_in: dict[int, Tensor] = {}
        self._spares: list[Tensor] = []
        for place, buffer in zip(self._places, self._own, strict=True):
            spare = standing_in.get(id(buffer), kept.get(place))
            if spare is None or not _alike(spare, buffer):
                spare = torch.zeros_like(buffer)
            standing_in[id(buffer)] = spare
            self._spares.append(spare)

    def fits(self, modules: Sequence[nn.Module]) -> bool:
        """Whether these modules have the buffers that the stand-ins were made for."""
        if len(modules) != len(self._modules) or not all(map(operator.is_, modules, self._modules)):
            return False
        _, own = _buffers(modules)
        return len(own) == len(self._own) and all(map(operator.is_, own, self._own))

    def refresh(self) -> None:
        """Give the modules that may read their buffers copies of what is in their own."""
        readers = {module for module in self._modules if not _only_writes(module)}
        if not readers:
            return
        filled = [number for number, (module, _) in enumerate(self._places) if module in readers]
        _copy([self._spares[n] for n in filled], [self._own[n] for n in filled])

    def put_in(self) -> None:
        """Have the modules use the stand-ins."""
        for (module, name), spare in zip(self._places, self._spares, strict=True):
            module._buffers[name] = spare

    def put_back(self) -> None:
        """Have the modules use their own buffers again."""
        for (module, name), buffer in zip(self._places, self._own, strict=True):
            module._buffers[name] = buffer


def _buffers(modules: Sequence[nn.Module]) -> tuple[list[tuple[nn.Module, str]], list[Tensor]]:
    """Return where the buffers of modules are, and the buffers."""
    places, found = [], []
    for module in modules:
        for name, buffer in module._buffers.items():
            if buffer is not None:
                places.append((module, name))
                found.append(buffer)
    return places, found


def _only_writes(module: nn.Module) -> bool:
    """Whether a module in training mode does not read its buffers: torch's own normalisation."""
    hooked = module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)
    return type(module).forward in WRITERS and not hooked


def _alike(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)


def _copy(targets: list[Tensor], sources: list[Tensor]) -> None:
    """Copy lists of tensors, one multi-tensor operation for each kind of number."""
    for dtype in {target.dtype for target in targets}:
        pairs = [(t, s) for t, s in zip(targets, sources, strict=True) if t.dtype == dtype]
        torch._foreach_copy_([t for t, _ in pairs], [s for _, s in pairs])
