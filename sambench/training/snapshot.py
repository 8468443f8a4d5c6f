"""Everything that a run needs to resume exactly where it stopped, saved between steps.

On disk it is plain tensors, numbers and strings, checksummed; the last two are kept.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from sambench.files.atomic import write_bytes
from sambench.files.checksums import read_whole
from sambench.optim.sharpness_aware import SharpnessAware
from sambench.training.clock import Clock
from sambench.training.state import TrainingState

NAME = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
FORMAT_VERSION = 1

CHECKPOINT_SECONDS = 60.0
"""Least time between two checkpoints: the most that a killed process loses of a small model."""

LARGEST_SHARE = 0.05
"""Most of the time that may go into checkpoints; those of large models are farther apart."""


@dataclass(eq=False)
class Snapshots:
    """Saves and restores a run: data order and augmentation follow from its counters."""

    folder: Path  # where checkpoints lie
    identity: str  # of the run and what it is trained on; others' checkpoints are passed over
    model: nn.Module
    optimizer: SharpnessAware  # with base, moments and what the method remembers
    scheduler: LRScheduler | None
    device: torch.device  # where it is trained; its generator (dropout) is kept too

    def __post_init__(self) -> None:
        self._saved, self._took = time.monotonic(), 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self._saved >= max(CHECKPOINT_SECONDS, self._took / LARGEST_SHARE)

    def save(self, state: TrainingState, clock: Clock) -> None:
        """Write a checkpoint, as `save_checkpoint` does."""
        start = time.monotonic()
        on_gpu = self.device.type == "cuda"
        present = {
            "run": self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "state": state.to_dict(),
            "seconds": [clock.train_seconds, clock.evaluation_seconds, clock.overhead_seconds],
            "random": torch.get_rng_state(),
            "random_device": torch.cuda.get_rng_state(self.device) if on_gpu else None,
        }
        save_checkpoint(self.folder, present)
        self._saved = time.monotonic()
        self._took = self._saved - start

    def restore(self) -> tuple[TrainingState, Clock] | None:
        """Put network, optimizer, schedule and generators back as the last whole checkpoint has it.

        Returns the state and the clock to go on with; None without a checkpoint of this run.
        """
        saved: dict[str, Any] | None = load_checkpoint(self.folder)
        if saved is None or saved.get("run") != self.identity:
            return None
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(saved["scheduler"])
        torch.set_rng_state(saved["random"])
        if saved["random_device"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(saved["random_device"], self.device)
        state = TrainingState.from_dict(saved["state"], self.device)
        return state, Clock(self.device, *saved["seconds"])


def align_moments(optimizer: SharpnessAware) -> None:
    """Give moments and stored vectors the memory layout of their weights, not of another device."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                state[name] = _like(value, parameter)
    for vector in optimizer.method.memory.values():
        pairs = zip(vector.tensors, optimizer.trainable, strict=True)
        vector.tensors[:] = [_like(tensor, parameter) for tensor, parameter in pairs]


def _like(tensor: Tensor, parameter: Tensor) -> Tensor:
    if tensor.shape != parameter.shape or tensor.stride() == parameter.stride():
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write the latest checkpoint and keep the one before; a disk that refuses is a StoreError."""
    buffer = io.BytesIO()
    torch.save({"format_version": FORMAT_VERSION, **state}, buffer)
    latest, previous = folder / NAME, folder / PREVIOUS
    if _digest(latest).exists():  # it is written last, so the latest is whole
        if latest.exists():
            latest.replace(previous)
        _digest(latest).replace(_digest(previous))
    with buffer.getbuffer() as data:  # up to Python 3.12.1 one left in an error's frames is fatal
        write_bytes(latest, data)
        write_bytes(_digest(latest), hashlib.sha256(data).hexdigest().encode())


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the latest whole state of this format version, or None; others are passed over."""
    paths = [path for name in (NAME, PREVIOUS) if (path := folder / name).exists()]
    # a crash between two renames can leave a file's digest under the other name
    digests = [d.read_bytes() for n in (NAME, PREVIOUS) if (d := _digest(folder / n)).exists()]
    for path in paths:
        data = read_whole(path)
        if hashlib.sha256(data).hexdigest().encode() not in digests:
            continue
        with suppress(pickle.UnpicklingError, RuntimeError):  # of objects that could run code, cut
            state: Any = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
            if isinstance(state, dict) and state.pop("format_version", None) == FORMAT_VERSION:
                return state
    return None


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints: the run is complete."""
    for name in (NAME, PREVIOUS):
        (folder / name).unlink(missing_ok=True)
        _digest(folder / name).unlink(missing_ok=True)


def _digest(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
