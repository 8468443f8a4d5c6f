"""Names that the shell completes, asked for as a shell asks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sambench.cli import main
from sambench.store.tree import Store

Complete = Callable[..., list[str]]
FAILING = """
import sys
from sambench.cli import main
sys.argv = ["sambench"]
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


@pytest.fixture
def complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Complete:
    """Ask as zsh does for a line that is typed so far; returns the names that are offered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sambench"])
    monkeypatch.setenv("_SAMBENCH_COMPLETE", "complete_bash")

    def ask(*words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", " ".join(("sambench", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out.split()

    return ask


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("tra",), ["train"]),
        (("train", "--opt", "gc"), ["gcsam"]),
        (("compare", "--opt", "adam,gc"), ["adam,gcsam"]),
        (("compare", "--opt", "gcsam,gc"), []),
        (("train", "--model", "small"), ["small-cnn"]),
        (("prepare", "phan"), ["phantom", "phantom-study"]),
        (("compare", "paper-b"), ["paper-bus"]),
        (("compare", "paper-bus", "publ"), ["published"]),
        (("compare", "--retry", "failed,st"), ["failed,stale"]),
        (("compare", "--launcher", "slu"), ["slurm"]),
        (("train", "--device", "cp"), ["cpu"]),
        (("compare", "--devices", "cpu,cu"), ["cpu,cuda"]),
        (("train", "--devices", "cpu,cu"), ["cpu,cuda"]),
        (("train", "--set", "selection="), ["selection=last", "selection=best-validation"]),
        (("train", "--set", "split=kf"), ["split=kfold-5"]),
        (("train", "--set", "optimizer.gam"), ["optimizer.gamma="]),
        (("train", "--set", "stop.pat"), ["stop.patience="]),
        (("prepare", "phantom", "--set", "im"), ["images="]),
        (("hessian", "x", "--set", "dtype=float6"), ["dtype=float64"]),
        (("train", "--log", "w"), ["wandb"]),
        (("list", "sett"), ["settings"]),
    ],
)
def test_names(complete: Complete, words: tuple[str, ...], offered: list[str]) -> None:
    assert list(dict.fromkeys(complete(*words))) == offered


def test_runs_are_those_of_the_results_that_are_named(
    complete: Complete, tmp_path: Path, make_record: Callable[..., object]
) -> None:
    record = make_record("gcsam")
    Store(tmp_path / "there").save(record)  # type: ignore[arg-type]
    name = record.name  # type: ignore[attr-defined]
    assert complete("hessian", "--results", "there", "phantom") == [name]
    assert complete("hessian", "phantom") == []


def test_datasets_are_those_that_are_prepared(complete: Complete, phantom_data: Path) -> None:
    assert complete("train", "--data", str(phantom_data), "--dataset", "") == ["phantom"]
    assert complete("train", "--dataset", "") == []


def test_a_failure_offers_nothing(complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("no folder")
    assert complete("hessian", "phantom") == []


def test_completion_needs_no_torch(tmp_path: Path) -> None:
    for words in ("sambench train --opt gc", "sambench train --set rh", "sambench hessian x"):
        done = subprocess.run(
            [sys.executable, "-c", FAILING],
            env={
                **{"PYTHONPATH": ":".join(sys.path), "PATH": ""},
                "_SAMBENCH_COMPLETE": "complete_bash",
                **{"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)},
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "False\n")


def test_the_help_says_how_to_install_it(capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from sambench.cli import app

    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output


def test_suite_files_are_offered_of_the_folder_that_is_typed(
    complete: Complete, tmp_path: Path
) -> None:
    for name in ("own.yaml", "mine/owner.yaml", "suites/own.yaml", "mine/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert complete("compare", "own") == ["own.yaml"]
    assert complete("compare", "mine/") == ["mine/owner.yaml"]
    assert complete("compare", "mine/ow") == ["mine/owner.yaml"]
    assert complete("report", "sui") == ["suites/own.yaml"]
    assert complete("compare", f"{tmp_path}/o") == [f"{tmp_path}/own.yaml"]
