"""Running statistics of batch normalisation, recomputed where the weights are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def tracking_layers(model: nn.Module) -> list[_BatchNorm]:
    """Return the batch normalisation layers whose eval mode uses running statistics."""
    layers = (module for module in model.modules() if isinstance(module, _BatchNorm))
    return [layer for layer in layers if layer.running_mean is not None]


@contextmanager
def accumulating(layers: Sequence[_BatchNorm], share: float) -> Iterator[None]:
    """Let a pass update the running statistics: the batch's count by `share`, the old ones less.

    With the share n_b / (n_1 + ... + n_b) for batch b, the statistics after a whole pass are the
    means over batches weighted by samples, and what they were before is forgotten.
    """
    kept = [(layer, layer.training, layer.momentum) for layer in layers]
    for layer in layers:
        layer.training, layer.momentum = True, share
    try:
        yield
    finally:
        for layer, training, momentum in kept:
            layer.training, layer.momentum = training, momentum
