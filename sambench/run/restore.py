"""A completed run as it was left: its network with its weights, and the data it was trained on."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from sambench.errors import DataError
from sambench.models.model import build_model
from sambench.run.images import Parts, load_parts
from sambench.store.artifacts import load_weights
from sambench.store.record import RunRecord


def restore(
    record: RunRecord, weights: Path, data: Path, device: torch.device
) -> tuple[nn.Module, Parts]:
    """Return a run's network with its stored weights, and its images, on the device.

    Args:
        record: The run.
        weights: The file of its weights.
        data: Folder of the prepared datasets.
        device: Where both go.

    Raises:
        DataError: If the run was trained on other data than are prepared now.
        CurvatureError: If the weights are gone, damaged or another network's.
        UserError: If its data are not prepared any more.
    """
    config = record.config
    parts = load_parts(config, data, device)
    if record.data and record.data["fingerprint"] != parts.prepared.fingerprint:
        raise DataError(
            f"run {config.name} was trained on other data than {parts.prepared.folder} holds now; "
            "prepare the data as it was, or train again"
        )
    model = build_model(
        config.model,
        classes=len(parts.prepared.classes),
        image_size=config.image_size,
        pretrained=False,
    ).to(device)
    load_weights(model, weights)
    return model, parts
