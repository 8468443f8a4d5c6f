"""Learning rates over a run's steps, against their formulas, and through a checkpoint."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch

from sambench.config.run_config import RunConfig
from sambench.optim import build
from sambench.training.schedules import make_scheduler

EPOCHS, STEPS = 4, 5
TOTAL = EPOCHS * STEPS


FORMULAS = {
    "constant": lambda step, steps: 1.0,
    "cosine": lambda step, steps: (1 + math.cos(math.pi * step / steps)) / 2,
    "step": lambda step, steps: 0.1 ** ((step >= steps // 2) + (step >= steps * 3 // 4)),
}


def rates(
    schedule: str,
    warmup: int,
    *,
    reload_at: int | None = None,
    epochs: int = EPOCHS,
    steps: int = STEPS,
) -> list[float]:
    """Return the rate of each step of a run with lr 1; its state is loaded anew on the way."""
    given = {"dataset": "d", "image_size": 8, "model": "m", "optimizer": "sam", "lr": 1.0}
    times = {"epochs": epochs, "schedule": schedule, "warmup": warmup}
    config = RunConfig.from_dict({**given, **times})
    found = []
    model = torch.nn.Linear(1, 1)
    optimizer = build("sam", model.parameters(), "sgd", model=model, lr=1.0)
    scheduler = make_scheduler(config, optimizer, steps)
    for step in range(epochs * steps):
        if step == reload_at and scheduler is not None:
            state, of_optimizer = scheduler.state_dict(), optimizer.state_dict()
            optimizer = build("sam", model.parameters(), "sgd", model=model, lr=1.0)
            scheduler = make_scheduler(config, optimizer, steps)
            assert scheduler is not None
            optimizer.load_state_dict(of_optimizer)
            scheduler.load_state_dict(state)
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step(_closure(model))
        if scheduler is not None:
            scheduler.step()
    return found


def _closure(model: torch.nn.Module) -> Callable[[], torch.Tensor]:
    def closure() -> torch.Tensor:
        (loss := model(torch.ones(2, 1)).sum()).backward()
        return loss

    return closure


@pytest.mark.parametrize(("schedule", "warmup"), [*itertools.product(FORMULAS, (0, 1, 2))])
def test_the_rate_rises_in_equal_steps_and_then_follows_the_formula(
    schedule: str, warmup: int
) -> None:
    """torch multiplies from step to step, which rounds once a step: 20 of 1.1e-16 at most."""
    first = warmup * STEPS
    rising = [(step + 1) / first for step in range(first)]
    rest = TOTAL - first
    after = [FORMULAS[schedule](step, rest) for step in range(rest)]
    assert rates(schedule, warmup) == pytest.approx(rising + after, rel=1e-13)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_schedule_of_one_step_begins_at_the_rate(epochs: int) -> None:
    assert rates("step", epochs - 1, epochs=epochs, steps=1)[-1] == 1


def test_one_cycle() -> None:
    """From lr / 25 to lr over 30 % of the steps, then down."""
    found = rates("onecycle", 0)
    assert found[0] == pytest.approx(1 / 25)
    highest = max(range(TOTAL), key=found.__getitem__)
    assert 0.95 < found[highest] <= 1
    assert highest in (5, 6)
    assert found[: highest + 1] == sorted(found[: highest + 1])
    assert found[highest:] == sorted(found[highest:], reverse=True)
    assert found[-1] < 0.02


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step", "onecycle"])
@pytest.mark.parametrize("reload_at", [3, 5, 12])
def test_a_resumed_run_goes_on_with_the_same_rates(schedule: str, reload_at: int) -> None:
    warmup = 0 if schedule == "onecycle" else 1
    assert rates(schedule, warmup, reload_at=reload_at) == rates(schedule, warmup)
