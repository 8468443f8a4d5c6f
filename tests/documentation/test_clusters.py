"""The commands of docs/clusters.md: done on a real cluster where there is one, else planned."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sambench.store.tree import Store
from tests.patience import wait_until

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
BLOCKS = [
    re.sub(r"^    ", "", block, flags=re.MULTILINE).rstrip()
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE, re.MULTILINE)
]
LINES = [line for block in BLOCKS for line in block.strip().splitlines()]
COMMANDS = [shlex.split(line) for line in LINES if re.match(r"(sambench|sbatch|squeue) ", line)]
WITHIN = re.findall(r"`(sambench [a-z]+ --?[^`]*)`", PAGE)
OPTIONS = [
    *(line for line in LINES if line.startswith("--")),
    *re.findall(r"`(--[a-z-]+ [^`]+)`", PAGE),
]
SITE, SUITES = (block.strip() for block in BLOCKS if ": " in block and "sambench" not in block)
OTHERS = ("pip install -e .", "ray start --head")
"""Commands of other programs, which change the machine."""

SUITE = """
name: demo
defaults: {dataset: phantom, image_size: 32, model: small-cnn, epochs: 1, batch_size: 16, lr: 1e-3}
matrix: {optimizer: [adam, sam]}
report: {baseline: adam}
"""
PLAN = ("compare", "suites/demo.yaml", "--plan")
Said = Callable[..., str]


@pytest.fixture
def said(tmp_path: Path, phantom_data: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Run the command line, which must end well, in a checkout with a suite of the same name."""
    from tests.cli.test_commands import call

    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "demo.yaml").write_text(SUITE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prepared").symlink_to(phantom_data)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(*words: str) -> str:
        done = call(tmp_path, *words)
        assert done.code == 0, done.err
        return done.out + done.err

    return run


@pytest.fixture
def without_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sambench.launch.launchers.slurm.shutil.which", lambda name: None)


def finished(folder: Path) -> list[str]:
    records, _ = Store(folder / "results").records()
    return [record.status for record in records]


def test_every_line_of_the_page_is_known() -> None:
    """A new one is a command, an option, or a part of the two files."""
    of_files = [*SITE.splitlines(), *SUITES.splitlines()]
    commands = [line for line in LINES if shlex.split(line) in COMMANDS]
    assert sorted(LINES) == sorted(
        [*commands, *of_files, *OTHERS, *(option for option in OPTIONS if option in LINES)]
    )
    assert len(COMMANDS) == 8
    assert len(WITHIN) == 1


@pytest.mark.usefixtures("without_slurm")
@pytest.mark.parametrize("words", [*COMMANDS, *map(shlex.split, WITHIN)], ids=" ".join)
def test_a_command_has_the_options_that_it_says(said: Said, words: list[str]) -> None:
    if words[0] == "sambench":
        asked = "--plan" if words[1] == "compare" else "--help"
        assert said(*words[1:], *[asked] * (asked not in words))


@pytest.mark.usefixtures("without_slurm")
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_reaches_its_launcher(said: Said, option: str) -> None:
    given = shlex.split(option.replace("HOST:", "localhost:"))
    if given[0] in ("--launcher", "--retry"):
        assert said(*PLAN, *given)
        return
    launcher = ["--launcher", "ray" if given[0] == "--with" else "slurm"]
    (told,) = re.findall("^launcher: (.*)$", said(*PLAN, *launcher, *given), re.MULTILINE)
    assert all(value in told for value in given[1::2])


@pytest.mark.usefixtures("without_slurm")
def test_the_files_of_site_and_suite(said: Said, tmp_path: Path) -> None:
    (tmp_path / "sambench").mkdir()
    (tmp_path / "sambench" / "slurm.yaml").write_text(SITE)
    assert "launcher: slurm, account=ab123, qos=normal, setup=module load cuda/12.4\n" in said(
        *PLAN, "--launcher", "slurm"
    )
    (tmp_path / "suites" / "demo.yaml").write_text(f"{SUITE}{SUITES}\n")
    told = said(*PLAN)
    assert "partition=gpu, time=8:00:00\n" in told
    assert "account=ab123" in told
    assert yaml.safe_load(SITE)["account"] == "ab123"


@pytest.mark.usefixtures("on_slurm")
def test_a_first_study_on_slurm(said: Said, tmp_path: Path) -> None:
    """The section's commands one after the other; the runs are done by the first."""
    study, plan, look, script, by_hand = COMMANDS[2:7]
    assert "submitted 2 runs to Slurm as job" in said(*study[1:])
    assert finished(tmp_path) == ["completed"] * 2
    assert "to do: 0 of 2 runs" in said(*plan[1:])
    (tmp_path / "results").rename(tmp_path / "before")
    assert "submit it with `sbatch job.sh`" in said(*script[1:])
    subprocess.run(by_hand, cwd=tmp_path, check=True)
    seen = subprocess.run(look, capture_output=True, text=True, check=True, env=os.environ)
    assert "demo" in seen.stdout
    wait_until("the runs are done", lambda: finished(tmp_path) == ["completed"] * 2)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_a_first_study_on_ray(said: Said, tmp_path: Path) -> None:
    (study,) = (words for words in COMMANDS if "ray" in words)
    said(*study[1:], "--with", "num_cpus=1")
    wait_until("the runs are done", lambda: finished(tmp_path) == ["completed"] * 2)
