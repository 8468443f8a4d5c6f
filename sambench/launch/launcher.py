"""What a launcher is, and the registry of all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sambench.config.run_config import RunConfig
from sambench.errors import ConfigError, did_you_mean
from sambench.launch.manifest import Manifest
from sambench.launch.watcher import Tally, Watcher
from sambench.registry import Registry

RUNS_PER_DEVICE: Final = "runs_per_device"
"""Name of an option that more launchers than one have, or refuse."""

Launch = Callable[[Manifest, Mapping[str, str], Watcher], Tally]
"""Does the runs of a manifest with the launcher's options, and returns when they are over."""

DescribeQueued = Callable[[Path, Sequence[RunConfig]], Mapping[str, str]]
"""Returns what a queue says of runs of a results folder that earlier launches left in it, by id."""


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """An entry of `sambench list launchers`.

    Attributes:
        name: As on the command line.
        summary: One line: where the runs go.
        launch: Does them.
        check: Refuses options that make no sense, without doing anything.
        describe_queued: Looks into its queue, where it has one.
        options: Its options and what each means.
        open_options: Whether it hands other options on to somebody who checks them.
        reference: What it needs.
    """

    name: str
    summary: str
    launch: Launch
    check: Callable[[Mapping[str, str]], None] = lambda options: None
    describe_queued: DescribeQueued = lambda results, configs: {}
    options: Mapping[str, str] = field(default_factory=dict)
    open_options: bool = False
    reference: str = ""

    def start(self, manifest: Manifest, options: Mapping[str, str], watcher: Watcher) -> Tally:
        """Do the runs.

        Raises:
            ConfigError: If it has no such option.
            LaunchError: If what it needs is not there.
            StoreError: If the results folder cannot be written.
        """
        self.refuse_unknown(options)
        return self.launch(manifest, options, watcher)

    def refuse_unknown(self, options: Mapping[str, str]) -> None:
        """Refuse options that it does not have.

        Raises:
            ConfigError: Names the first.
        """
        for key in options:
            if key not in self.options and not self.open_options:
                known = ", ".join(self.options) or "none"
                raise ConfigError(
                    f"launcher {self.name} has no option {key!r}{did_you_mean(key, self.options)}; "
                    f"it has: {known}"
                )


launchers: Registry[Launcher] = Registry("launcher", "sambench.launch.launchers")


def read_options(texts: Iterable[str], where: str) -> dict[str, str]:
    """Read options `KEY=VALUE`, several of which may stand in one text with commas between them.

    A comma ends a value only where another key follows, so that values may have commas. The value
    of `setup`, a shell line, ends with its text; its lines add up.

    Raises:
        ConfigError: If a part is not of that form.
    """
    options: dict[str, str] = {}
    for text in texts:
        whole = text.lstrip().startswith("setup=")
        for part in [text] if whole else re.split(r",(?=\s*[a-z][a-z0-9_-]*=)", text):
            key, equals, value = part.strip().partition("=")
            if not (key and equals) or re.search(r"\s", key):
                raise ConfigError(f"{where}: {part.strip()!r} is not KEY=VALUE")
            key = key.replace("-", "_")
            before = options[key] + "\n" if key == "setup" and key in options else ""
            options[key] = before + value
    return options
