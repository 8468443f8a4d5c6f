"""Stop rules: when a run ends, from what it has done so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sambench.config.run_config import Stop


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The progress of a run, as far as stop rules need it.

    Attributes:
        epochs: Epochs done.
        cap: Epochs allowed.
        gradient_evaluations: Forward and backward passes done.
        train_seconds: Training time.
        validation_losses: After each epoch.
    """

    epochs: int
    cap: int
    gradient_evaluations: float
    train_seconds: float
    validation_losses: Sequence[float] = ()


def within_epoch(stop: Stop, standing: Standing) -> bool:
    """Whether a budget is used up, asked after each step."""
    if stop.rule == "gradient-evaluations":
        return standing.gradient_evaluations >= (stop.value or 0)
    if stop.rule == "minutes":
        return standing.train_seconds >= 60 * (stop.value or 0)
    return False


def after_epoch(stop: Stop, standing: Standing, confirm: Callable[[float], bool]) -> str | None:
    """Return the rule that ends the run after this epoch, or None.

    Args:
        stop: The rule.
        standing: How far the run is.
        confirm: Whether a clean evaluation of the training images reaches an accuracy; asked after
            every epoch of a run under `train-accuracy`. Accuracy counted while training, under
            augmentation and dropout, lags behind it by many epochs and tells nothing.
    """
    if within_epoch(stop, standing):
        return stop.rule
    if stop.rule == "patience" and _waited(standing.validation_losses) >= (stop.value or 0):
        return stop.rule
    if stop.rule == "train-accuracy" and confirm(stop.value or 1.0):
        return stop.rule
    return "epochs" if standing.epochs >= standing.cap else None


def _waited(losses: Sequence[float]) -> int:
    """Epochs since the lowest validation loss."""
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0
