"""`sambench list`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sambench.cli import completion, options
from sambench.cli.grouping import flag, group, grouped


@group(options.OUTPUT)
class Form:
    """What is printed, and code of one's own."""

    as_json: bool = flag("One JSON object.", "--json")
    quiet: bool = flag("Print only names.", "--quiet", "-q")
    plugin: list[Path] | None = options.plugin()


@grouped
def list_entries(
    form: Form,
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="optimizers, models, datasets, launchers, suites or settings.",
            show_default="all but suites and settings",
            autocompletion=completion.kinds,
        ),
    ] = None,
) -> None:
    """List optimizers, models, datasets, launchers, suites or settings.

    Examples:
      sambench list optimizers
      sambench list settings --json
    """
    from sambench.cli.catalogue import catalogue
    from sambench.cli.screen import Screen

    shown = catalogue(kind)
    if form.as_json:
        typer.echo(json.dumps({name: part.entries for name, part in shown.items()}, indent=2))
        return
    if form.quiet:
        for part in shown.values():
            typer.echo("\n".join(dict.fromkeys(row[0] for row in part.rows)))
        return
    screen = Screen()
    for name, part in shown.items():
        screen.listing(part.headings, part.rows, name)
