"""Who is told what happens to runs, and how they ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sambench.config.run_config import RunConfig
from sambench.store.record import COMPLETED, RunRecord
from sambench.training.events import Event


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Who is told what happens, for display.

    Attributes:
        event: A run's own events.
        measuring: The minimum of a run that is trained begins to be measured.
        curvature: Stage of a curvature measurement, what is done of it, the most it may take.
        finished: A run ended, well or not.
        failed: A run raised or its process died; its record says why.
        elsewhere: A run is being done by another process.
        say: What a launcher chose and did: device, job number.
        waiting: What runs elsewhere do, how many are over, and how many there are.
        lane: Gives a watcher for one more worker, where several go at once.
    """

    event: Callable[[Event], None] = lambda event: None
    measuring: Callable[[RunConfig], None] = lambda config: None
    curvature: Callable[[str, int, int], None] = lambda what, done, most: None
    finished: Callable[[RunRecord], None] = lambda record: None
    failed: Callable[[RunConfig, Exception], None] = lambda config, error: None
    elsewhere: Callable[[RunConfig], None] = lambda config: None
    say: Callable[[str], None] = lambda text: None
    waiting: Callable[[str, int, int], None] = lambda what, done, total: None
    lane: Callable[[], Watcher] | None = None


@dataclass(kw_only=True)
class Tally:
    """How the runs of a launch ended."""

    records: list[RunRecord] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    elsewhere: int = 0
    interrupted: bool = False

    def count(
        self, config: RunConfig, ending: RunRecord | Exception | None, watcher: Watcher
    ) -> None:
        """Count a run and tell of it: its record, what failed, or None if another process is at it.

        How many there are of a kind is known before the watcher is told.
        """
        if ending is None:
            self.elsewhere += 1
            watcher.elsewhere(config)
        elif isinstance(ending, Exception):
            self.errors.append(ending)
            watcher.failed(config, ending)
        else:
            self.records.append(ending)
            watcher.finished(ending)

    @property
    def exit_code(self) -> int:
        """130 interrupted, 1 some run failed or diverged, 0 all well."""
        if self.interrupted:
            return 130
        return int(bool(self.errors) or any(r.status != COMPLETED for r in self.records))
