"""What a launcher is, whom it tells what happens to runs, and how its options are read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sambench.config.run_config import RunConfig
from sambench.errors import ConfigError, did_you_mean
from sambench.files.claim import HEARTBEAT_SECONDS
from sambench.files.owner import STALE_SECONDS
from sambench.launch.manifest import Manifest
from sambench.plugin import VARIABLE
from sambench.registry import Registry
from sambench.store.environment import COMMAND
from sambench.store.record import COMPLETED, RunRecord
from sambench.training.events import Event

Default = TypeVar("Default", int, None)


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


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """An entry of `sambench list launchers`.

    Attributes:
        name: As on the command line.
        summary: One line: where the runs go.
        launch: Does the runs of a manifest with these options; returns when they are over.
        check: Refuses options that make no sense, without doing anything.
        describe_queued: Returns what its queue says of runs of a results folder, by id.
        runs_per_job: Returns how many runs a job of its queue does; None where it has no jobs.
        options: Its options and what each means.
        open_options: Whether it hands other options on to somebody who checks them.
        reference: What it needs.
    """

    name: str
    summary: str
    launch: Callable[[Manifest, Mapping[str, str], Watcher], Tally]
    check: Callable[[Mapping[str, str]], None] = lambda options: None
    describe_queued: Callable[[Path, Sequence[RunConfig]], Mapping[str, str]] = (
        lambda results, configs: {}
    )
    runs_per_job: Callable[[Mapping[str, str]], int | None] = lambda options: None
    options: Mapping[str, str] = field(default_factory=dict)
    open_options: bool = False
    reference: str = ""

    def start(self, manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
        """Do the runs.

        Raises:
            UserError: If it has no such option, or what it needs is not there.
        """
        self.refuse_unknown(options)
        return self.launch(manifest, options, watcher)

    def refuse_unknown(self, options: Mapping[str, str]) -> None:
        """Refuse options that it does not have, by a ConfigError that names the first."""
        for key in options:
            if key not in self.options and not self.open_options:
                known = ", ".join(self.options) or "none"
                raise ConfigError(
                    f"launcher {self.name} has no option {key!r}{did_you_mean(key, self.options)}; "
                    f"it has: {known}"
                )


launchers: Registry[Launcher] = Registry("launcher", "sambench.launch.launchers")


def whole_number(
    options: Mapping[str, str], name: str, default: Default, least: int = 1
) -> int | Default:
    """Return an option that is a whole number; anything else, or less, is a ConfigError."""
    text = options.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"{name}={text!r} is not allowed; allowed: a whole number >= {least}")
    return int(text)


CLUSTER_PATIENCE = STALE_SECONDS + 2 * HEARTBEAT_SECONDS
"""For runs that a cluster starts again because the machine that did them is lost."""


def inherited_environment() -> dict[str, str]:
    """Return the variables that processes on other machines need: plugins and the command typed."""
    return {key: os.environ[key] for key in (VARIABLE, COMMAND) if os.environ.get(key)}
