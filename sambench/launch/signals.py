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

    A second one interrupts at once where we `insist`; so many seconds request it by themselves.
    Outside the main thread signals are left alone; so is an ignored hang-up, as under `nohup`.
    """
    requested = threading.Event()

    def request(number: int, frame: FrameType | None) -> None:
        if requested.is_set() and insist:
            raise KeyboardInterrupt
        requested.set()

    timer = threading.Timer(seconds or 0, requested.set)
    timer.daemon = True
    if seconds is not None:
        timer.start()
    here = threading.current_thread() is threading.main_thread()
    ignored = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else []
    heeded = [number for number in numbers if here and number not in ignored]
    before = {number: signal.signal(number, request) for number in heeded}
    try:
        yield requested.is_set
    finally:
        timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
