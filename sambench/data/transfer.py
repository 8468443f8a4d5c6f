"""Bringing tensors to the device."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a CPU tensor on the device without waiting for it.

    Only pinned memory is copied to a GPU while Python goes on. What is pinned here is torch's to
    reuse once the copy is done.
    """
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
