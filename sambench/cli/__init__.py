"""The command line: parse, one call, print. The only package that knows Typer; a file a command.

Torch is imported inside the commands that train or measure, so that help, plans, lists and reports
start at once. What is wrong with what a user asks for is raised as a `UserError` anywhere below;
`main` alone says it.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import sys
import warnings
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated, Any

import typer

if os.name == "nt":
    sys.stderr.write("error: sambench needs Linux; on Windows it runs in WSL\n")
    sys.exit(2)

import sambench
from sambench.cli import check, compare, hessian, listing, prepare, report, train
from sambench.cli.grouping import Command, Group, as_typed, usage_fault
from sambench.cli.options import Output
from sambench.errors import (
    INTERRUPTED,
    SET_UTF8,
    ConfigError,
    RunFailed,
    SambenchWarning,
    UserError,
    shown,
    visible,
)
from sambench.plugin import failure_in_plugin, load_inherited
from sambench.store.environment import COMMAND, yield_cores

PLAIN = dict(zip("×÷–−…‡†§≈≥≤“”′→", 'x/--.#*$~><""\'>', strict=True)) | {"±": "+-"}
"""What stands for characters that not every terminal has; one each, so that columns stay, but for
±, which must not read as +."""

app = typer.Typer(
    name="sambench",
    cls=Group,
    help="Which sharpness-aware optimizer should I train my image classifier with, what does it "
    "cost, and is the minimum it finds really flatter?",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Show the version where asked, and what there is where nothing is asked."""
    if version:
        typer.echo(f"sambench {sambench.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), nl=False)
        raise typer.Exit(2)


for command in (prepare.prepare, train.train, hessian.hessian, compare.compare, report.report):
    app.command(cls=Command)(command)
app.command("list", cls=Command)(listing.list_entries)
app.command(cls=Command)(check.check)


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2, a failed run 1.

    With --json, standard output is one object even then: that line as its "error".
    """
    yield_cores()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError):  # whoever put another file in its place has it as it is
                stream.reconfigure(errors="sambench")
    warnings.showwarning = _show_warning
    if not {"--json", "--csv"}.isdisjoint(sys.argv):
        Output.keep_file()
    try:
        for text in sys.argv[1:]:
            if not text.isascii() and (SET_UTF8 or text != text.encode(errors="ignore").decode()):
                raise ConfigError(f"{shown(text)} is not UTF-8; {SET_UTF8 or 'rename it'}")
        load_inherited()
        os.environ[COMMAND] = " ".join(["sambench", *sys.argv[1:]])
        code = app(prog_name="sambench", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        text, code = _told(error)
        text = as_typed(text)
        if "--json" in sys.argv and os.environ.get("RANK", "0") == "0":  # of several replicas one
            with suppress(OSError):  # the output itself may be what is wrong
                typer.echo(json.dumps({"error": text}, indent=2), Output.file)
        if not code:  # a bug of ours
            raise
        from sambench.cli.screen import Screen

        Screen().fail(text)
    sys.exit(code)


def _spelled(error: Any) -> tuple[str, int]:
    """Return what stands for a character that a terminal's encoding does not have."""
    return "".join(PLAIN.get(c, "?") for c in error.object[error.start : error.end]), error.end


codecs.register_error("sambench", _spelled)


def _told(error: BaseException) -> tuple[str, int]:
    """Return what an error says and the exit code that it brings; none where nobody expects it."""
    if isinstance(error, UserError | RunFailed):
        return str(error), 2 if isinstance(error, UserError) else 1
    if isinstance(error, typer.Abort | KeyboardInterrupt):
        return "interrupted; the same command does what is left", INTERRUPTED
    if isinstance(error, typer.BadParameter.__bases__):
        return usage_fault(error, sys.argv[1:]), 2
    if isinstance(error, OSError) and error.errno in _OF_THE_USERS_FILES:
        what = "the output" if error.filename is None else shown(str(error.filename))
        return f"{what} cannot be used: {error.strerror}", 2
    if failure := failure_in_plugin(error):
        return failure, 2
    return f"{type(error).__name__}: {error}", 0


_OF_THE_USERS_FILES = (
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ESTALE),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN),  # of a file server that is away
)
"""Faults of a file or path that somebody gave, wherever it is first looked at."""


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **_: Any) -> None:
    """Show our own warnings as one line, others as Python does."""
    if issubclass(category, SambenchWarning):
        from sambench.cli.screen import Screen

        Screen().warn(f"warning: {message}")
    else:
        sys.stderr.write(visible(warnings.formatwarning(message, category, *place[:2])))
