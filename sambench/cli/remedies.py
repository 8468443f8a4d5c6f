"""The commands that messages name, as they must be typed: with the folders that are in use."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

PLACES = ("data", "results", "plugin")
"""Options that say where things lie: without them another command looks elsewhere."""

_NAMED = re.compile(r"`(sambench) (\w+)([^`]*)`")
_in_use: dict[str, str] = {}
"""What to add to each command, so that it looks where the present one does."""


def note_places(commands: Mapping[str, Any], context: Any) -> None:
    """Note the places that stand on the command line, for each of the commands that has them."""
    given: dict[str, str] = {}
    for name in PLACES:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            value = context.params[name]
            for each in value if isinstance(value, list) else [value]:
                given[name] = f"{given.get(name, '')} --{name} {shlex.quote(str(each))}"
    for name, command in commands.items():
        has = {parameter.name for parameter in command.params}
        _in_use[name] = "".join(text for place, text in given.items() if place in has)


def as_typed(text: str) -> str:
    """Return a message whose commands look where the present one does."""

    def with_places(found: re.Match[str]) -> str:
        program, command, rest = found.groups()
        elsewhere = command == "list" and not rest.startswith(" runs")
        places = "" if "--help" in rest or elsewhere else _in_use.get(command, "")
        return f"`{program} {command}{rest}{places}`"

    return _NAMED.sub(with_places, text)
