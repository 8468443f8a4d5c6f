"""`sambench list`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sambench.cli import options
from sambench.cli.grouping import argument, flag, group, grouped
from sambench.errors import ConfigError


@group(options.OUTPUT)
class Form:
    """What is printed, and how."""

    as_csv: bool = flag("Print runs as CSV, one row for each run.", "--csv")
    as_json: bool = flag("Print one JSON object.", "--json")
    quiet: bool = flag("Print only names.", "--quiet", "-q")


@group(options.PLACE)
class Place:
    """Where runs lie, and code of one's own."""

    results: Path = options.results()
    plugin: list[Path] | None = options.plugin()


@grouped
def list_entries(
    chosen: options.Filter,
    form: Form,
    place: Place,
    kind: Annotated[
        str | None,
        argument(
            "KIND",
            "What to list: optimizers, models, datasets, launchers, suites, settings or runs.",
            show_default="all but suites, settings and runs",
        ),
    ] = None,
    patterns: Annotated[
        list[str] | None,
        argument(
            "RUN",
            "For `list runs`: names, ids or shell patterns of runs, or names of suites.",
            show_default="all",
        ),
    ] = None,
) -> None:
    """List optimizers, models, datasets, launchers, suites, settings or stored runs.

    Examples:
      sambench list optimizers
      sambench list settings --json
      sambench list runs 'phantom-*' --where optimizer=sam --where rho=0.1
    """
    from sambench.cli.catalogue import RUNS, catalogue
    from sambench.cli.screen import Screen

    if form.as_csv and form.as_json:
        raise ConfigError("--csv and --json are both given; keep one")
    if kind == RUNS:
        from sambench.cli.stored_runs import as_csv, stored_runs
        from sambench.store.tree import Store

        store, where = Store(place.results), chosen.where or ()
        found, damaged = stored_runs(store, patterns or (), where)
        Screen().warn_of_damage(damaged)
        if not found.rows:
            having = f" has {' and '.join(where)}" if where else ""
            Screen(quiet=form.quiet).say(f"no run in {store.runs}{having}")
        if form.as_csv:
            typer.echo(as_csv(found), options.Output.file, nl=False)
            return
        shown = {RUNS: found}
    elif patterns or chosen.where or form.as_csv:
        raise ConfigError("names, --where and --csv are for `sambench list runs`")
    else:
        shown = catalogue(kind)
    if form.as_json:
        entries = {name: part.entries for name, part in shown.items()}
        typer.echo(json.dumps(entries, indent=2), options.Output.file)
        return
    screen = Screen()
    for name, part in shown.items():
        if form.quiet:
            typer.echo("\n".join(dict.fromkeys(row[0] for row in part.rows)))
        else:
            screen.listing(part.headings, part.rows, name)
