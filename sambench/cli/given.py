"""Which options the user has written."""

from __future__ import annotations

from collections.abc import Mapping

import typer


def given_options(context: typer.Context, options: Mapping[str, str]) -> dict[str, str]:
    """Return those of the options, by parameter, that stand on the command line."""
    sources = {name: context.get_parameter_source(name) for name in options}
    return {
        name: options[name]
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    }
