"""What a launcher is, and the registry of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from sambench.errors import ConfigError, did_you_mean
from sambench.launch.manifest import Manifest
from sambench.launch.watcher import Tally, Watcher
from sambench.registry import Registry

RUNS_PER_DEVICE: Final = "runs_per_device"
"""Name of an option that more launchers than one have, or refuse."""

Launch = Callable[[Manifest, Mapping[str, str], Watcher], Tally]
"""Does the runs of a manifest with the launcher's options, and returns when they are over."""


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """An entry of `sambench list launchers`.

    Attributes:
        name: As on the command line.
        summary: One line: where the runs go.
        launch: Does them.
        options: Its options and what each means.
        open_options: Whether it hands other options on to somebody who checks them.
        reference: What it needs.
    """

    name: str
    summary: str
    launch: Launch
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
        for key in options:
            if key not in self.options and not self.open_options:
                known = ", ".join(self.options) or "none"
                raise ConfigError(
                    f"launcher {self.name} has no option {key!r}{did_you_mean(key, self.options)}; "
                    f"it has: {known}"
                )
        return self.launch(manifest, options, watcher)


launchers: Registry[Launcher] = Registry("launcher", "sambench.launch.launchers")


def read_options(text: str, where: str) -> dict[str, str]:
    """Read `key=value,key=value`.

    Raises:
        ConfigError: If a part is not of that form.
    """
    options: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = part.partition("=")
        if not (key.strip() and equals):
            raise ConfigError(f"{where}: {part!r} is not KEY=VALUE")
        options[key.strip()] = value.strip()
    return options
