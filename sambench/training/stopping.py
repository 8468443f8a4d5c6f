"""Stop rules: when a run ends, from what it has done so far."""

from __future__ import annotations

from collections.abc import Callable

from sambench.config.stop import Stop
from sambench.training.state import TrainingState


def within_epoch(stop: Stop, state: TrainingState, seconds: float) -> bool:
    """Whether a budget of passes or of training time is used up, asked after each step."""
    if stop.rule == "gradient-evaluations":
        return state.gradient_evaluations >= (stop.value or 0)
    return stop.rule == "minutes" and seconds >= 60 * (stop.value or 0)


def after_epoch(
    stop: Stop, cap: int, state: TrainingState, seconds: float, confirm: Callable[[float], bool]
) -> str | None:
    """Return the rule that ends the run after this epoch and so many seconds of training, or None.

    At most the `cap` of epochs are trained. Whether a clean evaluation of the training images
    reaches an accuracy, `confirm` is asked after every epoch of a run under `train-accuracy`:
    accuracy counted while training, under augmentation and dropout, lags behind it by many epochs
    and tells nothing.
    """
    if within_epoch(stop, state, seconds):
        return stop.rule
    if stop.rule == "patience":
        losses = [e.validation_loss for e in state.history if e.validation_loss is not None]
        if losses and len(losses) - 1 - losses.index(min(losses)) >= (stop.value or 0):
            return stop.rule
    if stop.rule == "train-accuracy" and confirm(stop.value or 1.0):
        return stop.rule
    return "epochs" if state.epoch >= cap else None
