"""How optimizers, models and datasets are called in print."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from sambench.errors import ConfigError
from sambench.files.definition import EMPTY, Definition, build
from sambench.files.yaml_text import read_yaml

Printed = dict[str, str]
"""Each name to its print."""


class Names(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of display, those of a file before our own."""

    optimizers: Annotated[Printed, "Of names, or labels with settings."] = EMPTY
    models: Annotated[Printed, "Of names."] = EMPTY
    datasets: Annotated[Printed, "Of names."] = EMPTY

    def optimizer(self, label: str) -> str:
        """Return how an optimizer is printed, its settings in parentheses kept."""
        name, bracket, rest = label.partition(" (")
        whole = self.optimizers.get(label)
        return (whole or self.printed("optimizers", name)) + bracket + rest

    def printed(self, kind: str, name: str) -> str:
        """Return how one of the `optimizers`, `models` or `datasets` is printed."""
        own: str | None = getattr(self, kind).get(name)
        return own or getattr(_in_papers(), kind).get(name, name)


@cache
def _in_papers() -> Names:
    """Return the names as the papers print them; what is not there is printed by its own name."""
    return read_names(Path(__file__).with_name("names.yaml"))


def read_names(path: Path) -> Names:
    """Read a YAML file of names; a ConfigError is raised if it is none or has another key."""
    try:
        return build(Names, read_yaml(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give a YAML file") from None
