"""The page on code of one's own: its model is one, and the calls that it names exist."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

from sambench.data.assembling import assemble
from sambench.data.source import Request, Source, sources
from sambench.models.model import Model, models
from sambench.optim.method import Method
from sambench.optim.oracle import GradientOracle
from sambench.optim.vector import Vector
from tests.cli.test_help import GROUP

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


MODEL, DATASET = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_its_dataset_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[Source] = []
    monkeypatch.setattr(sources, "register", made.append)
    exec(DATASET, {})
    (source,) = made
    assert f"sambench prepare {source.name} --plugin" in PAGE
    for name in ("cat_1", "cat_2", "dog_1"):
        Image.new("L", (8, 8)).save(tmp_path / f"{name}.png")
    listing, account = assemble(source, Request(folder=tmp_path, options=source.resolve({})))
    assert [(sample.id, sample.label) for sample in listing.samples] == [
        *(("cat_1", "cat"), ("cat_2", "cat"), ("dog_1", "dog"))
    ]
    assert account.found == account.images == 3


def test_its_model_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Model] = []
    monkeypatch.setattr(models, "register", made.append)
    exec(MODEL, {})
    (model,) = made
    assert f"--model {model.name} " in PAGE
    assert model.build(3, 32, False)(torch.zeros(2, 3, 32, 32)).shape == (2, 3)


@pytest.mark.usefixtures("plugins_forgotten")
@pytest.mark.parametrize("command", re.findall(r"^    sambench (.*)$", PAGE, re.MULTILINE))
def test_its_options_exist(command: str) -> None:
    name, *words = shlex.split(command)
    for file in ("my_model.py", "my_optimizer.py", "my_dataset.py"):
        words = [str(ROOT / "examples" / "my_optimizer.py") if w == file else w for w in words]
    GROUP.commands[name].make_context(name, words, resilient_parsing=True)


def test_the_calls_that_it_names_exist() -> None:
    parameters = inspect.signature(GradientOracle.__call__).parameters
    for call in re.findall(r"`gradient\((.*?)\)`", PAGE):
        assert set(re.findall(r"(\w+)=", call)) <= set(parameters)
    for name in re.findall(r"`gradient\.(\w+)`", PAGE):
        assert hasattr(GradientOracle, name)
    for name in ("norm", "clone", "abs", "add_", "mul_", "__add__", "__sub__", "__mul__"):
        assert callable(getattr(Vector, name))
    assert {"memory", "counters"} <= set(re.findall(r"self\.(\w+)", inspect.getsource(Method)))
