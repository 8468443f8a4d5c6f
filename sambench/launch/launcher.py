"""What a launcher is, the registry of all of them, and how their options are read."""

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
from sambench.launch.watcher import Tally, Watcher
from sambench.plugin import VARIABLE
from sambench.registry import Registry
from sambench.store.environment import COMMAND

Default = TypeVar("Default", int, None)


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
