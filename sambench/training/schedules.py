"""Learning rate over time: torch's schedulers, stepped after each training step."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

from sambench.config.run_config import RunConfig


def make_scheduler(
    config: RunConfig, optimizer: Optimizer, steps_per_epoch: int
) -> LRScheduler | None:
    """Return the run's learning-rate schedule; None where the rate is constant.

    With `warmup` the first step of W has the rate lr / W, the W-th and the schedule's start lr.
    """
    first = config.warmup * steps_per_epoch
    total = config.epochs * steps_per_epoch
    if config.schedule == "onecycle":
        rates = [group["lr"] for group in optimizer.param_groups]
        return OneCycleLR(optimizer, rates, total_steps=total + 1, cycle_momentum=False)
    steps = total - first
    after: LRScheduler | None = None
    if config.schedule == "cosine":
        after = CosineAnnealingLR(optimizer, T_max=steps)
    elif config.schedule == "step":
        after = MultiStepLR(optimizer, [max(1, steps // 2), max(1, steps * 3 // 4)])
    if not first:
        return after
    # At its last step LinearLR has come to `lr`, where the other takes over.
    rise = LinearLR(optimizer, start_factor=1 / first, total_iters=first - 1 or 1)
    return rise if after is None else SequentialLR(optimizer, [rise, after], milestones=[first])
