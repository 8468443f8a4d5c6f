"""How much memory a process takes on a CPU that does a run and measures its curvature."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch.nn import functional

from sambench.config.run_config import RunConfig
from sambench.curvature.graph import saved_bytes
from sambench.data.prepared import open_prepared
from sambench.models.model import CHANNELS, build_model

PROCESS_BYTES = 760 * 1024**2
WEIGHT_COPIES = 10
ACTIVATION_COPIES = 3
"""What a process with torch takes by itself, and how often the weights and the tensors that
autograd saves for a batch are held in a Hessian-vector product after training: the peak of both.
Measured (resident, torch 2.14, one thread) on small-cnn, resnet18, resnet50, vgg16, vit, swin and
efficientnet_lite0, these give 96 to 120 % of the peak."""


def estimate_memory(configs: Iterable[RunConfig], data: Path) -> dict[str, int]:
    """Return the bytes that one run of each model takes at most, by the model's name.

    The network is built without storage (torch's `meta` device) and run once, which gives the
    sizes of the tensors that autograd saves. One that cannot be built so is run with one image. A
    process reads the pixels of its dataset as a whole. A model that is not there, or data that are
    not prepared, are a UserError.
    """
    found: dict[str, int] = {}
    kinds = {(c.model, c.image_size, c.batch_size, c.dataset) for c in configs}
    for name, side, batch, dataset in sorted(kinds):
        prepared = open_prepared(data, dataset, side)
        network = _network_bytes(name, side, batch, len(prepared.classes))
        total = PROCESS_BYTES + network + prepared.images.nbytes
        found[name] = max(total, found.get(name, 0))
    return found


def _network_bytes(name: str, side: int, batch: int, classes: int) -> int:
    try:
        weights, activations = _sizes("meta", name, side, batch, classes)
    except (RuntimeError, NotImplementedError):
        weights, each = _sizes("cpu", name, side, 1, classes)
        activations = batch * each
    return WEIGHT_COPIES * weights + ACTIVATION_COPIES * activations


def _sizes(device: str, name: str, side: int, batch: int, classes: int) -> tuple[int, int]:
    """Return the bytes of the weights, and of all that autograd saves of one pass beside them."""
    with torch.device(device):
        model = build_model(name, classes=classes, image_size=side, pretrained=False).eval()
        images = torch.zeros(batch, CHANNELS, side, side)
        with saved_bytes(model.parameters()) as saved:
            functional.cross_entropy(model(images), torch.zeros(batch, dtype=torch.long))
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return weights, sum(saved.values())
