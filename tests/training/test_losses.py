"""The training loss, against its formula in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sambench.config.run_config import RunConfig
from sambench.training.losses import CrossEntropy, balanced_weights

LABELS = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 2, 2])


def by_the_formula(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor) -> Tensor:
    classes = logits.shape[1]
    soft = (
        torch.nn.functional.one_hot(targets, classes).double() * (1 - smoothing)
        + smoothing / classes
    )
    return -(weights * soft * logits.log_softmax(1)).sum(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_each_and_mean_are_those_of_the_formula(smoothing: float, class_weights: str) -> None:
    """In float64, where both are a few operations: rounding is far below 1e-12."""
    given = {"dataset": "d", "image_size": 8, "model": "m", "optimizer": "adam"}
    config = RunConfig.from_dict(
        {**given, "label_smoothing": smoothing, "class_weights": class_weights}
    )
    loss = CrossEntropy.of(config, LABELS, 3)
    logits = torch.randn(10, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([6.0, 2.0, 2.0], dtype=torch.float64)
    weights = 10 / (3 * counts) if class_weights == "balanced" else torch.ones(3).double()
    expected = by_the_formula(logits, LABELS, smoothing, weights)
    torch.testing.assert_close(loss.each(logits, LABELS), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(loss(logits, LABELS), expected.mean(), rtol=1e-12, atol=1e-12)


def test_balanced_weights_make_the_classes_equal_and_the_images_one_in_the_mean() -> None:
    weights = balanced_weights(LABELS, 4)
    assert weights[3] == 0  # no image of it
    sums = [float(weights[LABELS][label == LABELS].sum()) for label in range(3)]
    assert sums == pytest.approx([10 / 3] * 3, rel=1e-6)
    assert float(weights[LABELS].mean()) == pytest.approx(1, rel=1e-6)
