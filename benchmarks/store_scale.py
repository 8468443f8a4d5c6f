"""How long planning and status take for 10,000 runs, nothing of it done and all of it done.

    python benchmarks/store_scale.py [--runs 10000] [--keep FOLDER]

Writes a suite and a results tree of as many finished runs to a temporary folder and times
`sambench compare --plan` on it as its user would: a new process each time, start and imports
included. Prints the wall time of each of three, the least, and the least processor time, which is
what is left where other programs use the machine too.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sambench.config.suite_file import load_suite
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.tree import Store

SUITE = """
name: scale
defaults: {{dataset: phantom, image_size: 64, model: small-cnn, epochs: 10}}
matrix:
  optimizer: [adam, sam, asam, gsam, wsam, crsam, gcsam, looksam, vasso, fsam]
  batch_size: [16, 32]
seeds: {seeds}
report: {{baseline: adam}}
"""
ENVIRONMENT = {
    **{"sambench": "0.1.0", "python": "3.11.2", "torch": "2.14.1", "torchvision": "0.29.2"},
    **{"timm": "1.0.31", "numpy": "2.4.6", "cuda": None, "gpu": None, "device": "cpu"},
    **{"cpu": "a processor", "threads": 2, "platform": "Linux", "git": "0123456789ab"},
    **{"command": "sambench compare scale.yaml", "deterministic": "bitwise"},
}
TEST = {
    **{"n": 120, "loss": 0.51234567, "accuracy": 0.81, "balanced_accuracy": 0.8, "auroc": 0.9},
    **{"sensitivity": 0.8, "specificity": 0.8, "f1": 0.8, "ece": 0.05, "brier": 0.2},
    **{"majority_accuracy": 0.6, "collapsed": False},
}


def finished(config: Any) -> RunRecord:
    """Return a record as large as a real one."""
    seconds = 20.0 + config.seed % 7
    return RunRecord(
        config=config,
        status=COMPLETED,
        suite="scale",
        environment=ENVIRONMENT,
        data={"fingerprint": "f" * 64, "classes": ["benign", "malignant"]} | SIZES,
        final={
            **{"epochs": 10, "stopped_by": "epochs", "target_met": None, "selection": "last"},
            **{"selected_epoch": 10, "train": {"loss": 0.1, "accuracy": 1.0}, "validation": None},
            **{"test": TEST, "generalization_gap": 0.19},
        },
        cost={
            **{"train_seconds": seconds, "evaluation_seconds": 1.0, "overhead_seconds": 0.5},
            **{"steps": 300, "gradient_evaluations": 600, "images_per_second": 500.0},
            **{"peak_memory_bytes": 10**9, "energy_joules": None},
        },
        sharpness={"epsilon_norm": 0.05, "gradient_cosine": 0.9, "sharpness": 0.1},
        hessian={
            **{"definition": "batch top eigenvalues", "samples": 512, "batches": 16},
            **{"top": {"value": 10.0, "residual": 0.1, "upper_bound": 12.0, "converged": True}},
            **{"trace": {"value": 100.0, "stderr": 1.0, "interval": [98.0, 102.0]}},
            **{"median": 1.0, "mean": 2.0, "std": 1.0, "min": 0.0, "max": 9.0, "seconds": 3.0},
        },
    )


SIZES = {"train": 480, "validation": 0, "test": 120}


def timed(command: list[str], folder: Path, times: int = 3) -> dict[str, Any]:
    """Run a command in new processes; return the seconds they took."""
    wall, processor = [], []
    for _ in range(times):
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(round(time.perf_counter() - start, 3))
        used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        processor.append(round(used, 3))
    return {"wall": wall, "least_wall": min(wall), "least_processor": min(processor)}


def main() -> None:
    """Make the tree, time the commands, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="make the tree here and leave it there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        suite = folder / "scale.yaml"
        suite.write_text(SUITE.format(seeds=given.runs // 20))
        command = [sys.executable, "-m", "sambench.cli", "compare", "scale.yaml", "--plan"]
        found = {"runs": given.runs, "plan": timed(command, folder)}
        store = Store(folder / "results")
        configs = load_suite(suite).expand(lambda dataset: 64)
        assert len(configs) == given.runs
        for config in configs:
            path = store.folder(config) / "run.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(finished(config).to_dict(), indent=2))
        found["record_bytes"] = path.stat().st_size
        found["status"] = timed(command, folder)
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
