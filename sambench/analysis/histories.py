"""What `history.jsonl` tells: learning epoch by epoch, and the cost to a target accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from sambench.analysis.inference import Floats
from sambench.errors import StoreError
from sambench.files.checksums import read_checked
from sambench.store.record import RunRecord

EPOCH, PASSES, SECONDS = "epoch", "gradient_evaluations", "train_seconds"
AXES = (EPOCH, PASSES, SECONDS)
"""What a run may have spent at the end of an epoch."""

VALIDATION = "validation_accuracy"
"""Targets are of validation: the test part is read once, at the end, and a training accuracy says
nothing of new images."""

Epochs = Sequence[Mapping[str, Any]]


class _Epoch(Struct):
    """What is asked of each line; an epoch may have more, and no accuracy on validation images."""

    epoch: float
    gradient_evaluations: float
    train_seconds: float
    train_loss: float
    validation_accuracy: float | None = None


def read_history(path: Path, record: RunRecord | None = None) -> Epochs:
    """Read a run's epochs; missing, damaged or not the record's own they are a StoreError."""
    try:
        lines = read_checked(path, record.sha256_of(path.name) if record else None).splitlines()
        epochs = [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]
        msgspec.convert(epochs, list[_Epoch])
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); run it again") from error
    trained = ((record and record.final) or {}).get("epochs", len(epochs))
    if len(epochs) != trained:
        raise StoreError(f"{path} has {len(epochs)} of the run's {trained} epochs; run it again")
    return epochs


def cost_to_target(history: Epochs, target: float) -> Mapping[str, Any] | None:
    """Return the first epoch whose validation accuracy (a fraction) met a target, if any did."""
    return next((epoch for epoch in history if (epoch.get(VALIDATION) or 0.0) >= target), None)


def median_cost(reached: Iterable[Mapping[str, Any] | None], axis: str) -> float:
    """Return the median over runs of what each had spent; infinite where half never got there.

    Runs that never reach the target count as the last, lest they flatter the median.
    """
    return median(math.inf if epoch is None else float(epoch[axis]) for epoch in reached)


def choose_target(baseline: Iterable[Epochs]) -> float | None:
    """Return 99 % of the best validation accuracy of the baseline's median run, if it has one."""
    best = [[e[VALIDATION] for e in r if e.get(VALIDATION) is not None] for r in baseline if r]
    return 0.99 * median(max(found) for found in best) if best and all(best) else None


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Runs of one optimizer over the E epochs that all of them did."""

    spent: dict[str, Floats]  # for each of `AXES`, the mean over runs at each epoch's end, (E,)
    mean: Floats  # of the quantity, (E,); geometric where that was asked for
    low: Floats  # mean minus one SD; the mean over the geometric SD
    high: Floats
    runs: int


def learning_curve(
    histories: Sequence[Epochs], quantity: str, *, geometric: bool = False
) -> LearningCurve | None:
    """Average runs epoch by epoch.

    The curve ends with the first run that ends, lest the mean jump where one leaves it. None where
    a run lacks the quantity, or has no epoch.
    """
    length = min((len(epochs) for epochs in histories), default=0)
    if not length or any(e.get(quantity) is None for h in histories for e in h[:length]):
        return None
    spent = {axis: _table(histories, axis, length).mean(axis=0) for axis in AXES}
    values = _table(histories, quantity, length)
    if geometric:
        values = np.log(np.maximum(values, np.finfo(np.float64).tiny))
    mean = values.mean(axis=0)
    sd = values.std(axis=0, ddof=1) if len(histories) > 1 else np.zeros(length)
    sides = (mean, mean - sd, mean + sd)
    mean, low, high = (np.exp(side) for side in sides) if geometric else sides
    return LearningCurve(spent=spent, mean=mean, low=low, high=high, runs=len(histories))


def _table(histories: Sequence[Epochs], key: str, length: int) -> Floats:
    return np.array([[float(e[key]) for e in h[:length]] for h in histories], dtype=np.float64)
