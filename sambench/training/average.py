"""The exponential average of a network's weights, tested in place of the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sambench.training.state import TrainingState

DECAY = 0.999
"""Share of the average that a step keeps, once the run is long; 1,000 steps have a say then."""


@dataclass(eq=False)
class WeightAverage:
    """The average a of a network's weights w over the steps t = 1, 2, ... of a run.

    a <- d a + (1 - d) w, with d = min(0.999, (1 + t) / (10 + t)), so that short runs average over
    some tenth of their steps and the initial weights do not stay in it (the rule of TensorFlow's
    `ExponentialMovingAverage` with `num_updates`). Running statistics of batch norm are averaged
    alike, as timm's `ModelEmaV3` does; what is no floating point number stays the last one.
    """

    model: nn.Module  # on its device
    state: TrainingState  # its `average` is kept up to date; at first it is the weights

    def __post_init__(self) -> None:
        self._live = [t for t in self.model.state_dict().values() if t.is_floating_point()]
        self._average = self.state.average or [tensor.clone() for tensor in self._live]
        self.state.average = self._average

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after a step into the average."""
        t = self.state.steps
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
