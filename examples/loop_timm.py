"""timm's train script: its loop body with a closure, mixup, EMA and schedule as they are.

In `train.py` of timm, replace `optimizer = create_optimizer_v2(...)` by `build(...)`, and in
`train_one_epoch` the forward, backward and `optimizer.step()` of an update by what is here.
Clip with `max_norm`, not with `--clip-grad`; accumulate with a list of closures.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from timm.scheduler import CosineLRScheduler
from timm.utils import AverageMeter, ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional

from sambench.optim import build


def train_one_epoch(
    model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]], name: str, **settings: Any
) -> float:
    """Train for one epoch; return the mean loss at the unperturbed weights."""
    optimizer = build(name, model.parameters(), model=model, **settings)
    schedule = CosineLRScheduler(optimizer, t_initial=100, t_in_epochs=False)
    average, losses = ModelEmaV3(model, decay=0.9), AverageMeter()
    model.train()
    for update, (inputs, targets) in enumerate(loader):

        def closure(inputs: Tensor = inputs, targets: Tensor = targets) -> Tensor:
            loss = functional.cross_entropy(model(inputs), targets)
            loss.backward()
            return loss

        losses.update(optimizer.step(closure).item(), len(inputs))
        average.update(model, step=update)
        schedule.step_update(num_updates=update + 1)
    return float(losses.avg)
