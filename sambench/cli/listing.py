"""`sambench list`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sambench.cli import completion
from sambench.cli.grouping import grouped
from sambench.cli.options import OUTPUT, RESULTS, PluginOption, ResultsOption, WhereOption
from sambench.errors import ConfigError


@grouped
def list_entries(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="optimizers, models, datasets, launchers, suites, settings or runs.",
            show_default="all but suites, settings and runs",
            autocompletion=completion.kinds,
        ),
    ] = None,
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Of `list runs`: names, ids or shell patterns of runs, or names of suites.",
            show_default="all",
            autocompletion=completion.runs,
        ),
    ] = None,
    where: WhereOption = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Runs as CSV, a row a run.", rich_help_panel=OUTPUT)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only names.", rich_help_panel=OUTPUT)
    ] = False,
    results: ResultsOption = RESULTS,
    plugin: PluginOption = None,
) -> None:
    """List optimizers, models, datasets, launchers, suites, settings or stored runs.

    Examples:
      sambench list optimizers
      sambench list settings --json
      sambench list runs 'phantom-*' --where optimizer=sam --where rho=0.1
    """
    from sambench.cli.catalogue import RUNS, catalogue
    from sambench.cli.screen import Screen

    if kind == RUNS:
        from sambench.cli.stored_runs import as_csv as to_csv
        from sambench.cli.stored_runs import stored_runs
        from sambench.store.tree import Store

        shown = {RUNS: stored_runs(Store(results), patterns or (), where or ())}
    elif patterns or where or as_csv:
        raise ConfigError("names, --where and --csv are for `sambench list runs`")
    else:
        shown = catalogue(kind)
    if as_csv:
        typer.echo(to_csv(shown[RUNS]), nl=False)
        return
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
