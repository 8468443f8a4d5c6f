"""A run's network, the weights that it starts from, and its optimizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sambench.config.run_config import RunConfig
from sambench.models.model import build_model
from sambench.models.weights import LoadedWeights, find_weights, load_backbone
from sambench.optim import build
from sambench.optim.sharpness_aware import SharpnessAware
from sambench.training.seeding import derive_seed


def build_network(config: RunConfig, classes: int, device: torch.device) -> nn.Module:
    """Build the run's network as its seed initialises it; a UserError if it cannot be built."""
    torch.manual_seed(derive_seed(config.seed, "initialisation"))
    model = build_model(
        config.model, classes=classes, image_size=config.image_size, pretrained=config.pretrained
    )
    return model.to(device)


def load_start(config: RunConfig, model: nn.Module, data: Path) -> LoadedWeights | None:
    """Load the weights that the run starts from, if any; a ModelError if they cannot be had."""
    if config.weights is None:
        return None
    return load_backbone(model, find_weights(config.weights, data), config.weights)


def build_optimizer(
    config: RunConfig, model: nn.Module, parallel: DistributedDataParallel | None = None
) -> SharpnessAware:
    """Build the run's optimizer over the network's parameters; `parallel` has them too."""
    settings = dict(config.optimizer)
    name, base = str(settings.pop("name")), str(settings.pop("base"))
    apart = parallel if config.perturbation == "per-replica" else None
    parameters: Any = model.parameters()
    if config.decayed == "matrices":
        from timm.optim import param_groups_weight_decay  # type: ignore[attr-defined]

        decay: Any = settings["weight_decay"]
        spared: Any = getattr(model, "no_weight_decay", set)()  # beside norms and biases
        parameters = param_groups_weight_decay(model, decay, no_weight_decay_list=spared)
    return build(name, parameters, base, model=model, per_replica=apart, **settings)
