"""Sums over the images of an epoch, merged where several replicas each saw a part."""

from __future__ import annotations

import torch
from torch import Tensor

from sambench.training.replicas import Replicas
from sambench.training.state import TrainingState


def note_hits(hits: Tensor, places: Tensor, right: Tensor) -> None:
    """Write whether each image of a batch was classified right, without waiting for the device.

    The deterministic way of writing by index reads the indices in Python first. An image is twice
    in a batch only where they are drawn with replacement; either answer counts for it then.

    Args:
        hits: Of all training images; changed in place.
        places: Of the batch's images among them, shape (B,).
        right: Shape (B,).
    """
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        hits[places] = right
    finally:
        torch.set_deterministic_debug_mode(before)


class Tallies:
    """The summed loss and the hits of a state; the first of several replicas keeps the merged sum.

    Args:
        state: Holds them.
        replicas: Each adds its own images.
    """

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
