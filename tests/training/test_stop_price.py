"""What the stop rule `train-accuracy` looks at, counted, and whether it decides as looking at all.

Networks with batch normalisation and dropout, trained on augmented images for real: accuracy while
training lags far behind the clean one, which is the rule's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sambench.config.run_config import RunConfig
from sambench.data.batches import Images, Scaling
from sambench.optim import build
from sambench.training import loop
from sambench.training.evaluate import FIRST_LOOK, predict, reaches_accuracy
from sambench.training.loop import Training

pytestmark = pytest.mark.slow
IMAGES, BATCH = 320, 16
CPU = torch.device("cpu")


class Counting(Images):
    """Images that count how many of them were asked for."""

    asked = 0

    def batch(self, indices: Tensor, *given: Any) -> tuple[Tensor, Tensor]:
        self.asked += len(indices)
        return super().batch(indices, *given)


def rings(seed: int = 0) -> Counting:
    """Noisy images of two sizes of discs anywhere in the image."""
    draw = np.random.default_rng(seed)
    labels = np.arange(IMAGES) % 2
    centre = draw.uniform(5, 11, (2, IMAGES, 1, 1))
    grid = np.mgrid[:16, :16][:, None]
    distance = np.sqrt(((grid - centre) ** 2).sum(axis=0))
    disc = distance < np.where(labels, 3.5, 2.8)[:, None, None]
    pixels = (90 * disc + draw.normal(80, 22, disc.shape)).clip(0, 255).astype(np.uint8)
    return Counting(pixels[..., None], labels.astype(np.int64), CPU, Scaling(0.4, 0.2))


def network(dropout: float) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(16 * 49, 2),
    )


class Verdict:
    """Every question of a run: what the rule said, what looking at all says, what it looked at."""

    def __init__(self) -> None:
        self.said: list[bool] = []
        self.true: list[bool] = []
        self.looked: list[int] = []

    def __call__(self, model: nn.Module, images: Counting, target: float, likely: Tensor) -> bool:
        before = images.asked
        self.said.append(reaches_accuracy(model, images, target, likely))
        self.looked.append(images.asked - before)
        right = predict(model, images).argmax(axis=1) == images.labels.numpy()
        self.true.append(bool(right.mean() >= target))
        return self.said[-1]


def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stop: str, dropout: float, **settings: Any
) -> tuple[Training, Verdict]:
    given = {"dataset": "none", "image_size": 16, "model": "none", "batch_size": BATCH}
    given |= {"optimizer": "sam", "lr": 0.01, "epochs": 24, "stop": stop, **settings}
    config = RunConfig.from_dict(given)
    verdict = Verdict()
    monkeypatch.setattr(loop, "reaches_accuracy", verdict)
    model = network(dropout)
    done = Training(
        config,
        model,
        build("sam", model.parameters(), "adam", lr=0.01, rho=0.05),
        rings(),
        None,
        folder=folder,
        identity=config.id,
        on_tick=lambda tick: None,
        on_epoch=lambda epoch: None,
        stop_requested=lambda: False,
    )
    done.run()
    return done, verdict


@pytest.mark.parametrize(
    "stop",
    ["train-accuracy", pytest.param("train-accuracy=0.97", marks=pytest.mark.exhaustive)],
)
@pytest.mark.parametrize("augmentation", ["flip-shift", "none"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_every_decision_is_that_of_a_full_evaluation(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: str,
    augmentation: str,
    dropout: float,
) -> None:
    done, verdict = run(tmp_path, monkeypatch, stop, dropout, augmentation=augmentation)
    assert verdict.said == verdict.true
    assert len(verdict.said) == len(done.state.history)
    assert not any(verdict.true[:-1])
    refused = [n for n, yes in zip(verdict.looked, verdict.said, strict=True) if not yes]
    assert max(verdict.looked) <= IMAGES
    if stop == "train-accuracy":
        assert sum(refused) <= 0.25 * IMAGES * len(refused)
        assert min(refused) == FIRST_LOOK


def test_accuracy_while_training_would_have_asked_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why every epoch is asked: dropout keeps the running accuracy low at a clean 100 %."""
    done, verdict = run(tmp_path, monkeypatch, "train-accuracy", 0.5, augmentation="none")
    assert verdict.said[-1]
    assert done.state.history[-1].train_accuracy < 0.95


@pytest.mark.parametrize(
    ("wrong", "target", "expected", "looked"),
    [
        (0, 1.0, True, 320),
        (1, 1.0, False, 16),
        (32, 0.9, True, 320),
        (33, 0.9, False, 48),
        (16, 0.9, True, 304),  # 16 images are left and 16 more may be wrong
        (0, 0.9, True, 304),
    ],
)
def test_what_is_looked_at(wrong: int, target: float, expected: bool, looked: int) -> None:
    """Of a network that gets the last images wrong, which training had marked."""
    images = rings()
    images.labels = torch.zeros(IMAGES, dtype=torch.int64)
    images.labels[IMAGES - wrong :] = 1

    class Zero(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return torch.tensor([1.0, 0.0]).expand(len(inputs), 2)

    assert reaches_accuracy(Zero(), images, target, images.labels == 1) is expected
    assert images.asked == looked
