"""The state of a run between steps, besides its model and optimizer.

Sums over the images of an epoch are merged where several replicas each saw a part.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from sambench.training.events import Epoch
from sambench.training.replicas import Replicas


@dataclass(kw_only=True)
class TrainingState:
    """Counters and tallies of a run."""

    loss_sum: Tensor  # of the images' losses in the current epoch, on the device
    hits: Tensor  # (N,) whether each training image was classified right when last seen
    epoch: int = 0  # epochs done; `history` has an entry for each
    step: int = 0  # steps done in the current epoch
    steps: int = 0  # in all
    images: int = 0  # images trained on in all
    seen: int = 0  # in the current epoch
    observed: dict[str, float] | None = None  # the perturbation in the step last observed
    rounding: dict[str, float | str] | None = None  # what it left of the first one, if it rounds
    compiled: bool = False  # whether the network runs compiled; a resumed run keeps that
    gradient_evaluations: float = 0.0  # forward and backward passes done
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
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**plain, "history": [asdict(epoch) for epoch in self.history]}

    @classmethod
    def from_dict(cls, saved: dict[str, Any], device: torch.device) -> TrainingState:
        """Restore what `to_dict` returned, tensors on the device."""
        state = cls(**{**saved, "history": [Epoch(**epoch) for epoch in saved["history"]]})
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
        self._state = state
        self._replicas = replicas
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
