"""DistributedDataParallel: the loop of a single process; start it with torchrun.

The gradient of every pass is the mean over the processes, so all perturb alike. With
`per_replica=model` each perturbs by its own part of the batch (m-sharpness).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from sambench.optim import build


def train(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], name: str, **settings: Any
) -> None:
    """Train on this process's part of each batch; the process group is there already."""
    model = DistributedDataParallel(network, gradient_as_bucket_view=True)
    optimizer = build(name, model.parameters(), model=model, **settings)
    rank, processes = distributed.get_rank(), distributed.get_world_size()
    for inputs, targets in batches:
        own_inputs, own_targets = inputs.chunk(processes)[rank], targets.chunk(processes)[rank]

        def closure(inputs: Tensor = own_inputs, targets: Tensor = own_targets) -> Tensor:
            loss = functional.cross_entropy(model(inputs), targets)
            loss.backward()
            return loss

        optimizer.step(closure)
