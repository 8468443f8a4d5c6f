"""How `train` and `compare` end: a failed run is no mistake of the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from sambench.errors import RunFailed
from sambench.launch.launcher import Launcher, Tally, launchers
from tests.cli.test_commands import call

ONE = ("compare", "--dataset", "phantom", "--size", "32", "--model", "small-cnn", "--opt", "adam")


def test_a_run_that_failed_in_another_process_is_exit_code_1(
    tmp_path: Path, phantom_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Launcher(
        name="elsewhere",
        summary="",
        launch=lambda manifest, options, watcher: Tally(errors=[RunFailed("killed by signal 9")]),
    )
    monkeypatch.setattr(launchers, "get", lambda name: failing)
    done = call(tmp_path, *ONE, "--data", str(phantom_data))
    assert (done.code, done.err) == (1, "error: killed by signal 9\n")
