"""The state of a run between steps, besides its model and optimizer; an average of its weights.

Sums over the images of an epoch are merged where several replicas each saw a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from sambench.training.events import Epoch
from sambench.training.replicas import Replicas

DECAY = 0.999
"""Share of the average that a step keeps, once the run is long; 1,000 steps have a say then."""


@dataclass(kw_only=True)
class TrainingState:
    """Counters and tallies of a run."""

    loss_sum: Tensor  # of the images' losses in the current epoch, on the device
    hits: Tensor  # (N,) whether each training image was classified right when last seen
    epoch: int = 0  # epochs done; `history` has an entry for each
    step: int = 0  # steps done in the current epoch
    steps: int = 0  # in all
    skipped: int = 0  # of these, steps left out as not finite
    skipped_before: int = 0  # of those, before the current epoch
    images: int = 0  # images trained on in all
    seen: int = 0  # in the current epoch
    rate: float = 0.0  # learning rate of the last step
    observed: dict[str, float] | None = None  # the perturbation in the step last observed
    observed_in: int = 0  # the epoch of that step, counted from 1
    rounding: dict[str, float | str] | None = None  # what it left of the first one, if it rounds
    compiled: bool = False  # whether the network runs compiled; a resumed run keeps that
    gradient_evaluations: Fraction = Fraction(0)  # forward and backward passes done, exactly
    history: list[Epoch] = field(default_factory=list)
    best: tuple[float, float] | None = None  # accuracy and -loss on validation, best so far
    best_epoch: int = 0  # that epoch
    best_model: dict[str, Tensor] | None = None  # its weights, on the CPU, where they are selected
    average: list[Tensor] | None = None  # of the weights, where the run averages them

    @classmethod
    def fresh(cls, train_images: int, device: torch.device) -> TrainingState:
        """Return the state before the first step."""
        return cls(
            loss_sum=torch.zeros((), dtype=torch.float64, device=device),
            hits=torch.zeros(train_images, dtype=torch.bool, device=device),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return tensors and plain values for a checkpoint."""
        history = [asdict(epoch) for epoch in self.history]
        passes = str(self.gradient_evaluations)
        return {**vars(self), "history": history, "gradient_evaluations": passes}

    @classmethod
    def from_dict(cls, saved: dict[str, Any], device: torch.device) -> TrainingState:
        """Restore what `to_dict` returned, tensors on the device."""
        state = cls(**{**saved, "history": [Epoch(**epoch) for epoch in saved["history"]]})
        state.gradient_evaluations = Fraction(state.gradient_evaluations)
        state.loss_sum, state.hits = state.loss_sum.to(device), state.hits.to(device)
        state.average = state.average and [tensor.to(device) for tensor in state.average]
        return state


def note_hits(hits: Tensor, places: Tensor, right: Tensor) -> None:
    """Write whether each image of a batch was classified right, without waiting for the device.

    The hits of all training images are changed in place, at the batch's places, shape (B,). The
    deterministic way of writing by index reads the indices in Python first. An image is twice in a
    batch only where they are drawn with replacement; either answer counts for it then.
    """
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        hits[places] = right
    finally:
        torch.set_deterministic_debug_mode(before)


class Tallies:
    """The summed loss and the hits of a state; the first replica keeps the merged sum."""

    def __init__(self, state: TrainingState, replicas: Replicas) -> None:
        self._state, self._replicas = state, replicas
        self._before = state.hits.clone()
        self.keep_on_first()

    def merge(self) -> None:
        """Give every replica the sums over all; each image is seen by one replica in an epoch."""
        if self._replicas.alone:
            return
        state = self._state
        self._replicas.sum_(state.loss_sum)
        changed = self._replicas.sum_(state.hits.int() - self._before.int())
        state.hits.copy_((self._before.int() + changed).bool())
        self._before = state.hits.clone()

    def keep_on_first(self) -> None:
        """Leave the sum with the first replica, so that the next merge counts it once."""
        if self._replicas.rank:
            self._state.loss_sum.zero_()


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
