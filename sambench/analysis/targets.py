"""Cost to a target accuracy, from the epochs of `history.jsonl`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from sambench.errors import StoreError
from sambench.files.checksums import read_checked

Epochs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class TargetCost:
    """What a run had spent at the end of the first epoch that met the target."""

    epochs: int
    gradient_evaluations: int
    train_seconds: float


def read_history(path: Path, sha256: str | None = None) -> Epochs:
    """Read a run's epochs.

    Args:
        path: The file.
        sha256: What the run's record has of it; None where it has nothing.

    Raises:
        StoreError: If the file is missing, damaged or not the one that the run wrote.
    """
    try:
        return [json.loads(line) for line in read_checked(path, sha256).decode().splitlines()]
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); run it again") from error


def cost_to_target(history: Epochs, target: float) -> TargetCost | None:
    """Return what the run had spent when it first reached the target; None where it never did.

    The resolution is one epoch. The target is one of validation: the test part is read once, at the
    end, and a training accuracy says nothing of new images.

    Args:
        history: The epochs, in order.
        target: Least accuracy, a fraction.
    """
    for epoch in history:
        reached = epoch.get("validation_accuracy")
        if reached is not None and reached >= target:
            return TargetCost(
                epochs=int(epoch["epoch"]),
                gradient_evaluations=int(epoch["gradient_evaluations"]),
                train_seconds=float(epoch["train_seconds"]),
            )
    return None


@dataclass(frozen=True, kw_only=True)
class TargetSummary:
    """Runs of one optimizer on the way to a target.

    Attributes:
        runs: Number of runs.
        reached: How many of them reached it.
        epochs: Median over all runs, those that never reached it last; infinite where half or more
            did not.
        gradient_evaluations: Likewise.
        train_seconds: Likewise.
    """

    runs: int
    reached: int
    epochs: float
    gradient_evaluations: float
    train_seconds: float


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
    return TargetSummary(
        runs=len(found),
        reached=len(reached),
        epochs=median([*(float(cost.epochs) for cost in reached), *never]),
        gradient_evaluations=median([*(float(c.gradient_evaluations) for c in reached), *never]),
        train_seconds=median([*(cost.train_seconds for cost in reached), *never]),
    )


def choose_target(baseline: Iterable[Epochs], share: float = 0.99) -> float | None:
    """Return the validation accuracy that the baseline sets: a share of its median run's best.

    Args:
        baseline: The epochs of each of its runs.
        share: Of the median over runs of their best validation accuracy.

    Returns:
        A fraction; None where a run has no validation part.
    """
    field = "validation_accuracy"
    best = [[e[field] for e in epochs if e.get(field) is not None] for epochs in baseline if epochs]
    return share * median(max(found) for found in best) if best and all(best) else None
