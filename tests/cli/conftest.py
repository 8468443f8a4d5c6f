"""The command line as its tests call it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from sambench.cli import main

SMALL = (
    *("--dataset", "phantom", "--size", "32", "--model", "small-cnn"),
    *("--epochs", "1", "--device", "cpu"),
)
"""Options of the smallest run, on the phantoms that tests share."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    code: object
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Run the command line in this process, in an empty folder, and put torch's switches back."""
    monkeypatch.chdir(tmp_path)
    deterministic = torch.are_deterministic_algorithms_enabled()
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")

    def run(*arguments: object, columns: int = 80) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys, "argv", ["sambench", *map(str, arguments)])
        streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
        with streams[0], streams[1], pytest.raises(SystemExit) as ended:
            main()
        return Outcome(ended.value.code or 0, out.getvalue(), err.getvalue())

    yield run
    torch.use_deterministic_algorithms(deterministic)
    if workspace is None:
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
