"""The commands that messages name, as they must be typed: with the folders that are in use."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

_NAMED = re.compile(r"`(sambench) (\w+)([^`]*)`")
_in_use: dict[str, str] = {}
"""What to add to each command, so that it looks where the present one does."""


def note_places(commands: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Note the places that were given, for each of the commands that has such an option."""
    for name, command in commands.items():
        has = {parameter.name for parameter in command.params}
        _in_use[name] = "".join(
            f" --{place} {shlex.quote(str(each))}"
            for place, value in given.items()
            if place in has
            for each in (value if isinstance(value, list) else [value])
        )


def as_typed(text: str) -> str:
    """Return a message whose commands look where the present one does."""

    def with_places(found: re.Match[str]) -> str:
        program, command, rest = found.groups()
        elsewhere = command == "list" and not rest.startswith(" runs")
        places = "" if "--help" in rest or elsewhere else _in_use.get(command, "")
        return f"`{program} {command}{rest}{places}`"

    return _NAMED.sub(with_places, text)
