"""Whether a network of one's own can be trained, stored and tested, found out before it is."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sambench.curvature.checks import RANDOM
from sambench.errors import ModelError, SambenchWarning
from sambench.models.model import CHANNELS
from sambench.training.rewind import undisturbed

WANTED = "a network must take (B, 3, H, W) float32 and return logits (B, classes)"


def check_network(
    network: nn.Module, name: str, *, classes: int, side: int, device: torch.device
) -> None:
    """Try a model's network on three random images; its state and the generators are as before.

    Costs three passes in evaluation mode and two in training mode. Warns of probabilities in place
    of logits, of which training would take the softmax once more. A network whose state or outputs
    do not fit is a ModelError.
    """
    for key, held in network.state_dict(keep_vars=True).items():
        if not isinstance(held, Tensor) or is_lazy(held):
            raise ModelError(
                f"{key} in the state_dict of model {name!r} is a {type(held).__name__}, no tensor "
                "with a shape; run lazy layers on a blank image in its build, keep the rest as "
                "buffers"
            )
    drawn = torch.randn(3, CHANNELS, side, side, generator=torch.Generator().manual_seed(0))
    pair, single = drawn.to(device).split([2, 1])
    try:
        with undisturbed(network, device):
            network.eval()
            first, again, other = (network(images) for images in (pair, pair, single))
            in_training = network.train()(pair)
        with undisturbed(network, device):
            repeated = network.train()(pair)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        kinds = " and ".join(sorted({str(weight.dtype) for weight in network.parameters()}))
        raise ModelError(
            f"model {name!r}, of {kinds or 'no'} weights, fails on random images ({told}); {WANTED}"
        ) from error
    for outputs, count in ((first, 2), (other, 1), (in_training, 2)):
        _check_outputs(outputs, (count, classes), name)
    kept_on = "evaluation mode, as of a dropout that stays on; pass training=self.training to it"
    unseeded = "training also from one seed; have it draw by torch alone, and count in buffers"
    for where, one, two in ((kept_on, first, again), (unseeded, in_training, repeated)):
        if bool((one - two).abs().max() > RANDOM * one.abs().max()):
            raise ModelError(f"model {name!r} is random in {where}")
    three = torch.cat([first, other])
    if bool((three >= 0).all() and ((three.sum(dim=1) - 1).abs() < RANDOM).all()):
        said = f"model {name!r} returns probabilities, of which the softmax is taken once more"
        warnings.warn(f"{said}; leave its own out: {WANTED}", SambenchWarning, stacklevel=2)


def check_seeded(network: nn.Module, again: nn.Module, name: str) -> None:
    """Refuse, by a ModelError, a network that another build from the same seed does not give."""
    ours, theirs = network.state_dict(), again.state_dict()
    same = ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
    if again is network or not same:
        said = f"model {name!r} is another one when it is built again from one seed; have its build"
        raise ModelError(f"{said} draw by torch alone and return a new network at each call")


def _check_outputs(outputs: object, shape: tuple[int, int], name: str) -> None:
    found = f"a {type(outputs).__name__}"
    if isinstance(outputs, Tensor):
        found = f"{tuple(outputs.shape)} of {outputs.dtype}"
        if outputs.shape == shape and outputs.is_floating_point():
            if outputs.requires_grad:
                return
            found = "outputs that do not depend on its trainable weights"
    asked = f"{shape[0]} images of {shape[1]} classes"
    raise ModelError(f"model {name!r} returns {found} for {asked}; {WANTED}")
