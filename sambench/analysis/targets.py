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


def cost_to_target(
    history: Epochs, target: float, field: str = "validation_accuracy"
) -> TargetCost | None:
    """Return what the run had spent when it first reached the target; None where it never did.

    The resolution is one epoch. The test part is read once, at the end, so the target is one of
    training or validation.

    Args:
        history: The epochs, in order.
        target: Least accuracy, a fraction.
        field: Which of an epoch's numbers must reach it.
    """
    for epoch in history:
        reached = epoch.get(field)
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


@dataclass(frozen=True, kw_only=True)
class Target:
    """An accuracy to be reached.

    Attributes:
        field: Which of an epoch's numbers must reach it.
        accuracy: A fraction.
    """

    field: str
    accuracy: float

    @property
    def name(self) -> str:
        """In words, with the number."""
        return f"{100 * self.accuracy:.1f} % {self.field.replace('_', ' ')}"


def choose_target(baseline: Iterable[Epochs], share: float = 0.99) -> Target | None:
    """Return a target that the baseline sets: a share of what its median run reached.

    It is one of validation where every run has a validation part, of training otherwise.

    Args:
        baseline: The epochs of each of its runs.
        share: Of the median over runs of their best accuracy.
    """
    histories = [epochs for epochs in baseline if epochs]
    for field in ("validation_accuracy", "train_accuracy"):
        best = [[epoch[field] for epoch in h if epoch.get(field) is not None] for h in histories]
        if best and all(best):
            return Target(field=field, accuracy=share * median(max(found) for found in best))
    return None
