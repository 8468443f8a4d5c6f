"""Every line that the page on other libraries tells people to write runs, and trains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import sambench.optim
from sambench.optim.contract import batch, closure_of, flat, network

PAGE = Path(__file__).parents[2] / "docs" / "coming-from-another-library.md"
ROWS = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
CODE = re.compile(r"`([A-Z]\w+\(model\.[^`]+\))`")
HERE = sorted({code for row in ROWS for code in CODE.findall(row[1])})


def test_the_page_has_lines_of_five_libraries() -> None:
    assert len(HERE) >= 9
    assert len({row[0].split("**")[1] for row in ROWS if "**" in row[0]}) >= 5


@pytest.mark.parametrize("line", HERE)
def test_it_can_be_written_so(line: str) -> None:
    model = network()
    names: dict[str, Any] = {"torch": torch, "model": model}
    kind = line.partition("(")[0]
    names[kind] = getattr(sambench.optim, kind)
    optimizer = eval(line, names)
    before = flat(model)
    optimizer.step(closure_of(model, *batch()))
    assert not torch.equal(before, flat(model))
