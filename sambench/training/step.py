"""One training step on a batch that lies on the device: every pass, the base step, the tallies.

Nothing here waits for the device, so that a step can be launched while others still run, and be
recorded as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

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
    """Images of one step, on the device."""

    inputs: Tensor  # (B, 3, H, W) float32
    targets: Tensor  # (B,) labels
    places: Tensor  # (B,) which of the training images they are
    weight: float = 1.0  # of the loss: what this replica's share counts for, 1 for one alone


@dataclass(eq=False)
class Step:
    """Takes training steps."""

    network: nn.Module  # as it is trained
    optimizer: SharpnessAware  # over its parameters
    state: TrainingState  # whose tallies the step adds to
    precision: str  # arithmetic of the passes
    layout: torch.memory_format = torch.contiguous_format  # that the network wants its images in
    loss: CrossEntropy = USUAL  # of the logits
    compiled: nn.Module | None = None  # a faster form of the network, if any
    compiled_for: int = 0  # images in the batches that it is for
    rounding: RoundingWatch | None = None  # looks at the perturbation, in an observed step
    shares: Tensor | None = None  # (K,) of the training images, for methods that ask for them

    def __call__(self, batch: Batch) -> Fraction:
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
