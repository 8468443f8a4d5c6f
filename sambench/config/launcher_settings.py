"""Who does the runs: what a suite, the site's file of options and the command line say of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from yaml import YAMLError

from sambench.errors import ConfigError, UserError, shown
from sambench.files.definition import EMPTY, Definition, Fault, build
from sambench.files.yaml_text import read_yaml

LINES = "setup"
"""The option whose value is shell lines, which add up where others replace each other."""


class LauncherSettings(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A launcher and its options. It is no part of what a run is, and changes no run's id."""

    name: Annotated[str, "One of `sambench list launchers`."]
    options: Annotated[dict[str, str], "Its options, as `--with` has them."] = EMPTY

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> LauncherSettings:
        """Read the `launcher` of a suite file: its name, and options beside it.

        If it has no name, or an option is not text, a number or a list of lines, it is a Fault; so
        is the name of a file to write, which is the user's to give.
        """
        if "sbatch" in given:
            raise Fault(
                "launcher sbatch is not for a suite; give --sbatch FILE", ("launcher", "sbatch")
            )
        options = {key: value for key, value in given.items() if key != "name"}
        named = {key: value for key, value in given.items() if key == "name"}
        return build(cls, {**named, "options": option_texts(options, "launcher")}, "launcher")

    def with_options(self, more: Mapping[str, str]) -> LauncherSettings:
        """Return it with more options, which go before those that it has."""
        lines = [options[LINES] for options in (self.options, more) if LINES in options]
        added = {LINES: "\n".join(lines)} if lines else {}
        return LauncherSettings(name=self.name, options={**self.options, **more, **added})

    def __str__(self) -> str:
        told = (f"{key}={text}".replace("\n", "; ") for key, text in self.options.items())
        return ", ".join((self.name, *told))


LOCAL = LauncherSettings(name="local")


def option_texts(given: Mapping[Any, object], *names: str) -> dict[str, str]:
    """Return options out of YAML as the command line would have them.

    A list is several lines; true stands for an option without a value; null leaves it out. A fault
    calls an option by its key after these names.
    """
    texts: dict[str, str] = {}
    for key, value in given.items():
        lines = value if isinstance(value, list) else [value]
        fits = not any(line is None or isinstance(line, list | dict) for line in lines)
        if value is not None and not (fits and re.fullmatch(r"[A-Za-z][\w-]*", str(key))):
            said = " ".join((*names, f"{shown(str(key))}={shown(value)}"))
            allowed = "allowed: a key, and text, a number, true, false or a list of lines"
            raise Fault(f"{said} is not allowed; {allowed}", (*names, str(key)))
        if value is not None:
            texts[str(key).replace("-", "_")] = "\n".join(map(_text, lines))
    return texts


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "" if value else "no"
    return str(value)


def site_options() -> dict[str, str]:
    """Return the options for Slurm of `~/.config/sambench/slurm.yaml`; a fault is a ConfigError."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111
    file = Path(folder) / "sambench" / "slurm.yaml"
    if not file.exists():
        return {}
    try:
        found = read_yaml(file.read_text(encoding="utf-8")) or {}
        if not isinstance(found, dict):
            raise ConfigError("it has no KEY: VALUE lines")
        return option_texts(found)
    except (OSError, ValueError, YAMLError, UserError) as error:
        raise ConfigError(f"{file} cannot be read: {' '.join(str(error).split())}") from None


def read_options(texts: Iterable[str], where: str) -> dict[str, str]:
    """Read options `KEY=VALUE`, several of which may stand in one text with commas between them.

    A comma ends a value only where another key follows, so that values may have commas. The value
    of `setup`, a shell line, ends with its text; its lines add up. Anything else is a ConfigError.
    """
    found = LauncherSettings(name="")
    for text in texts:
        whole = text.lstrip().startswith(f"{LINES}=")
        for part in [text] if whole else re.split(r",(?=\s*[a-z][a-z0-9_-]*=)", text):
            key, equals, value = part.strip().partition("=")
            if not (key and equals) or re.search(r"\s", key):
                raise ConfigError(f"{where}: {part.strip()!r} is not KEY=VALUE")
            found = found.with_options({key.replace("-", "_"): value})
    return found.options
