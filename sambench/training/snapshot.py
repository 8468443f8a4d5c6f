"""Everything that a run needs to resume exactly where it stopped, saved between steps."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from sambench.optim.sharpness_aware import SharpnessAware
from sambench.training.checkpoint import load_checkpoint, save_checkpoint
from sambench.training.clock import Clock
from sambench.training.state import TrainingState

CHECKPOINT_SECONDS = 60.0
"""Least time between two checkpoints: the most that a killed process loses of a small model."""

LARGEST_SHARE = 0.05
"""Most of the time that may go into checkpoints; those of large models are farther apart."""


class Snapshots:
    """Saves and restores a run: data order and augmentation follow from its counters.

    Args:
        folder: Where checkpoints lie.
        identity: What the run is and what it is trained on; others' checkpoints are passed over.
        model: Its network.
        optimizer: Its optimizer, with base, moments and what the method remembers.
        scheduler: Its learning-rate schedule, if any.
        device: Where it is trained; the device's generator (dropout) is kept too.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        model: nn.Module,
        optimizer: SharpnessAware,
        scheduler: LRScheduler | None,
        device: torch.device,
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._model = model
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._device = device
        self._saved = time.monotonic()
        self._took = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        interval = max(CHECKPOINT_SECONDS, self._took / LARGEST_SHARE)
        return time.monotonic() - self._saved >= interval

    def save(self, state: TrainingState, clock: Clock) -> None:
        """Write a checkpoint.

        Raises:
            StoreError: If the folder cannot be written; the earlier checkpoints are intact then.
        """
        start = time.monotonic()
        on_gpu = self._device.type == "cuda"
        save_checkpoint(
            self._folder,
            {
                "run": self._identity,
                "model": self._model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "scheduler": self._scheduler.state_dict() if self._scheduler else None,
                "state": state.to_dict(),
                "seconds": [clock.train_seconds, clock.evaluation_seconds, clock.overhead_seconds],
                "random": torch.get_rng_state(),
                "random_device": torch.cuda.get_rng_state(self._device) if on_gpu else None,
            },
        )
        self._saved = time.monotonic()
        self._took = self._saved - start

    def restore(self) -> tuple[TrainingState, Clock] | None:
        """Put network, optimizer, schedule and generators back as the last whole checkpoint has it.

        Returns:
            The state and the clock to go on with; None where there is no checkpoint of this run.
        """
        saved: dict[str, Any] | None = load_checkpoint(self._folder)
        if saved is None or saved["run"] != self._identity:
            return None
        self._model.load_state_dict(saved["model"])
        self._optimizer.load_state_dict(saved["optimizer"])
        if self._scheduler is not None:
            self._scheduler.load_state_dict(saved["scheduler"])
        torch.set_rng_state(saved["random"])
        if saved["random_device"] is not None and self._device.type == "cuda":
            torch.cuda.set_rng_state(saved["random_device"], self._device)
        state = TrainingState.from_dict(saved["state"], self._device)
        return state, Clock(self._device, *saved["seconds"])
