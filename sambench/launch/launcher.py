"""What a launcher is, whom it tells what happens to runs, and how its options are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from sambench.config.run_config import RunConfig
from sambench.errors import INTERRUPTED, ConfigError, PluginError, did_you_mean, shown
from sambench.files.description import allowed
from sambench.launch.manifest import Manifest
from sambench.registry import Registry
from sambench.store.record import COMPLETED, RunRecord
from sambench.training.events import Event

OTHERS = "..."
"""Among the options of a launcher: it hands all others on to somebody who checks them."""


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Who is told what happens, for display."""

    event: Callable[[Event], None] = lambda event: None  # a run's own
    measuring: Callable[[RunConfig], None] = lambda config: None  # a minimum begins to be measured
    curvature: Callable[[str, int, int], None] = lambda what, done, most: None  # what, done, most
    finished: Callable[[RunRecord], None] = lambda record: None  # a run ended, well or not
    failed: Callable[[RunConfig, Exception], None] = lambda config, error: None  # or its process
    elsewhere: Callable[[RunConfig], None] = lambda config: None  # another process does a run
    say: Callable[[str], None] = lambda text: None  # what a launcher chose: device, job number
    waiting: Callable[[str, int, int], None] = lambda what, done, total: None  # for runs elsewhere
    lane: Callable[[], Watcher] | None = None  # one more watcher, for each of several workers


@dataclass(kw_only=True)
class Tally:
    """How the runs of a launch ended."""

    records: list[RunRecord] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    elsewhere: list[RunConfig] = field(default_factory=list)  # another process was at them
    interrupted: bool = False

    def count(
        self, config: RunConfig, ending: RunRecord | Exception | None, watcher: Watcher
    ) -> None:
        """Count a run, then tell of it: its record, what failed, or None if another does it."""
        if ending is None:
            self.elsewhere.append(config)
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
            return INTERRUPTED
        return int(bool(self.errors) or any(r.status != COMPLETED for r in self.records))


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """An entry of `sambench list launchers`."""

    name: str  # as on the command line
    summary: str  # one line: where the runs go
    launch: Callable[[Manifest, Mapping[str, str], Watcher], Tally]  # returns when runs are over
    check: Callable[[Mapping[str, str]], None] = lambda options: None  # refuses, and does nothing
    describe_queued: Callable[[Path, Sequence[RunConfig]], Mapping[str, str]] = (
        lambda results, configs: {}  # what its queue says of runs of a results folder, by id
    )
    runs_per_job: Callable[[Mapping[str, str]], int | None] = lambda options: None  # None: no jobs
    options: Mapping[str, str] = field(default_factory=dict)  # what each means
    reference: str = ""  # what it needs

    def start(self, manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
        """Do the runs; a UserError if it has no such option, or lacks what it needs."""
        self.refuse_unknown(options)
        tally = self.launch(manifest, options, watcher)
        if not isinstance(tally, Tally):
            said = f"`launch` of launcher {self.name!r} returns {shown(tally)}"
            raise PluginError(f"{said}; have it return a Tally of sambench.launch.launcher")
        return tally

    def refuse_unknown(self, options: Mapping[str, str]) -> None:
        """Refuse options that it does not have, by a ConfigError that names the first."""
        for key in options:
            if key not in self.options and OTHERS not in self.options:
                raise ConfigError(
                    f"launcher {self.name} has no option {key!r}{did_you_mean(key, self.options)}; "
                    f"it has: {', '.join(self.options) or 'none'}"
                )


launchers: Registry[Launcher] = Registry("launcher", "sambench.launch.launchers")


def read_number(
    options: Mapping[str, str], name: str, of: Any, default: float | None = None
) -> Any:
    """Return an option that is a number of that kind; anything else is a ConfigError."""
    if name not in options:
        return default
    try:
        return msgspec.convert(options[name], of, strict=False)
    except msgspec.ValidationError:
        said = f"{name}={options[name]!r} is not allowed; allowed: {allowed(of)}"
        raise ConfigError(said) from None
