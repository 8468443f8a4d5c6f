"""`sambench list`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sambench.cli.options import PluginOption


def list_entries(
    kind: Annotated[
        str | None, typer.Argument(help="optimizers, models, datasets or launchers; all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    plugin: PluginOption = None,
) -> None:
    """Show what there is to choose from: optimizers, models, datasets."""
    from sambench.catalogue import catalogue
    from sambench.console import Screen

    shown = catalogue(kind)
    if as_json:
        typer.echo(json.dumps({name: part.entries for name, part in shown.items()}, indent=2))
        return
    screen = Screen()
    for name, part in shown.items():
        screen.listing(part.headings, part.rows, name)
