"""What a run takes here, estimated before any like it is done: memory on a CPU, and time."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from sambench.config.run_config import RunConfig
from sambench.curvature.graph import saved_bytes
from sambench.data.prepared import open_prepared
from sambench.models.model import CHANNELS, build_model
from sambench.run.images import load_parts
from sambench.run.network import build_network
from sambench.store.environment import choose_kernels, memory_peak, start_memory_peak
from sambench.store.machine import torch_threads
from sambench.training.clock import synchronised_time
from sambench.training.engine import layout_of
from sambench.training.losses import CrossEntropy
from sambench.training.precision import autocast, numerics

PROCESS_BYTES = 760 * 1024**2
WEIGHT_COPIES = 10
ACTIVATION_COPIES = 3
"""What a process with torch takes by itself, and how often the weights and the tensors that
autograd saves for a batch are held in a Hessian-vector product after training: the peak of both.
Measured (resident, torch 2.14, one thread) on small-cnn, resnet18, resnet50, vgg16, vit, swin and
efficientnet_lite0, these give 96 to 120 % of the peak."""

MOST_SECONDS = 15.0
LEAST_PASSES, MOST_PASSES = 3, 10


def estimate_memory(configs: Iterable[RunConfig], data: Path) -> dict[str, int]:
    """Return the bytes that one run of each model takes at most, by the model's name.

    The network is built without storage (torch's `meta` device) and run once, which gives the
    sizes of the tensors that autograd saves. One that cannot be built so is run with one image.
    The images, which all processes share, do not count. A model or data not there: a UserError.
    """
    found: dict[str, int] = {}
    kinds = {(c.model, c.image_size, c.batch_size, c.dataset) for c in configs}
    for name, side, batch, dataset in sorted(kinds):
        classes = len(open_prepared(data, dataset, side).classes)
        try:
            weights, activations = _sizes("meta", name, side, batch, classes)
        except (RuntimeError, NotImplementedError):
            weights, each = _sizes("cpu", name, side, 1, classes)
            activations = batch * each
        total = PROCESS_BYTES + WEIGHT_COPIES * weights + ACTIVATION_COPIES * activations
        found[name] = max(total, found.get(name, 0))
    return found


def _sizes(device: str, name: str, side: int, batch: int, classes: int) -> tuple[int, int]:
    """Return the bytes of the weights, and of all that autograd saves of one pass beside them."""
    with torch.device(device):
        model = build_model(name, classes=classes, image_size=side, pretrained=False).eval()
        images = torch.zeros(batch, CHANNELS, side, side)
        with saved_bytes(model.parameters()) as saved:
            functional.cross_entropy(model(images), torch.zeros(batch, dtype=torch.long))
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return weights, sum(saved.values())


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Of runs of one model on images of one size."""

    seconds: float  # for a forward and backward pass over a batch: a gradient evaluation
    spread: float  # largest over smallest of the passes timed
    images: int  # in the training part
    memory_bytes: int | None  # the device's peak; None on a CPU


def measure_pace(config: RunConfig, data: Path, device: torch.device) -> Pace:
    """Time a few gradient evaluations of a run, after one that is not counted.

    On a CPU one thread is used, as `compare` does. Data that are not prepared, or that the model
    does not take, are a UserError.
    """
    choose_kernels(config.kernels, device)
    with torch_threads(1 if device.type == "cpu" else None), numerics(config.precision):
        parts = load_parts(config, data, device)
        network = build_network(config, len(parts.prepared.classes), device).train()
        layout = layout_of(network, device)
        network.to(memory_format=layout)
        number = min(config.batch_size, len(parts.train))
        inputs, targets = parts.train.batch(torch.arange(number), layout=layout)
        loss = CrossEntropy.of(config, parts.train.labels, len(parts.prepared.classes))
        start_memory_peak(device)
        took: list[float] = []
        while len(took) <= LEAST_PASSES or (len(took) < MOST_PASSES and sum(took) < MOST_SECONDS):
            start = synchronised_time(device)
            with autocast(config.precision, device):
                logits = network(inputs)
            loss(logits.float(), targets).backward()
            network.zero_grad()
            took.append(synchronised_time(device) - start)
        counted = took[1:]
        return Pace(
            seconds=statistics.median(counted),
            spread=max(counted) / min(counted),
            images=len(parts.train),
            memory_bytes=memory_peak(device) if device.type == "cuda" else None,
        )
