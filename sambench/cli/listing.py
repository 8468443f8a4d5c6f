"""`sambench list`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sambench.cli import completion
from sambench.cli.grouping import grouped
from sambench.cli.options import OUTPUT, PluginOption


@grouped
def list_entries(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="optimizers, models, datasets, launchers, suites or settings.",
            show_default="all but suites and settings",
            autocompletion=completion.kinds,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only names.", rich_help_panel=OUTPUT)
    ] = False,
    plugin: PluginOption = None,
) -> None:
    """List optimizers, models, datasets, launchers, suites or settings.

    Examples:
      sambench list optimizers
      sambench list settings --json
    """
    from sambench.cli.catalogue import catalogue
    from sambench.cli.screen import Screen

    shown = catalogue(kind)
    if as_json:
        typer.echo(json.dumps({name: part.entries for name, part in shown.items()}, indent=2))
        return
    if quiet:
        for part in shown.values():
            typer.echo("\n".join(dict.fromkeys(row[0] for row in part.rows)))
        return
    screen = Screen()
    for name, part in shown.items():
        screen.listing(part.headings, part.rows, name)
