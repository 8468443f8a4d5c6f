"""Events of a run while it trains, for the display and its history; without torch."""

from __future__ import annotations

from dataclasses import dataclass

from sambench.config.run_config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run begins; emitted before its first step."""

    config: RunConfig
    images: dict[str, list[int]]  # of each class: in the training, validation and test part
    parameters: int
    device: str
    weights: str | None  # what of a file of weights it starts from, in words, if of one
    resumed_at: int | None  # epoch, counted from 1; None where it begins anew


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
    """

    epoch: int  # counted from 1
    train_loss: float  # mean over the images at clean passes, while the weights changed
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    lr: float  # of the last step
    gradient_evaluations: float
    train_seconds: float
    sharpness: dict[str, float] | None
    """The last step's `sambench.optim.oracle.Observation`, if it perturbed the weights."""


Event = Started | Tick | Epoch
