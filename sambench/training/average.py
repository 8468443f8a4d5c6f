"""The exponential average of a network's weights, tested in place of the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sambench.training.state import TrainingState

DECAY = 0.999
"""Share of the average that a step keeps, once the run is long; 1,000 steps have a say then."""


class WeightAverage:
    """The average a of a network's weights w over the steps t = 1, 2, ... of a run.

    a <- d a + (1 - d) w, with d = min(0.999, (1 + t) / (10 + t)), so that short runs average over
    some tenth of their steps and the initial weights do not stay in it (the rule of TensorFlow's
    `ExponentialMovingAverage` with `num_updates`). Running statistics of batch norm are averaged
    alike, as timm's `ModelEmaV3` does.

    Args:
        model: On its device; tensors that are no floating point numbers stay the last ones.
        state: Of the run, whose `average` is kept up to date; a fresh one's begins with the
            weights.
    """

    def __init__(self, model: nn.Module, state: TrainingState) -> None:
        self._live = [t for t in model.state_dict().values() if t.is_floating_point()]
        self._state = state
        self._average = state.average or [tensor.clone() for tensor in self._live]
        state.average = self._average

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after a step into the average."""
        t = self._state.steps
        torch._foreach_lerp_(self._average, self._live, 1 - min(DECAY, (1 + t) / (10 + t)))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the network compute with the average, and put its own weights back afterwards."""
        own = [tensor.clone() for tensor in self._live]
        self._write(self._average)
        try:
            yield
        finally:
            self._write(own)

    def stay(self) -> None:
        """Leave the average in the network."""
        self._write(self._average)

    @torch.no_grad()
    def _write(self, values: list[Tensor]) -> None:
        torch._foreach_copy_(self._live, values)
