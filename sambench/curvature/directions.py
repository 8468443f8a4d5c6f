"""Random directions in weight space that compare between networks: filter normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvTransposeNd

from sambench.curvature.vectors import generator

DIRECTION_STREAM = 100  # and up: one for each direction
NORMALIZATIONS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def filter_normalised(model: nn.Module, seed: int, which: int = 0) -> dict[str, Tensor]:
    r"""Return a Gaussian direction whose every filter has the norm of the network's filter.

    :math:`d_{i,j} \leftarrow \frac{d_{i,j}}{\|d_{i,j}\|} \|w_{i,j}\|` for filter j of layer i
    (Li et al., "Visualizing the loss landscape of neural nets", 2018), so that a step of one is as
    large as the weights, whatever the scale at which normalisation has left them. A filter is what
    makes one output: a slice along the first dimension, or of a transposed convolution the slice
    along its output channels.

    What is no filter stays where it is. A parameter is a filter's if the module that owns it calls
    it a weight (its own attribute: `weight`, `in_proj_weight`, `weight_ih_l0`), it has two
    dimensions or more, and the module is no normalisation. So biases, scales, layer scales, class
    tokens, position embeddings and relative position tables are zero in the direction: they are
    added to a signal, or scale it as a whole, and their norm is no natural unit.

    Drawn on the CPU in float32, in the order of `model.named_parameters()`: a seed gives the same
    draw on any device, in any precision and for any weights of the same architecture.

    Args:
        model: The network; its trainable parameters are covered.
        seed: Of the draw.
        which: Directions of one seed are independent.

    Returns:
        The direction by parameter name, on the device and of the type of the parameters.
    """
    source = generator(torch.device("cpu"), seed, DIRECTION_STREAM + which)
    owners = _owners(model)
    direction = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            drawn = torch.randn(parameter.shape, generator=source).to(parameter)
            module, attribute = owners[id(parameter)]
            if _has_filters(module, attribute, parameter):
                direction[name] = _rescale(drawn, parameter.detach(), module)
            else:
                direction[name] = torch.zeros_like(drawn)
    return direction


def _owners(model: nn.Module) -> dict[int, tuple[nn.Module, str]]:
    """Return the first module that owns each parameter, and its name there."""
    owners: dict[int, tuple[nn.Module, str]] = {}
    for module in model.modules():
        for attribute, parameter in module.named_parameters(recurse=False):
            owners.setdefault(id(parameter), (module, attribute))
    return owners


def _has_filters(module: nn.Module, attribute: str, parameter: Tensor) -> bool:
    if parameter.dim() < 2 or isinstance(module, NORMALIZATIONS):
        return False
    return "weight" in attribute or isinstance(module, nn.utils.parametrize.ParametrizationList)


def _rescale(drawn: Tensor, weight: Tensor, module: nn.Module) -> Tensor:
    """Give each filter of `drawn` the norm of the same filter of `weight`."""
    if isinstance(module, _ConvTransposeNd):  # (inputs, outputs / groups, kernel)
        groups = (module.groups, -1)
        grouped: Tensor = drawn.unflatten(0, groups)
        factors = _ratio(weight.unflatten(0, groups), grouped, (1, *range(3, grouped.dim())))
        return (grouped * factors).flatten(0, 1)
    return drawn * _ratio(weight, drawn, tuple(range(1, drawn.dim())))


def _ratio(weight: Tensor, drawn: Tensor, within: tuple[int, ...]) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(weight, dim=within, keepdim=True)
    return length.div_(torch.linalg.vector_norm(drawn, dim=within, keepdim=True))
