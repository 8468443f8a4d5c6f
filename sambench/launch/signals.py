"""Signals as requests that a run honours after its step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signal(
    numbers: Sequence[int] = (signal.SIGINT, signal.SIGTERM), *, insist: bool = True
) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a request that the loop honours after its step.

    A second one interrupts at once. Outside the main thread signals are left alone.

    Args:
        numbers: The signals that ask to stop.
        insist: Whether a second one interrupts at once.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return

    def request(number: int, frame: FrameType | None) -> None:
        if requested.is_set() and insist:
            raise KeyboardInterrupt
        requested.set()

    before = {number: signal.signal(number, request) for number in numbers}
    try:
        yield requested.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
