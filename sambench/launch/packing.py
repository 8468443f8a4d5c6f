"""How many runs are packed on a GPU at once: as many as its memory holds and others leave it time.

A small network at a small batch leaves a GPU waiting for its launches; several runs, each in a
process of its own, fill the gaps. What a run takes is known from finished runs like it, so that a
launch of something new begins with one run on each device and packs more once that is over.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sambench.config.run_config import RunConfig
from sambench.launch.manifest import Manifest
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.tree import Store

if TYPE_CHECKING:
    import torch

CONTEXT_BYTES = 600 * 1024**2
"""What a process holds on a GPU beside its tensors: the CUDA context and its libraries."""

MARGIN = 1.5
"""Over the most that a like run had allocated: the allocator holds more than is in use, and other
optimizers keep further copies of the weights."""

SHARE = 0.9
"""Of the free memory, what is given out."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a device has left.

    Attributes:
        free: Bytes of memory that nobody holds.
        utilisation: Share of the time in which somebody computes on it; None where not known.
    """

    free: int
    utilisation: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def runs_that_fit(room: Room, peak: int, cores: int) -> int:
    """Return how many runs a device holds at once: at least 1, at most a run for each core.

    Args:
        room: What the device has left while a single idle worker is on it.
        peak: The most bytes that a run had allocated.
        cores: Of the machine, for this device's workers.
    """
    each = MARGIN * peak + CONTEXT_BYTES
    idle = 1.0 - (room.utilisation or 0.0)
    return max(1, min(int(idle * SHARE * room.free / each), cores))


def room_on(device: torch.device) -> Room | None:
    """Return what a GPU has left beside this process's idle worker; None for other devices."""
    if device.type != "cuda":
        return None
    import torch

    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    return Room(free=free, utilisation=_utilisation(device))


def _utilisation(device: torch.device) -> float | None:
    """Ask the driver, where nvidia-ml-py is there; by UUID, since devices may be renumbered."""
    with suppress(ImportError):
        import pynvml
        import torch

        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            uuid = torch.cuda.get_device_properties(device).uuid
            handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    return None


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


class Packing:
    """Tells how many runs of a manifest go on a device, as soon as that is known.

    Args:
        manifest: The runs.
        devices: How many devices share the cores.
    """

    def __init__(self, manifest: Manifest, devices: int) -> None:
        self._manifest = manifest
        self._cores = max(1, cores() // devices)
        self._store = Store(manifest.results)
        self._kinds = {_kind(config) for config in manifest.configs}
        self._peaks: dict[Hashable, int] | None = None
        self._utilisation: dict[str, float | None] = {}

    def runs_on(self, device: str, room: Room | None) -> int | None:
        """Return how many runs a device holds; None while no run like each of ours is finished.

        Args:
            device: Its name. How busy others keep it is taken from the first time it is asked
                about, before a run of ours is on it.
            room: What it has left; None where that is not told, as on the CPU, which has one run
                at a time.
        """
        if room is None:
            return 1
        others = self._utilisation.setdefault(device, room.utilisation)
        peak = self._peak()
        if peak is None:
            return None
        return runs_that_fit(Room(free=room.free, utilisation=others), peak, self._cores)

    def _peak(self) -> int | None:
        """Return the most memory that a run like any of ours took, once each kind has one."""
        if self._peaks is None:
            self._peaks = {}
            self._learn(self._store.records()[0])
        elif self._kinds - self._peaks.keys():
            self._learn(self._store.records(c.name for c in self._manifest.configs)[0])
        if self._kinds - self._peaks.keys():
            return None
        return max(self._peaks[kind] for kind in self._kinds)

    def _learn(self, records: list[RunRecord]) -> None:
        assert self._peaks is not None
        for record in records:
            kind, peak = _kind(record.config), _peak_on_gpu(record)
            if kind in self._kinds and peak is not None:
                self._peaks[kind] = max(peak, self._peaks.get(kind, 0))


def _kind(config: RunConfig) -> Hashable:
    """Return what a run's memory depends on, but for the optimizer: see `MARGIN`."""
    return (config.dataset, config.image_size, config.model, config.batch_size, config.precision)


def _peak_on_gpu(record: RunRecord) -> int | None:
    """Return the most bytes that a finished run had allocated; None if it was on another device."""
    if record.status != COMPLETED or not (record.environment or {}).get("gpu"):
        return None
    peak = (record.cost or {}).get("peak_memory_bytes")
    return int(peak) if peak else None
