"""What `history.jsonl` tells: learning epoch by epoch, and the cost to a target accuracy."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from sambench.analysis.inference import Floats
from sambench.errors import StoreError
from sambench.files.checksums import read_checked

EPOCH, PASSES, SECONDS = "epoch", "gradient_evaluations", "train_seconds"
AXES = (EPOCH, PASSES, SECONDS)
"""What a run may have spent at the end of an epoch."""

VALIDATION = "validation_accuracy"
"""Targets are of validation: the test part is read once, at the end, and a training accuracy says
nothing of new images."""

Epochs = Sequence[Mapping[str, Any]]


def read_history(path: Path, sha256: str | None = None) -> Epochs:
    """Read a run's epochs; `sha256` is what the run's record has of the file, if it has anything.

    Raises:
        StoreError: If the file is missing, damaged or not the one that the run wrote.
    """
    try:
        return [json.loads(line) for line in read_checked(path, sha256).decode().splitlines()]
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); run it again") from error


@dataclass(frozen=True, kw_only=True)
class TargetCost:
    """What a run had spent at the end of the first epoch that met the target."""

    epochs: float
    gradient_evaluations: float
    train_seconds: float


def cost_to_target(history: Epochs, target: float) -> TargetCost | None:
    """Return what the run had spent when it first reached a validation accuracy, if it ever did.

    The target is a fraction; the resolution is one epoch.
    """
    for epoch in history:
        reached = epoch.get(VALIDATION)
        if reached is not None and reached >= target:
            return TargetCost(
                epochs=int(epoch[EPOCH]),
                gradient_evaluations=int(epoch[PASSES]),
                train_seconds=float(epoch[SECONDS]),
            )
    return None


@dataclass(frozen=True, kw_only=True)
class TargetSummary(TargetCost):
    """Medians over runs, those that never reached the target last; infinite where half did not."""

    runs: int
    reached: int


def summarize_targets(costs: Iterable[TargetCost | None]) -> TargetSummary:
    """Summarize runs by medians, which runs that never reach the target do not flatter.

    Raises:
        ValueError: If there is no run.
    """
    found = list(costs)
    if not found:
        raise ValueError("a summary needs at least one run")
    reached = [cost for cost in found if cost is not None]
    never = [math.inf] * (len(found) - len(reached))
    medians = {
        field.name: median([*(float(getattr(cost, field.name)) for cost in reached), *never])
        for field in fields(TargetCost)
    }
    return TargetSummary(runs=len(found), reached=len(reached), **medians)


def choose_target(baseline: Iterable[Epochs]) -> float | None:
    """Return the validation accuracy that the baseline sets: 99 % of its median run's best.

    None where a run has no validation part.
    """
    best = [
        [e[VALIDATION] for e in run if e.get(VALIDATION) is not None] for run in baseline if run
    ]
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
