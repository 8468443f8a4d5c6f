"""A Python file of one's own adds an optimizer, from listing to table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sambench.errors import PluginError
from sambench.optim.method import optimizers
from sambench.plugin import VARIABLE, load_plugin

EXAMPLE = Path(__file__).parents[1] / "examples" / "my_optimizer.py"
COMMAND = [sys.executable, "-m", "sambench"]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "160", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 30


def test_the_example_keeps_the_contract(tmp_path: Path) -> None:
    done = run(tmp_path, "check", str(EXAMPLE))
    assert done.returncode == 0, done.stderr
    assert "half-sam: 15 of 15 rules kept" in done.stdout


def test_a_breach_is_told_and_counts(tmp_path: Path) -> None:
    wrong = EXAMPLE.read_text().replace("gradient_evaluations=2", "gradient_evaluations=3")
    (tmp_path / "wrong.py").write_text(wrong)
    done = run(tmp_path, "check", "wrong.py")
    assert done.returncode == 1
    assert "40 passes in 20 steps; gradient_evaluations says 60" in done.stdout


def test_its_results_are_in_the_table_beside_the_others(tmp_path: Path) -> None:
    plugin = ["--plugin", str(EXAMPLE)]
    made = run(tmp_path, "prepare", "phantom", "--size", "16", "--set", "images=40")
    assert made.returncode == 0, made.stderr
    small = [
        "--dataset",
        "phantom",
        "--size",
        "32",
        "--model",
        "small-cnn",
        "--epochs",
        "1",
        "--device",
        "cpu",
    ]
    done = run(tmp_path, "compare", *plugin, *small, "--opt", "adam,half-sam")
    assert done.returncode == 0, done.stderr
    assert "half-sam" in done.stdout.split("Optimizer")[-1]
    listed = run(tmp_path, "list", "optimizers", *plugin)
    assert "half-sam" in listed.stdout
    assert "half-sam" not in run(tmp_path, "list", "optimizers").stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1 / 0", "plugin bad.py failed: ZeroDivisionError in line 1: division by zero"),
        ("x = (", "plugin bad.py failed: SyntaxError in line 1: '(' was never closed (bad.py"),
        (None, "plugin bad.py does not exist; give a Python file"),
    ],
)
def test_a_bad_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("bad.py").write_text(text)
    with pytest.raises(PluginError) as caught:
        load_plugin(Path("bad.py"))
    assert str(caught.value).startswith(message)


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken.py").write_text(EXAMPLE.read_text().replace("half-sam", "sam"))
    done = run(tmp_path, "check", "taken.py")
    assert done.returncode == 2
    assert done.stderr == "error: two optimizers are called 'sam'; rename one of them\n"


def test_worker_processes_load_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(optimizers, "_entries", {})
    load_plugin(EXAMPLE)
    assert os.environ[VARIABLE] == str(EXAMPLE)
    monkeypatch.setenv(VARIABLE, str(EXAMPLE))
    assert "half-sam" in run(tmp_path, "list", "optimizers").stdout
