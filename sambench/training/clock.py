"""Three clocks, synchronised with the device: training, evaluation, and everything else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Clock:
    """Adds up seconds by activity; what is not training or evaluation is overhead.

    Args:
        device: Waited for at the start and end of each measured stretch.
        train_seconds: Training time of earlier sessions of the same run.
        evaluation_seconds: Their evaluation time.
        overhead_seconds: Their other time.
    """

    def __init__(
        self,
        device: torch.device,
        train_seconds: float = 0.0,
        evaluation_seconds: float = 0.0,
        overhead_seconds: float = 0.0,
    ) -> None:
        self._device = device
        self._trained = train_seconds
        self.evaluation_seconds = evaluation_seconds
        earlier = train_seconds + evaluation_seconds + overhead_seconds
        self._started = time.perf_counter() - earlier
        self._running: float | None = None

    @contextmanager
    def training(self) -> Iterator[None]:
        """Measure a stretch of training."""
        self._running = self._now()
        try:
            yield
        finally:
            self._pause()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave a part out of a stretch of training, as the writing of a checkpoint."""
        training = self._running is not None
        self._pause()
        try:
            yield
        finally:
            self._running = self._now() if training else None

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Measure a stretch of evaluation."""
        start = self._now()
        try:
            yield
        finally:
            self.evaluation_seconds += self._now() - start

    @property
    def train_seconds(self) -> float:
        """Training time so far; within a stretch without waiting for the device."""
        running = 0.0 if self._running is None else time.perf_counter() - self._running
        return self._trained + running

    @property
    def overhead_seconds(self) -> float:
        """All other time: building, loading, warm-up, checkpoints."""
        since = time.perf_counter() - self._started
        return max(0.0, since - self._trained - self.evaluation_seconds)

    def _pause(self) -> None:
        if self._running is not None:
            self._trained += self._now() - self._running
            self._running = None

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
