"""What every command's help says, and how it looks on a narrow terminal."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

import sambench
from sambench.cli import app
from sambench.cli.grouping import grouped
from sambench.cli.options import Output

if TYPE_CHECKING:
    from tests.cli.conftest import Call

GROUP: Any = typer.main.get_command(app)
COMMANDS = tuple(GROUP.commands)
ESCAPE = "\x1b"


def visible(command: str) -> Iterator[Any]:
    context = typer.Context(GROUP.commands[command])
    for parameter in GROUP.commands[command].get_params(context):
        if not getattr(parameter, "hidden", False) and parameter.name != "help":
            yield parameter


@pytest.mark.parametrize("columns", [60, 80, 100])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_nothing_is_cut_or_too_wide(call: Call, command: str, columns: int) -> None:
    done = call(*filter(None, (command,)), "--help", columns=columns)
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= columns
    assert "…" not in done.out
    assert ESCAPE not in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_word_of_the_help_of_each_option_is_shown(call: Call, command: str) -> None:
    shown = re.sub(r"[\s│]+", "", call(command, "--help").out)
    for parameter in visible(command):
        assert parameter.help, parameter.name
        plain = re.sub(r"\[/?(dim)?\]|\\", "", parameter.help)
        # the names of the left column stand between the lines of the right one
        for word in plain.split():
            assert word in shown, (parameter.name, word)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_group_and_one_line(command: str) -> None:
    for parameter in visible(command):
        if parameter.param_type_name == "option":
            assert parameter.rich_help_panel, parameter.name
            assert len(parameter.help) <= 160, parameter.name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_value_has_a_unit_or_kind(command: str) -> None:
    for parameter in visible(command):
        flag = getattr(parameter, "is_flag", False)
        assert bool(parameter.metavar) != flag, parameter.name


NODES = [
    node
    for path in Path(sambench.__file__).parent.rglob("*.py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
]
READ = {node.attr for node in NODES if isinstance(node, ast.Attribute)}
READ |= {node.value for node in NODES if isinstance(node, ast.Constant)}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_read_somewhere(command: str) -> None:
    """One that nobody reads would be taken, and do nothing without a word."""
    options = (one for one in visible(command) if one.param_type_name == "option")
    unread = {option.name for option in options} - READ
    assert unread == set(), f"nothing in the package reads these options of {command}"


@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_is_hidden(command: str) -> None:
    assert not [p.name for p in GROUP.commands[command].params if getattr(p, "hidden", False)]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_are_commands(command: str) -> None:
    examples = re.findall(r"^ *(?:Examples?: )?sambench (.+)$", GROUP.commands[command].help, re.M)
    assert examples
    for example in examples:
        name, *words = shlex.split(example)
        GROUP.commands[name].make_context(name, words, resilient_parsing=False)


def test_every_command_can_be_quiet_and_speak_to_a_program() -> None:
    for command in COMMANDS:
        names = {name for parameter in visible(command) for name in parameter.opts}
        assert {"--quiet", "--json"} <= names, command


def test_a_group_of_options_is_one_parameter() -> None:
    found: list[Output] = []

    def command(output: Output) -> None:
        """Do it.

        First line
        and second.

        Examples:
          one
          two
        """
        found.append(output)

    flat = grouped(command)
    assert flat.__doc__ == "Do it.\n\nFirst line and second.\n\nExamples:\none\ntwo"
    alone = typer.Typer()
    alone.command()(flat)
    CliRunner().invoke(alone, ["--quiet"])
    assert found == [Output(quiet=True)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("trian",), "no such command 'trian': did you mean 'train'?; `sambench --help` shows all"),
        (
            ("train", "--optt", "sam"),
            "no option --optt: did you mean '--opt' or '--stop' or '--split'?; `sambench train "
            "--help` shows all",
        ),
    ],
)
def test_a_wrong_command_or_option(call: Call, words: tuple[str, ...], said: str) -> None:
    done = call(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: {said}\n"
