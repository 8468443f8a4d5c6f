"""Processes that a launch starts are not led astray by files of the folder that they start in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sambench.launch import together
from sambench.launch.launcher import Watcher
from sambench.launch.pool import Member


@pytest.mark.parametrize(
    "start",
    [
        lambda: Member(SimpleNamespace(threads=1), "cpu", Watcher()),  # type: ignore[arg-type]
        lambda: together._start_others(2, ["train"]),
    ],
    ids=["a worker", "processes that train together"],
)
def test_a_users_modules_are_not_imported(
    start: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # as of a user who has a `random.py` there
    monkeypatch.setattr(os, "environ", os.environ.copy())  # which tells of the others from then on

    def refuse(command: object, env: dict[str, str], **_: Any) -> None:
        assert env["PYTHONSAFEPATH"] == "1"
        assert "OMP_NUM_THREADS" in env
        raise InterruptedError

    for module in ("pool", "together"):
        monkeypatch.setattr(f"sambench.launch.{module}.subprocess.Popen", refuse)
    with pytest.raises(InterruptedError):
        start()
