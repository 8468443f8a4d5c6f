"""Waiting for what another process or thread does, as long as a busy machine may take."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 900.0
"""Seconds until something that is waited for counts as stuck.

What is waited for takes seconds. Beside any number of other programs it takes minutes, so that a
test which fails by this clock has found something that hangs.
"""


def wait_until(what: str, condition: Callable[[], object]) -> None:
    """Return as soon as a condition holds; fail, saying what did not happen, if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)
