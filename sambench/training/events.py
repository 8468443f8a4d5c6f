"""Events of a run while it trains, for the display and its history; without torch."""

from __future__ import annotations

from dataclasses import dataclass

from sambench.config.run_config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run begins; emitted before its first step.

    Attributes:
        images: Of each class, by its name: how many in training, validation and test part.
        weights: What of a file of weights it starts from, in words; None where from none.
        resumed_at: Epoch, counted from 1; None where it begins anew.
    """

    config: RunConfig
    images: dict[str, list[int]]
    parameters: int
    device: str
    weights: str | None
    resumed_at: int | None


@dataclass(frozen=True, kw_only=True)
class Tick:
    """Running numbers of an epoch, for display."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_second: float


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One line of `history.jsonl`.

    Attributes:
        epoch: Counted from 1.
        train_loss: Mean over the images of the loss at clean passes, while the weights changed.
        train_accuracy: Likewise.
        validation_loss: After the epoch; None without validation.
        validation_accuracy: Likewise.
        lr: Learning rate of the last step.
        gradient_evaluations: Since the start of the run.
        train_seconds: Since the start of the run.
        sharpness: Measures of the last step's perturbation (`sambench.optim.observation`):
            epsilon_norm, one_dimensional_share, gradient_cosine, gradient_norm_ratio, sharpness;
            None for methods without one.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    lr: float
    gradient_evaluations: float
    train_seconds: float
    sharpness: dict[str, float] | None


Event = Started | Tick | Epoch
