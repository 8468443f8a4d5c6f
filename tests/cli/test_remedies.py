"""Every command that a message, a report or the help tells people to type is one that exists."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

import sambench
from sambench.cli import app
from sambench.data.prepared import prepare_command
from sambench.data.source import sources

if TYPE_CHECKING:
    from tests.cli.conftest import Call

PACKAGE = Path(sambench.__file__).parent
GROUP: Any = typer.main.get_command(app)
FILLED = {"self.kind": "optimizer", "SEEDS.least_units": "6", "least": "6", "found.units": "9"}
"""What stands for an expression in a message; a name for all others."""

NAMED = re.compile(r"`((?:sambench |--[a-z])[^`\n]+)`")


def told(path: Path) -> Iterator[str]:
    """Yield the commands and options between backticks of a module's messages, expressions filled.

    Most modules have none and are not parsed, for each process of the tests does this.
    """
    text = path.read_text(encoding="utf-8")
    if not NAMED.search(text):
        return
    nodes = [*ast.walk(ast.parse(text))]
    passed_over = {id(p) for n in nodes if isinstance(n, ast.JoinedStr) for p in n.values} | {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in nodes:
        if id(node) not in passed_over:
            yield from NAMED.findall(text_of(node))


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            FILLED.get(ast.unparse(part.value), "NAME")
            if isinstance(part, ast.FormattedValue)
            else text_of(part)
            for part in node.values
        )
    return ""


TOLD = sorted({text for path in PACKAGE.rglob("*.py") for text in told(path)})
COMMANDS = [text for text in TOLD if text.startswith("sambench ")]
OPTIONS = [text for text in TOLD if text.startswith("--")]


def parse(command: str) -> typer.Context:
    """Parse a command as the command line would, without doing it.

    Raises:
        typer's own errors: Of a command or an option that does not exist, or takes other values.
    """
    name, *words = shlex.split(command.removeprefix("sambench "))
    words = ["1" if word == "N" else word.replace("=N", "=1") for word in words]
    context: typer.Context = GROUP.commands[name].make_context(name, words)
    return context


def test_there_are_messages_with_commands() -> None:
    assert len(COMMANDS) > 15
    assert "sambench compare SUITE --retry damaged" in COMMANDS
    assert len(OPTIONS) > 15


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_told_can_be_typed(command: str) -> None:
    parse(command)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_that_is_told_is_one_of_some_command(option: str) -> None:
    name, *value = shlex.split(option)
    takers = [
        parameter
        for command in GROUP.commands.values()
        for parameter in command.params
        if name in (*parameter.opts, *parameter.secondary_opts)
    ]
    assert takers, option
    assert not value or any(not getattr(parameter, "is_flag", False) for parameter in takers)


@pytest.mark.parametrize("command", [text for text in COMMANDS if text.startswith("sambench list")])
def test_what_lists_lists(call: Call, command: str) -> None:
    done = call(*shlex.split(command)[1:])
    assert (done.code, done.err) == (0, "") or "no run" in done.err, done.err


def test_a_wrong_command_would_be_found() -> None:
    for wrong in ("sambench compare SUITE --again", "sambench report RUN --retry damaged"):
        with pytest.raises(Exception, match="No such option"):
            parse(wrong)


@pytest.mark.parametrize("dataset", ["mine", *(source.name for source in sources.list())])
def test_the_command_that_prepares_a_dataset_can_be_typed(dataset: str) -> None:
    words = parse(prepare_command(dataset, 64)).params
    assert words["name"] == ("mine" if dataset == "mine" else None)


PLACES = ("--data", "my data", "--results", "it's here")


def test_a_command_that_is_told_looks_where_the_present_one_does(call: Call) -> None:
    said = call("hessian", "nosuch", *PLACES).err
    command = "`sambench list runs --results 'it'\"'\"'s here'`"
    assert said == f"error: no run 'nosuch' in it's here/runs; {command} shows all\n"
    said = call("train", "--dataset", "bus", "--model", "small-cnn", *PLACES).err
    assert said.endswith("--data 'my data'`\n")
    parse(re.findall(r"`([^`]+)`", said)[0])


def test_a_command_that_needs_no_place_has_none(call: Call) -> None:
    assert call("train", "--opt", "samm", *PLACES).err.endswith("; --plugin FILE adds your own\n")
    assert "`sambench list optimizers` shows" in call("train", "--opt", "samm", *PLACES).err
    assert "`sambench train --help`" in call("train", "--sz", "3", *PLACES).err
    assert call("hessian", "nosuch").err.endswith("`sambench list runs` shows all\n")
