"""The command line: parse, one call, print. The only package that knows Typer; a file a command.

Torch is imported inside the commands that train or measure, so that help, plans, lists and reports
start at once. What is wrong with what a user asks for is raised as a `UserError` anywhere below;
`main` alone says it.
"""

from __future__ import annotations

import errno
import sys
import warnings
from typing import Annotated, TextIO

import typer

import sambench
from sambench.cli import check, compare, hessian, listing, prepare, report, train
from sambench.cli.grouping import Command, Group
from sambench.errors import RunFailed, SambenchWarning, UserError, shown
from sambench.plugin import load_inherited
from sambench.store.environment import note_command, yield_cores

app = typer.Typer(
    name="sambench",
    cls=Group,
    help="Which sharpness-aware optimizer should I train my image classifier with, what does it "
    "cost, and is the minimum it finds really flatter?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Show the version where asked."""
    if version:
        typer.echo(f"sambench {sambench.__version__}")
        raise typer.Exit


for command in (prepare.prepare, train.train, hessian.hessian, compare.compare, report.report):
    app.command(cls=Command)(command)
app.command("list", cls=Command)(listing.list_entries)
app.command(cls=Command)(check.check)


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2, a failed run 1."""
    yield_cores()
    warnings.showwarning = _show_warning
    try:
        load_inherited()
        note_command(["sambench", *sys.argv[1:]])
        app(prog_name="sambench")
    except (UserError, RunFailed) as error:
        _fail(str(error), 2 if isinstance(error, UserError) else 1)
    except OSError as error:
        if error.errno not in _NO_PATHS:
            raise
        _fail(f"{shown(str(error.filename))} is no path: {error.strerror}", 2)


def _fail(text: str, code: int) -> None:
    from sambench.cli.screen import Screen

    Screen().fail(text)
    sys.exit(code)


_NO_PATHS = (errno.ENAMETOOLONG, errno.ELOOP)
"""Faults of a path that somebody wrote, wherever it is first looked at."""


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show our own warnings as one line, others as Python does."""
    if issubclass(category, SambenchWarning):
        from sambench.cli.screen import Screen

        Screen().warn(f"warning: {message}")
    else:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))
