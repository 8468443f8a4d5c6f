"""Signals that ask a run to stop after its step."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from sambench.launch.signals import stop_on_signal


@pytest.fixture(autouse=True)
def hang_up_as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_asks_and_the_second_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), stop_on_signal() as stop_requested:
        assert not stop_requested()
        os.kill(os.getpid(), number)
        assert stop_requested()
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_a_hang_up_that_nohup_ignores_is_left_alone() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_on_signal() as stop_requested:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not stop_requested()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
