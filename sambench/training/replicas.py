"""The processes that train one run together, each on its share of every batch.

What they must agree on (when to stop, when to save) is agreed by message, so that all take the same
steps. One process alone sends none, and computes exactly what it would without this file.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from sambench.errors import ConfigError


@dataclass(frozen=True)
class Replicas:
    """The processes of a run, seen from one of them."""

    rank: int = 0  # which one this is; 0 writes and speaks
    number: int = 1  # how many there are

    @classmethod
    def of_this_process(cls) -> Replicas:
        """Return the replicas of torch's process group; a single one where there is none."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def alone(self) -> bool:
        """Whether there is one only."""
        return self.number == 1

    @property
    def axis(self) -> tuple[int, ...]:
        """What makes this replica's seeds differ; empty for the first, as for a single one."""
        return (self.rank,) if self.rank else ()

    def wrap(self, model: nn.Module, batch_norm: str) -> DistributedDataParallel | None:
        """Return a network that averages gradients over the replicas; None for one alone.

        Running statistics are not sent at every pass: `average_statistics` does it once an epoch.
        Batch normalisation that shall be synchronised on the CPU is a ConfigError.
        """
        if self.alone:
            return None
        device = next(model.parameters()).device
        if batch_norm == "synchronized" and device.type == "cpu":
            raise ConfigError(
                "batch_norm=synchronized needs GPUs (torch has no such operation for the CPU); "
                "use batch_norm=per-replica"
            )
        places = [device] if device.type == "cuda" else None
        parallel = DistributedDataParallel(model, device_ids=places)
        # The attribute: torch renamed the argument after 2.7.
        parallel.broadcast_buffers = False
        return parallel

    def share(self, batch: Tensor) -> Tensor:
        """Return this replica's part of a batch's indices; parts differ by one image at most."""
        return batch if self.alone else batch.tensor_split(self.number)[self.rank]

    def weight(self, share: Tensor, batch: Tensor) -> float:
        """Return the factor of the loss that makes the mean over replicas that over the batch."""
        return len(share) * self.number / len(batch)

    def any(self, told: bool) -> bool:
        """Whether one of the replicas says so."""
        if self.alone:
            return told
        flag = torch.tensor(int(told))
        distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
        return bool(flag)

    def first(self, told: bool) -> bool:
        """Return what the first replica says."""
        return self.any(told and self.rank == 0)

    def sum_(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over the replicas."""
        if not self.alone:
            distributed.all_reduce(tensor)
        return tensor

    def average_statistics(self, model: nn.Module) -> None:
        """Replace the running means and variances of each replica by their mean over all."""
        if not self.alone:
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    self.sum_(buffer).div_(self.number)


ALONE = Replicas()
