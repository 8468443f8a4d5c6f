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
    network: nn.Module, again: nn.Module, name: str, *, classes: int, side: int
) -> None:
    """Try a model's network on three random images; its state and the generators are as before.

    `again` is what its build returns again from the same seed: it must be the same network, also
    once that is trained and its state loaded. Warns of probabilities in place of logits, of which
    training would take the softmax once more. What does not fit is a ModelError.
    """
    for key, held in network.state_dict(keep_vars=True).items():
        if not isinstance(held, Tensor) or is_lazy(held):
            raise ModelError(
                f"{key} in the state_dict of model {name!r} is a {type(held).__name__}, no tensor "
                "with a shape; run lazy layers on a blank image in its build, keep the rest as "
                "buffers"
            )
    ours, theirs = network.state_dict(), again.state_dict()
    same = ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
    if again is network or not same:
        said = f"model {name!r} is another one when it is built again from one seed; have its build"
        raise ModelError(f"{said} draw by torch alone and return a new network at each call")
    device = next(iter(ours.values()), torch.empty(0)).device
    drawn = torch.randn(3, CHANNELS, side, side, generator=torch.Generator().manual_seed(0))
    pair, single = drawn.clone().to(device).split([2, 1])
    try:
        with undisturbed(network, device):
            network.eval()
            first, second, other = (network(images) for images in (pair, pair, single))
            alone = network(pair[:1].clone())
            in_training = network.train()(pair)
        with undisturbed(network, device):
            repeated = network.train()(pair)
            again.load_state_dict(network.state_dict())
            trained, stored = (each.eval()(pair) for each in (network, again))
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
    kept_on = "random in evaluation mode, as by a dropout left on; give it training=self.training"
    anew = "random in training also from one seed; draw by torch alone, and count in buffers"
    lost = "another one once it is stored; keep what training changes in buffers that are saved"
    changing = "changing the images that it is given; have it work on a copy of them"
    faults = {kept_on: (first, second), anew: (in_training, repeated), lost: (trained, stored)}
    for fault, (one, two) in faults.items():
        if bool((one - two).abs().max() > RANDOM * one.abs().max()):
            intact = torch.equal(pair.cpu(), drawn[:2])
            raise ModelError(f"model {name!r} is {fault if intact else changing}")
    if bool((first[:1] - alone).abs().max() > 10 * RANDOM * first.abs().max()):  # not TF32
        said = f"the outputs of model {name!r} for an image depend on the others of its batch"
        remedy = "so do its test results; have it normalise by statistics that it remembers"
        warnings.warn(f"{said}, and {remedy}", SambenchWarning, stacklevel=2)
    three = torch.cat([first, other])
    if bool((three >= 0).all() and ((three.sum(dim=1) - 1).abs() < RANDOM).all()):
        said = f"model {name!r} returns probabilities, of which the softmax is taken once more"
        warnings.warn(f"{said}; leave its own out: {WANTED}", SambenchWarning, stacklevel=2)


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
