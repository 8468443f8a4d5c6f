"""What counts as time of training, with a clock that only the tests move."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sambench.training import loop
from sambench.training.clock import Clock
from sambench.training.events import Tick
from tests.training.test_loop import CPU, training


def test_time_in_which_the_process_was_stopped_is_none(pass_by: Callable[[float], None]) -> None:
    clock = Clock(CPU)
    pass_by(1)
    with clock.training():
        pass_by(3)
        assert clock.train_seconds == 3
        pass_by(500)  # Ctrl-Z
        signal.raise_signal(signal.SIGCONT)
        signal.raise_signal(signal.SIGCONT)  # Slurm sends it again before it ends a job
        pass_by(2)
    with clock.evaluation():
        pass_by(4)
    assert (clock.train_seconds, clock.evaluation_seconds, clock.overhead_seconds) == (5, 4, 1)


def test_whoever_shows_a_run_may_keep_it_waiting(
    tmp_path: Path, pass_by: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a terminal that Ctrl-S holds, or a pool that Ctrl-Z stopped and that reads no more."""
    monkeypatch.setattr(loop, "TICK_SECONDS", -1.0)
    shown: list[Tick] = []

    def show(tick: Tick) -> None:
        shown.append(tick)
        pass_by(1000)

    run = training(tmp_path, epochs=1)
    run.on_tick = show
    run.run()
    assert len(shown) == 5
    assert (run.clock.train_seconds, run.clock.overhead_seconds) == (0, 5000)
