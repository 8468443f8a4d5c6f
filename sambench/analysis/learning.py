"""Learning curves of repeated runs: the mean epoch by epoch, and its spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sambench.analysis.targets import Epochs

EPOCH, PASSES, SECONDS = "epoch", "gradient_evaluations", "train_seconds"
AXES = (EPOCH, PASSES, SECONDS)
"""What a run may have spent at the end of an epoch."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Runs of one optimizer, as far as all of them went.

    Attributes:
        spent: For each of `AXES`, the mean over runs at the end of each epoch, shape (E,).
        mean: Of the quantity, shape (E,); the geometric mean where it was asked for.
        low: Mean minus one standard deviation; the mean over the geometric one.
        high: Mean plus one standard deviation; likewise.
        runs: Number of runs.
    """

    spent: dict[str, Floats]
    mean: Floats
    low: Floats
    high: Floats
    runs: int


def learning_curve(
    histories: Sequence[Epochs], quantity: str, *, geometric: bool = False
) -> LearningCurve | None:
    """Average runs epoch by epoch.

    Runs may end at different epochs; the curve ends with the first of them, lest the mean jump
    where one leaves it.

    Args:
        histories: The epochs of each run.
        quantity: Which of an epoch's numbers.
        geometric: Average logarithms, as a logarithmic axis asks for.

    Returns:
        None where a run lacks the quantity, or has no epoch.

    Raises:
        ValueError: If an epoch lacks what it had spent.
    """
    length = min((len(epochs) for epochs in histories), default=0)
    if not length or any(e.get(quantity) is None for h in histories for e in h[:length]):
        return None
    try:
        spent = {axis: _table(histories, axis, length).mean(axis=0) for axis in AXES}
        values = _table(histories, quantity, length)
    except (KeyError, TypeError) as error:
        raise ValueError(f"an epoch has no number {error}") from error
    if geometric:
        values = np.log(np.maximum(values, np.finfo(np.float64).tiny))
    mean = values.mean(axis=0)
    sd = values.std(axis=0, ddof=1) if len(histories) > 1 else np.zeros(length)
    sides = (mean, mean - sd, mean + sd)
    mean, low, high = (np.exp(side) for side in sides) if geometric else sides
    return LearningCurve(spent=spent, mean=mean, low=low, high=high, runs=len(histories))


def _table(histories: Sequence[Epochs], key: str, length: int) -> Floats:
    return np.array([[float(e[key]) for e in h[:length]] for h in histories], dtype=np.float64)
