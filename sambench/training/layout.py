"""Memory layout of a network's tensors: channels last where that speeds up convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sambench.optim.sharpness_aware import SharpnessAware


def layout_of(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Return the memory format to train a network in.

    Convolutional networks (those with more than a patch embedding's one convolution) go channels
    last on a GPU and on the CPU, where that makes a step of small-cnn 1.4 times as fast and one of
    ResNet-18 1.1 times.
    """
    convolutions = sum(isinstance(module, nn.Conv2d) for module in model.modules())
    if device.type in ("cpu", "cuda") and convolutions > 1:
        return torch.channels_last
    return torch.contiguous_format


def align_moments(optimizer: SharpnessAware) -> None:
    """Give moments and the method's stored vectors the memory layout of their weights.

    A checkpoint keeps the layout of the device that it was written on.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                state[name] = _like(value, parameter)
    for vector in optimizer.method.memory.values():
        pairs = zip(vector.tensors, optimizer.trainable, strict=True)
        vector.tensors[:] = [_like(tensor, parameter) for tensor, parameter in pairs]


def _like(tensor: Tensor, parameter: Tensor) -> Tensor:
    if tensor.shape != parameter.shape or tensor.stride() == parameter.stride():
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
