"""An epoch's batches, each on its way to the device while the step before is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sambench.data.batches import Augmentation, Images, sent
from sambench.training.captured import stream_for
from sambench.training.precision import numerics
from sambench.training.replicas import Replicas
from sambench.training.step import Batch

AHEAD = 2
"""Steps that may be under way when a batch is read: enough that the device never waits for Python,
and few batches in its memory at once."""


@dataclass(eq=False)
class Feed:
    """Makes batches of training images.

    Resident images are indexed on the device, in order with everything else. Others are read,
    pinned and sent on a stream of their own; since Python runs ahead of the device, a batch travels
    while the step before it is still computed.
    """

    images: Images  # to train on
    replicas: Replicas  # each gets its share of every batch
    augmentation: Callable[[int], Augmentation | None]  # by the number of the step in the epoch
    layout: torch.memory_format = torch.contiguous_format  # how a batch shall lie in memory

    def __post_init__(self) -> None:
        device = self.images.device
        apart = device.type == "cuda" and not self.images.resident
        self._stream = stream_for(device, "images") if apart else None
        self._computed: deque[torch.cuda.Event] = deque()

    def __call__(self, batches: Sequence[Tensor], first: int) -> Iterator[Batch]:
        """Yield an epoch's batches, given by indices on the CPU, from the `first` left to do."""
        for step in range(first, len(batches)):
            if self._stream is None:
                yield self._batch(batches[step], step)
                continue
            if len(self._computed) >= AHEAD:
                self._computed.popleft().synchronize()
            with torch.cuda.stream(self._stream):
                batch = self._batch(batches[step], step)
            here = torch.cuda.current_stream(self.images.device)
            here.wait_stream(self._stream)  # the step waits for its batch,
            for tensor in (batch.inputs, batch.targets, batch.places):
                tensor.record_stream(here)  # and the memory of the batch for its step
            yield batch
            self._computed.append(here.record_event())

    def _batch(self, whole: Tensor, step: int) -> Batch:
        indices = self.replicas.share(whole)
        weight = self.replicas.weight(indices, whole)
        with numerics("fp32"):  # a matrix product says where the pixels of a turned image are
            inputs, targets = self.images.batch(indices, self.augmentation(step), self.layout)
        return Batch(inputs, targets, sent(indices, self.images.device), weight)
