"""The script of `make bench-gpu`, on the CPU at toy size: every section runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked_processes import Template

ROOT = Path(__file__).parents[1]


SCRIPT = ROOT / "benchmarks" / "gpu.py"


def without_gpu() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}


def test_without_a_gpu_it_says_so(tmp_path: Path, template: Template) -> None:
    words = ("--json", tmp_path / "none.json")
    done = template.run(SCRIPT, *words, environment=without_gpu())
    assert (done.returncode, done.stdout) == (0, "no CUDA device here: nothing was measured\n")
    assert not (tmp_path / "none.json").exists()


@pytest.mark.slow
def test_every_section_runs(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    command = [sys.executable, str(SCRIPT), "--cpu-smoke", "--minutes", "5", "--json", str(path)]
    told = subprocess.PIPE
    done = subprocess.run(
        command, stdout=told, stderr=told, text=True, env=without_gpu(), check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert {name: entry["status"] for name, entry in found["sections"].items()} == dict.fromkeys(
        (
            "ceilings",
            "checks",
            "headline steps",
            "epochs",
            "each optimizer",
            "packing",
            "Hessian-vector products",
            "other models",
            "compiled",
        ),
        "done",
    )
    for ones in found["checks"].values():
        assert all(one["passed"] for one in ones.values())
    assert found["checks"]["captured"]["gcsam"]["difference"] == 0.0
    (steps,) = found["steps"].values()
    assert {"floor", "captured", "usual", "loop", "loop tuned"} <= set(steps["rows"])
    assert steps["rows"]["captured"]["engine"]["captured"] is True
    assert steps["roof"]["gflop"] > 0
    assert "failed" not in steps
    assert "Checks: 4 of 4 passed." in done.stdout
    assert "| captured | " in done.stdout
