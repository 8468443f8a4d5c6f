"""Lightning with automatic optimization: `optimizer.step(closure)` is called with its closure.

- `model=self` tells the optimizer its modules.
- `training_step` runs once for each pass: log, and count metrics, in the first one only, which is
  at the unperturbed weights.
- In manual optimization call `self.optimizers().step(closure)`.
- Clip with the optimizer's `max_norm`: `gradient_clip_val` would clip the gradient of each pass.
- Accumulate with `Accumulating`: `accumulate_grad_batches` would run all but the last closure
  outside of `step`, which is refused.
- bf16 works as it is (`precision="bf16-mixed"`). For `16-mixed` use bf16 or the scaler of
  `step(closure, scaler=...)` in manual optimization: Lightning takes the closure away there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from torch import Tensor, nn
from torch.nn import functional

from sambench.optim import build


class Classifier(pl.LightningModule):
    """A network trained with an optimizer of sambench."""

    def __init__(self, network: nn.Module, name: str, **settings: Any) -> None:
        super().__init__()
        self.network, self.name, self.settings = network, name, settings
        self.is_first_pass = True

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Begin a step."""
        self.is_first_pass = True

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss; Lightning makes the closure of it."""
        inputs, targets = batch
        loss = functional.cross_entropy(self.network(inputs), targets)
        if self.is_first_pass:
            self.log("loss", loss)
        self.is_first_pass = False
        return loss

    def configure_optimizers(self) -> Any:
        """Build the optimizer by its name."""
        return build(self.name, self.parameters(), model=self, **self.settings)


class Accumulating(Classifier):
    """The same over micro-batches of each batch, with one perturbation for all."""

    number, current = 2, 0

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss of the current micro-batch."""
        inputs, targets = (part.chunk(self.number)[self.current] for part in batch)
        return functional.cross_entropy(self.network(inputs), targets) / self.number

    def optimizer_zero_grad(self, *given: Any) -> None:
        """Keep the gradients: a pass goes over all micro-batches, and step() clears for it."""

    def optimizer_step(
        self, epoch: int, index: int, optimizer: Any, closure: Callable[[], Any]
    ) -> None:
        """Make one closure of all micro-batches."""

        def whole() -> Any:
            losses = []
            for number in range(self.number):
                self.current = number
                losses.append(closure())
            return sum(losses)

        optimizer.step(closure=whole)
