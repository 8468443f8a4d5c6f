"""The page on a first study: its table, its suite and its commands are those that work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from sambench.analysis.inference import FOLDS, SEEDS
from tests.cli.test_commands import call
from tests.cli.test_help import GROUP

PAGE = (Path(__file__).parents[2] / "docs" / "first-study.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```(text|yaml)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
PATIENTS = 5


@pytest.fixture
def arranged(tmp_path: Path) -> Path:
    """Arrange images as the page says, two of each patient, and write its suite."""
    rows = BLOCKS["text"].splitlines()[:1]
    for number in range(4 * PATIENTS):
        name, label = f"{number:02}.png", ("benign", "malignant")[number % 2]
        (tmp_path / "images" / label).mkdir(parents=True, exist_ok=True)
        image = Image.effect_noise((24, 20), 20 + 4 * number)
        image.save(tmp_path / "images" / label / name)
        rows.append(f"{label}/{name},{label},P{number // 4}")
    (tmp_path / "patients.csv").write_text("\n".join(rows))
    (tmp_path / "our-study.yaml").write_text(BLOCKS["yaml"])
    return tmp_path


def test_the_page_has_four_commands() -> None:
    assert [words[1] for words in COMMANDS] == ["prepare", "compare", "compare", "report"]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_its_options_exist(words: list[str]) -> None:
    GROUP.commands[words[1]].make_context(words[1], words[2:], resilient_parsing=False)


def test_its_table_and_its_suite_fit_each_other(arranged: Path) -> None:
    prepared = call(arranged, *COMMANDS[0][1:])
    assert prepared.code == 0, prepared.err
    assert f"note: {PATIENTS} patients or groups" in prepared.out
    plan = call(arranged, *(word for word in COMMANDS[1][1:] if word != "--measure"))
    assert plan.code == 0, plan.err
    assert "to do: 40 of 40 runs" in plan.out + plan.err


def test_it_names_the_fewest_folds_and_seeds() -> None:
    assert "Folds need at least three" in PAGE
    assert "six seeds\n  are the fewest" in PAGE
    assert (FOLDS.least_units, SEEDS.least_units) == (3, 6)
