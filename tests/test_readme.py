"""The README's commands, run one after the other as a reader would, on fewer images and epochs.

A block after `<!-- not run: why -->` is left out. What a block of text without a comment shows must
be what the commands before it print, but for the numbers; `...` stands for lines left out.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sambench.data.source import sources
from sambench.optim.method import optimizers
from tests.forked_processes import Template

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(
    r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]\d+)?")
CERTIFIED = re.compile(r"\b(yes|not certified)$")
IMAGES = 40

SESSION = """
import contextlib, io, json, shutil, sys
from dataclasses import replace
from pathlib import Path

from sambench.cli import main
from sambench.data.source import sources

options = sources.get("phantom").options
options["images"] = replace(options["images"], default=int(sys.argv[2]))


def place_images():
    "Put the simulated images where a reader has a release, and images of their own."
    made = next(Path("data/raw").iterdir())
    shutil.copytree(made, ".", dirs_exist_ok=True)
    for image in made.rglob("*.png"):
        folder = Path("my-images", image.name.partition("(")[0])
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, folder)


outcomes = []
for words in json.loads(Path(sys.argv[1]).read_text()):
    sys.argv[:] = words
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    outcomes.append((code, said.getvalue()))
    if words[1:3] == ["prepare", "phantom"]:
        place_images()
print(json.dumps(outcomes))
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: its text, its language, and the comment above it."""

    text: str
    language: str
    mark: str

    @property
    def runs(self) -> bool:
        return not self.mark.startswith("not run: ")

    @property
    def commands(self) -> list[list[str]]:
        lines = [shlex.split(line, comments=True) for line in self.text.splitlines()]
        return [words for words in lines if words]


BLOCKS = [
    Block(found["text"], found["language"], found["mark"] or "") for found in FENCE.finditer(README)
]
SHELL = [block for block in BLOCKS if block.language == "sh" and block.runs]
PYTHON = [block.text for block in BLOCKS if block.language == "python" and block.runs]
COMMANDS = [words for block in SHELL for words in block.commands]
SHOWN = [
    (COMMANDS.index(before.commands[0]), len(before.commands), block.text)
    for before, block in itertools.pairwise(BLOCKS)
    if block.language == "text" and not block.mark and before in SHELL
]


def reduced_demo() -> dict[str, Any]:
    """Return the demo with less to train and to measure; YAML reads JSON."""
    suite: dict[str, Any] = yaml.safe_load((ROOT / "suites" / "demo.yaml").read_text())
    suite["defaults"]["epochs"] = 1
    suite["hessian"] = {"samples": 8, "max_matvecs": 8}
    return suite


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, template: Template) -> list[tuple[Any, str]]:
    """Run all commands in one folder, in one process of their own; return how each ended."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "commands.json").write_text(json.dumps(COMMANDS))
    (folder / "demo").write_text(json.dumps(reduced_demo()))
    (folder / "examples").mkdir()
    example = ROOT / "examples" / "my_optimizer.py"
    (folder / "examples" / example.name).write_bytes(example.read_bytes())
    done = template.run(
        *("-c", SESSION, "commands.json", IMAGES),
        folder=folder,
        environment={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    found: list[tuple[Any, str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_there_are_commands_to_run() -> None:
    assert {words[0] for words in COMMANDS} == {"sambench"}
    assert {words[1] for words in COMMANDS} >= {"prepare", "train", "hessian", "compare", "report"}
    assert len(SHOWN) == 4
    assert len(PYTHON) == 1


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=lambda n: " ".join(COMMANDS[n])[:60])
def test_a_command_works(outcomes: list[tuple[Any, str]], number: int) -> None:
    code, said = outcomes[number]
    assert code == 0, said


def shape(text: str) -> list[str]:
    """Return the lines without what differs from one set of images to another."""
    lines = (" ".join(NUMBER.sub("#", line).split()) for line in text.splitlines())
    return [CERTIFIED.sub("yes or not", line) for line in lines]


@pytest.mark.parametrize(("first", "count", "text"), SHOWN)
def test_what_is_shown_is_what_is_printed(
    outcomes: list[tuple[Any, str]], first: int, count: int, text: str
) -> None:
    printed = [line for _, said in outcomes[first : first + count] for line in shape(said)]
    for line in shape(text):
        if line != "...":
            places = [place for place, said in enumerate(printed) if said.startswith(line)]
            assert places, f"{line} is not in {printed}"
            printed = printed[places[0] + 1 :]


@pytest.mark.parametrize("text", PYTHON)
def test_a_script_works(text: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", text],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    }
    for link in re.findall(r"\]\(([^)\s]+)\)", README):
        file, _, fragment = link.partition("#")
        assert (ROOT / file).exists(), link
        assert file or fragment in headings, link


def test_the_numbers_of_optimizers_and_datasets_are_right() -> None:
    own = [info for info in optimizers.list() if "plugin" not in info.method.__module__]
    assert f"**{len(own)} optimizers**" in README, "README says how many, and names them"
    usable = [source for source in sources.list() if "not supported" not in source.summary]
    for page in (README, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")):
        assert re.search(rf"{len(usable)} datasets\b", page)


def test_the_example_has_as_many_lines_as_said() -> None:
    example = (ROOT / "examples" / "my_optimizer.py").read_text(encoding="utf-8")
    assert f"has {len(example.splitlines())} lines" in README
