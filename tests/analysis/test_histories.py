from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from sambench.analysis.histories import choose_target, cost_to_target, median_cost, read_history
from sambench.errors import StoreError

HISTORY = [
    {
        "epoch": epoch,
        "train_loss": 0.1,
        "train_accuracy": 1.0,
        "validation_accuracy": accuracy,
        "gradient_evaluations": 20 * epoch,
        "train_seconds": 1.5 * epoch,
    }
    for epoch, accuracy in [(1, 0.5), (2, 0.8), (3, 0.7), (4, 0.9)]
]


@pytest.mark.parametrize(("target", "epoch"), [(0.5, 1), (0.6, 2), (0.8, 2), (0.85, 4)])
def test_the_first_epoch_that_reaches_it(target: float, epoch: int) -> None:
    found = cost_to_target(HISTORY, target)
    assert found is not None
    assert (found["epoch"], found["gradient_evaluations"]) == (epoch, 20 * epoch)
    assert found["train_seconds"] == 1.5 * epoch


def test_never() -> None:
    assert cost_to_target(HISTORY, 0.95) is None
    unvalidated = [{**epoch, "validation_accuracy": None} for epoch in HISTORY]
    assert cost_to_target(unvalidated, 0.5) is None  # never by training accuracy


def test_runs_that_never_reach_it_do_not_flatter_the_median() -> None:
    costs = [{"epoch": e, "gradient_evaluations": e, "train_seconds": e} for e in (3, 1)]
    assert median_cost([*costs, None], "epoch") == 3.0
    assert median_cost([*costs, None], "train_seconds") == 3.0
    assert median_cost([*costs, None, None], "epoch") == math.inf
    assert median_cost(costs, "gradient_evaluations") == 2.0
    with pytest.raises(ValueError, match="no median"):
        median_cost([], "epoch")


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in HISTORY))
    assert read_history(path) == HISTORY
    path.write_text('{"epoch": 1')
    with pytest.raises(StoreError, match=r"history\.jsonl cannot be read"):
        read_history(path)
    with pytest.raises(StoreError, match="cannot be read"):
        read_history(tmp_path / "none.jsonl")
    path.write_text(json.dumps({**HISTORY[0], "train_loss": None}))  # its curve was left out
    with pytest.raises(StoreError, match=r"cannot be read \(.*train_loss"):
        read_history(path)


def test_the_baseline_sets_the_target() -> None:
    def run(*accuracies: float | None) -> list[dict[str, object]]:
        return [{"validation_accuracy": a, "train_accuracy": 0.5} for a in accuracies]

    target = choose_target([run(0.2, 0.9, 0.7), run(0.8), run(0.1, None)])
    assert target == pytest.approx(0.99 * 0.8)
    assert choose_target([run(0.9), run(None)]) is None  # one run has no validation part
    assert choose_target([]) is None
    assert choose_target([[]]) is None
