"""One training step on a batch that lies on the device: every pass, the base step, the tallies.

Nothing here waits for the device, so that a step can be launched while others still run, and be
recorded as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sambench.optim.samples import SampleClosure
from sambench.optim.sharpness_aware import SharpnessAware
from sambench.training.losses import CrossEntropy
from sambench.training.precision import RoundingWatch, autocast
from sambench.training.state import TrainingState, note_hits

USUAL = CrossEntropy()
"""Neither smoothed nor weighted."""


@dataclass(frozen=True)
class Batch:
    """Images of one step, on the device.

    Attributes:
        inputs: (B, 3, H, W) float32.
        targets: (B,) labels.
        places: (B,) which of the training images they are.
        weight: Factor of the loss: what this replica's share counts for, 1 for one alone.
    """

    inputs: Tensor
    targets: Tensor
    places: Tensor
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(eq=False)
class Step:
    """Takes training steps.

    Attributes:
        network: As it is trained.
        optimizer: Over its parameters.
        state: Whose tallies the step adds to.
        precision: Arithmetic of the passes.
        layout: Memory format that the network wants its images in.
        loss: Of the logits.
        compiled: A faster form of the network for batches of `compiled_for` images, if any.
        rounding: Watches what the arithmetic leaves of the perturbation, in an observed step.
        shares: Of the training images, for each class, shape (K,); for methods that ask for them.
    """

    network: nn.Module
    optimizer: SharpnessAware
    state: TrainingState
    precision: str
    layout: torch.memory_format = torch.contiguous_format
    loss: CrossEntropy = USUAL
    compiled: nn.Module | None = None
    compiled_for: int = 0
    rounding: RoundingWatch | None = None
    shares: Tensor | None = None

    def __call__(self, batch: Batch) -> float:
        """Take a step; return how many forward and backward passes it took."""
        state, watch = self.state, self.rounding

        def losses(some: Tensor | slice) -> Tensor:
            if watch is not None:
                watch.look()
            found, logits = self.forward(batch.inputs[some], batch.targets[some])
            if closure.evaluations == 0:
                state.loss_sum += found.detach().sum()
                note_hits(state.hits, batch.places, logits.argmax(dim=1) == batch.targets)
            return found if batch.weight == 1.0 else found * batch.weight

        shares = None if self.shares is None else self.shares[batch.targets]
        closure = SampleClosure(losses, shares=shares)
        self.optimizer.step(closure)
        return closure.evaluations

    def forward(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each image, and the logits."""
        whole = self.compiled is not None and len(inputs) == self.compiled_for
        network = self.compiled if whole and self.compiled is not None else self.network
        with autocast(self.precision, inputs.device):
            logits: Tensor = network(inputs.contiguous(memory_format=self.layout))
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return self.loss.each(wide, targets), logits.detach()
