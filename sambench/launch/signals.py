"""Signals, and time that is over, as requests that a run honours after its step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signal(
    numbers: Sequence[int] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    *,
    insist: bool = True,
    seconds: float | None = None,
) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C, SIGTERM or hang-up into a request that is honoured after a step.

    A second one interrupts at once. Outside the main thread signals are left alone, and so is a
    hang-up that is ignored, as under `nohup`.

    Args:
        numbers: The signals that ask to stop.
        insist: Whether a second one interrupts at once.
        seconds: Request it by itself after so long; None for never.
    """
    requested = threading.Event()
    with _alarm(requested, seconds):
        if threading.current_thread() is threading.main_thread():
            with _handled(requested, numbers, insist=insist):
                yield requested.is_set
        else:
            yield requested.is_set


@contextmanager
def _alarm(requested: threading.Event, seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, requested.set)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _handled(requested: threading.Event, numbers: Sequence[int], *, insist: bool) -> Iterator[None]:

    def request(number: int, frame: FrameType | None) -> None:
        if requested.is_set() and insist:
            raise KeyboardInterrupt
        requested.set()

    heeded = [
        number
        for number in numbers
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, request) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
