"""Accuracy on disturbed test images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sambench.data.batches import Images
from sambench.data.shifts import SEVERITIES, STRENGTHS, Draws, shifted
from sambench.training.evaluate import BATCH_SIZE, evaluation_mode


def robust_accuracy(
    model: nn.Module, images: Images, ids: Sequence[str], family: str
) -> dict[str, Any]:
    """Return the accuracy of a network under each disturbance of a family.

    Args:
        model: The network.
        images: The test part.
        ids: Of its images; the draws follow from them.
        family: A key of `STRENGTHS`.

    Returns:
        shifts (the family), severities, for each disturbance the accuracies by severity, and mean:
        the mean of all of these.
    """
    names = STRENGTHS[family]
    hits = torch.zeros(len(names), len(SEVERITIES), dtype=torch.int64, device=images.device)
    with evaluation_mode(model):
        for indices in torch.arange(len(images)).split(BATCH_SIZE):
            height, width = images.side
            drawn = Draws.of([ids[i] for i in indices.tolist()], height, width, images.device)
            for row, name in enumerate(names):
                for column, severity in enumerate(SEVERITIES):

                    def disturb(
                        pixels: Tensor,
                        name: str = name,
                        severity: int = severity,
                        drawn: Draws = drawn,
                    ) -> Tensor:
                        return shifted(pixels, family, name, severity, drawn)

                    inputs, labels = images.batch(indices, disturb)
                    hits[row, column] += (model(inputs).argmax(dim=1) == labels).sum()
    accuracy = hits.cpu().double() / len(images)
    return {
        "shifts": family,
        "severities": list(SEVERITIES),
        **{name: accuracy[row].tolist() for row, name in enumerate(names)},
        "mean": float(accuracy.mean()),
    }
