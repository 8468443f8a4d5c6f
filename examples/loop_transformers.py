"""Hugging Face Trainer: one method runs its own `training_step` once for each pass.

- `max_grad_norm=0`, and `max_norm` of the optimizer instead: the Trainer clips what lies in the
  gradients, which is right for all methods but decoupled WSAM, which refuses it.
- `gradient_accumulation_steps` works: each micro-batch gets a perturbation of its own.
- bf16 works as it is; fp16 scales the loss: use bf16.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import Trainer

from sambench.optim import build


class SharpnessAwareTrainer(Trainer):
    """A Trainer whose optimizer asks for its passes."""

    def __init__(self, *args: Any, optimizer: str = "sam", settings: Any = None, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.chosen, self.settings = optimizer, settings or {}

    def create_optimizer(self, model: nn.Module | None = None) -> Any:
        """Build the optimizer by its name."""
        network = self.model if model is None else model
        self.optimizer = build(self.chosen, network.parameters(), model=network, **self.settings)
        return self.optimizer

    def training_step(
        self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None
    ) -> Tensor:
        """Run all passes of the step on one micro-batch; return the loss of the first."""
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)  # Accelerate wraps it
        losses = []
        for _ in optimizer.passes():
            losses.append(super().training_step(model, inputs, num_items_in_batch))
        return losses[0]
