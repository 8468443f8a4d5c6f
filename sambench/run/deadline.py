"""When a measurement is to stop, to go on another time where it was."""

from __future__ import annotations

import time


class OutOfTime(Exception):
    """The minutes are over; what is finished is kept."""


class Deadline:
    """The end of some minutes from now on.

    Args:
        minutes: How many; None for as long as it takes.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    def check(self) -> None:
        """Stop here if the minutes are over.

        Raises:
            OutOfTime: If they are.
        """
        if self._end is not None and time.monotonic() >= self._end:
            raise OutOfTime
