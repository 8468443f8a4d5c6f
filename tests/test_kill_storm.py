"""A short storm of `benchmarks/kill_storm.py`, within one process's machine and across two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
def test_no_record_is_lost_wrong_or_made_twice(more: list[str]) -> None:
    options = ["--kills", "2", "--minutes", "60", "--optimizers", "sam,esam", *more]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "kill_storm.py"), *options],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 2
    assert found["runs_compared"] == 2 * found["rounds"] >= 2
