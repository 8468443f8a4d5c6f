"""The one form that all progress bars have, and what stands for them where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn

WIDE = 100
"""Columns from which on there is room for a long bar."""


def progress_bar(console: Console, *columns: ProgressColumn) -> Progress:
    """Return a bar that is gone when it is done, and absent where there is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20 if console.width >= WIDE else 8),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal or console.quiet,
    )


class SlowLines:
    """Says how far something is, in a plain line now and then, where no bar can move."""

    SECONDS = 30.0
    """Least time from one line to the next, and from the start to the first."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._last = clock()
        self._said = ""

    def tell(self, text: str) -> None:
        """Say it, if the last line is long ago and was another."""
        early = self._clock() - self._last < self.SECONDS
        if self._console.is_terminal or early or text == self._said:
            return
        self._last, self._said = self._clock(), text
        self._console.print(text, markup=False, soft_wrap=True)
