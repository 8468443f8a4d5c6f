"""The commands that README and CONTRIBUTING show are commands, with options that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from sambench.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/my_optimizer.py")]
GROUP: Any = typer.main.get_command(app)
NAMES = "|".join(GROUP.commands)
COMMAND = re.compile(rf"(?:^\s*(?:\$ )?|`)sambench ((?:{NAMES})\b[^`\n]*)", re.M)


def commands() -> list[str]:
    text = "\n".join(page.read_text() for page in PAGES).replace("\\\n", " ")
    return [match[1] for match in COMMAND.finditer(text)]


def test_there_are_some() -> None:
    assert len(commands()) > 10


@pytest.mark.parametrize("command", commands())
def test_it_is_a_command(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sambench.plugin.load_plugin", lambda file: "")
    name, *words = shlex.split(command, comments=True)
    GROUP.commands[name].make_context(name, words)
