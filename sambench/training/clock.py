"""Three clocks, synchronised with the device: training, evaluation, and everything else.

They stand still while the process is stopped, as by Ctrl-Z or Slurm's suspension.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import InitVar, dataclass
from types import FrameType

import torch


@dataclass(eq=False)
class Clock:
    """Adds up seconds by activity; what is not training or evaluation is overhead."""

    device: torch.device  # waited for at the start and end of each measured stretch
    trained: float = 0.0  # seconds up to the last pause, in earlier sessions of the run at first
    evaluation_seconds: float = 0.0  # likewise
    overhead: InitVar[float] = 0.0  # of earlier sessions

    def __post_init__(self, overhead: float) -> None:
        self._started = awake_time.begin() - (self.trained + self.evaluation_seconds + overhead)
        self._running: float | None = None

    @contextmanager
    def training(self) -> Iterator[None]:
        """Measure a stretch of training."""
        self._running = synchronised_time(self.device)
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
            self._running = synchronised_time(self.device) if training else None

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Measure a stretch of evaluation."""
        start = synchronised_time(self.device)
        try:
            yield
        finally:
            self.evaluation_seconds += synchronised_time(self.device) - start

    @property
    def train_seconds(self) -> float:
        """Training time so far; within a stretch without waiting for the device."""
        running = 0.0 if self._running is None else awake_time() - self._running
        return self.trained + running

    @property
    def overhead_seconds(self) -> float:
        """All other time: building, loading, warm-up, checkpoints."""
        return max(0.0, awake_time() - self._started - self.trained - self.evaluation_seconds)

    def _pause(self) -> None:
        if self._running is not None:
            self.trained += synchronised_time(self.device) - self._running
            self._running = None


def synchronised_time(device: torch.device) -> float:
    """Return the seconds of a clock once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return awake_time()


class AwakeTime:
    """Seconds of a clock that leaves out how long this process was stopped.

    What passed between its last reading and the stop is left out too: a training step at most.
    """

    def __init__(self) -> None:
        self._latest = self._stopped = 0.0

    def __call__(self) -> float:
        """Read it."""
        self._latest = time.perf_counter()
        return self._latest - self._stopped

    def begin(self) -> float:
        """Read it, and have the system tell it from now on when the process goes on."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCONT, self._continue)
        return self()

    def _continue(self, number: int, frame: FrameType | None) -> None:
        before, self._latest = self._latest, time.perf_counter()
        self._stopped += self._latest - before


awake_time = AwakeTime()
