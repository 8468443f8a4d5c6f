"""The state of a run between steps, besides its model and optimizer."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from sambench.training.events import Epoch


@dataclass(kw_only=True)
class TrainingState:
    """Counters and tallies of a run.

    Attributes:
        epoch: Epochs done.
        step: Steps done in the current epoch.
        steps: Steps done in all.
        images: Images trained on in all.
        gradient_evaluations: Forward and backward passes done.
        history: One entry for each epoch done.
        seen: Images trained on in the current epoch.
        observed: Measures of the perturbation in the step that was last observed.
        rounding: How much of the first observed perturbation the precision's rounding leaves,
            if it rounds.
        compiled: Whether the network runs compiled; a resumed run keeps that.
        loss_sum: Sum of the images' losses in the current epoch, on the device.
        hits: For each training image, whether it was classified right when last seen.
        best: Validation accuracy and negated validation loss of the best epoch so far.
        best_epoch: That epoch.
        best_model: Its weights, on the CPU, where the run selects them.
    """

    loss_sum: Tensor
    hits: Tensor
    epoch: int = 0
    step: int = 0
    steps: int = 0
    images: int = 0
    seen: int = 0
    observed: dict[str, float] | None = None
    rounding: dict[str, float | str] | None = None
    compiled: bool = False
    gradient_evaluations: float = 0.0
    history: list[Epoch] = field(default_factory=list)
    best: tuple[float, float] | None = None
    best_epoch: int = 0
    best_model: dict[str, Tensor] | None = None

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
        return state
