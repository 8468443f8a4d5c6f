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

    Passes and seconds are those since the start of the run; None stands for what is not measured.

    Attributes:
        epoch: Counted from 1.
        train_loss: Mean over the images of the loss at clean passes, while the weights changed.
        lr: Learning rate of the last step.
        sharpness: Measures of the last step's perturbation (`sambench.optim.oracle`):
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
