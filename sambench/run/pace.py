"""How long a gradient evaluation of a run takes here, timed before any run like it is finished."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

import torch

from sambench.config.run_config import RunConfig
from sambench.run.building import build_network
from sambench.run.images import load_parts
from sambench.store import environment
from sambench.training.clock import synchronised_time
from sambench.training.engine import layout_of
from sambench.training.losses import CrossEntropy
from sambench.training.precision import autocast, numerics

MOST_SECONDS = 15.0
LEAST_PASSES, MOST_PASSES = 3, 10


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
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        return _measured(config, data, device)
    finally:
        torch.set_num_threads(threads)


def _measured(config: RunConfig, data: Path, device: torch.device) -> Pace:
    parts = load_parts(config, data, device)
    network = build_network(config, len(parts.prepared.classes), device).train()
    layout = layout_of(network, device)
    network.to(memory_format=layout)
    number = min(config.batch_size, len(parts.train))
    inputs, targets = parts.train.batch(torch.arange(number), layout=layout)
    loss = CrossEntropy.of(config, parts.train.labels, len(parts.prepared.classes))
    environment.start_memory_peak(device)
    took: list[float] = []
    with numerics(config.precision):
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
        memory_bytes=environment.memory_peak(device) if device.type == "cuda" else None,
    )
