from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest
import torch

from sambench.config.stop import Stop
from sambench.training.events import Epoch
from sambench.training.loop import after_epoch, within_epoch
from sambench.training.state import TrainingState

CAP = 10
SECONDS = 90.0


def standing(epochs: int = 3, validation_losses: Sequence[float] = ()) -> TrainingState:
    state = TrainingState.fresh(1, torch.device("cpu"))
    state.epoch, state.gradient_evaluations = epochs, Fraction(100)
    state.history = [epoch(loss) for loss in validation_losses]
    return state


def epoch(validation_loss: float) -> Epoch:
    return Epoch(
        epoch=1,
        train_loss=1.0,
        train_accuracy=1.0,
        validation_loss=validation_loss,
        validation_accuracy=1.0,
        lr=0.1,
        gradient_evaluations=1.0,
        train_seconds=1.0,
        sharpness=None,
    )


def answer(value: bool, asked: list[float]) -> Callable[[float], bool]:
    def confirm(target: float) -> bool:
        asked.append(target)
        return value

    return confirm


def never(target: float) -> bool:
    pytest.fail(f"asked to confirm {target}")


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("gradient-evaluations=100", True),
        ("gradient-evaluations=101", False),
        ("minutes=1.5", True),
        ("minutes=1.6", False),
        ("epochs", False),
        ("patience=1", False),
        ("train-accuracy", False),
    ],
)
def test_budgets_are_asked_after_each_step(stop: str, expected: bool) -> None:
    assert within_epoch(Stop.parse(stop), standing(), SECONDS) is expected


@pytest.mark.parametrize("stop", ["gradient-evaluations=50", "minutes=1"])
def test_a_spent_budget_ends_the_run(stop: str) -> None:
    rule = stop.partition("=")[0]
    assert after_epoch(Stop.parse(stop), CAP, standing(), SECONDS, never) == rule


def test_a_spent_budget_is_the_reason_at_the_last_epoch_too() -> None:
    stop = Stop.parse("gradient-evaluations=50")
    assert after_epoch(stop, CAP, standing(epochs=10), SECONDS, never) == "gradient-evaluations"


@pytest.mark.parametrize(("epochs", "expected"), [(9, None), (10, "epochs"), (11, "epochs")])
@pytest.mark.parametrize("stop", ["epochs", "minutes=5", "patience=5", "train-accuracy"])
def test_the_cap_ends_every_run(stop: str, epochs: int, expected: str | None) -> None:
    confirm = answer(False, []) if stop == "train-accuracy" else never
    assert after_epoch(Stop.parse(stop), CAP, standing(epochs), SECONDS, confirm) == expected


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], None),
        ([1.0], None),
        ([1.0, 2.0], None),
        ([1.0, 2.0, 3.0], "patience"),
        ([3.0, 2.0, 1.0], None),
        ([1.0, 1.0, 1.0], "patience"),
        ([1.0, 2.0, 0.5], None),
        ([1.0, 2.0, 0.5, 0.6, 0.7], "patience"),
    ],
)
def test_patience_counts_epochs_since_the_lowest_loss(
    losses: list[float], expected: str | None
) -> None:
    stop = Stop.parse("patience=2")
    assert after_epoch(stop, CAP, standing(validation_losses=losses), SECONDS, never) == expected


@pytest.mark.parametrize(
    ("stop", "confirmed", "expected", "asked"),
    [
        ("train-accuracy=0.8", True, "train-accuracy", [0.8]),
        ("train-accuracy=0.8", False, None, [0.8]),
        ("train-accuracy", True, "train-accuracy", [1.0]),
    ],
)
def test_train_accuracy_is_that_of_a_clean_evaluation(
    stop: str, confirmed: bool, expected: str | None, asked: list[float]
) -> None:
    told: list[float] = []
    found = after_epoch(Stop.parse(stop), CAP, standing(), SECONDS, answer(confirmed, told))
    assert (found, told) == (expected, asked)


def test_a_target_met_at_the_last_epoch_is_met() -> None:
    here = standing(epochs=10)
    found = after_epoch(Stop.parse("train-accuracy"), CAP, here, SECONDS, answer(True, []))
    assert found == "train-accuracy"


def test_a_target_missed_at_the_last_epoch() -> None:
    here = standing(epochs=10)
    assert (
        after_epoch(Stop.parse("train-accuracy"), CAP, here, SECONDS, answer(False, [])) == "epochs"
    )
