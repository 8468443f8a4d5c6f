"""A short storm of `benchmarks/kill_storm.py`, within one process's machine and across two."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.forked_processes import Template

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the storm forks its processes")
@pytest.mark.parametrize(
    "more",
    [
        [],
        pytest.param(["--machines", "--stale", "20"], marks=pytest.mark.exhaustive),
    ],
)
def test_no_record_is_lost_wrong_or_made_twice(more: list[str], template: Template) -> None:
    options = ["--kills", "2", "--minutes", "60", "--optimizers", "sam,esam", *more]
    done = template.run(ROOT / "benchmarks" / "kill_storm.py", *options)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 2
    assert found["runs_compared"] == 2 * found["rounds"] >= 2
