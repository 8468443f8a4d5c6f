"""How long records take from disk to a report: 10,000 made-up runs, in a folder of their own.

    python benchmarks/report_scale.py [--runs 10000] [--keep FOLDER]

Prints seconds and peak memory of each stage; nothing is asserted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sambench.analysis.comparison import compare, with_holm
from sambench.analysis.frame import frame
from sambench.analysis.groups import groups
from sambench.analysis.metrics import METRICS
from sambench.config import RunConfig
from sambench.record import COMPLETED, RunRecord
from sambench.report.page import write_report
from sambench.report.tables import build_tables
from sambench.store import Store

OPTIMIZERS = ("adam", "sam", "asam", "gsam", "wsam", "crsam", "gcsam")
MODELS = ("resnet50", "vgg16", "vit", "swin")
SEEDS = 10

Result = TypeVar("Result")


def made_up(config: RunConfig, draw: random.Random) -> RunRecord:
    """Return a completed record with every section filled in."""
    top = draw.lognormvariate(3, 1)
    sure = {"converged": True, "residual": 0.001, "upper_bound": 1.1 * top, "lowest": -0.1}
    return RunRecord(
        config=config,
        status=COMPLETED,
        suite="scale",
        environment={"sambench": "0", "python": "3", "gpu": None, "cpu": "a CPU", "git": "0" * 12},
        data={
            "fingerprint": "f",
            "classes": ["a", "b"],
            "train": 1924,
            "validation": 0,
            "test": 481,
        },
        final={
            "epochs": 10,
            "stopped_by": "epochs",
            "target_met": None,
            "selection": "last",
            "train": {"loss": 0.1, "accuracy": 1.0},
            "validation": None,
            "test": {
                "n": 481,
                "loss": draw.random(),
                "accuracy": draw.gauss(0.82, 0.02),
                "balanced_accuracy": draw.gauss(0.8, 0.02),
                "auroc": draw.gauss(0.9, 0.02),
                "sensitivity": draw.random(),
                "specificity": draw.random(),
                "f1": draw.random(),
                "ece": draw.random() / 10,
                "brier": draw.random() / 5,
                "majority_accuracy": 0.63,
                "collapsed": False,
            },
            "generalization_gap": 0.18,
        },
        cost={
            "train_seconds": draw.gauss(600, 30),
            "steps": 1200,
            "gradient_evaluations": 2400,
            "peak_memory_bytes": 2**30,
            "energy_joules": None,
        },
        hessian={
            "definition": "batch-dominant-eigenvalue",
            "samples": 512,
            "top": {"value": top, **sure},
            "trace": {"value": 3 * top, "interval": [top, 5 * top], "converged": True},
            **{name: draw.random() for name in ("median", "mean", "std")},
            "batch_spectrum": {"values": [draw.random() for _ in range(32)], "converged": True},
        },
    )


def write_records(folder: Path, number: int) -> None:
    """Write so many records; each further protocol is another batch size."""
    draw = random.Random(0)
    cells = itertools.product(range(1, number + 1), MODELS, OPTIMIZERS, range(SEEDS))
    for batch, model, optimizer, seed in itertools.islice(cells, number):
        given = {"dataset": "bus", "image_size": 256, "batch_size": batch, "seed": seed}
        config = RunConfig.from_dict({**given, "model": model, "optimizer": optimizer})
        path = folder / "runs" / config.name / "run.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(made_up(config, draw).to_dict()))


def timed(what: str, stage: Callable[[], Result]) -> Result:
    """Run a stage and print its seconds and the peak of memory so far."""
    start, busy = time.perf_counter(), time.process_time()
    result = stage()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"{what:<28}{wall:7.2f} s   of a core {busy:7.2f} s   peak {memory:6.0f} MB", flush=True)
    return result


def compare_everything(records: list[RunRecord]) -> int:
    """Compare every optimizer with its baseline by every metric; return how many comparisons."""
    rows = frame(records)
    count = 0
    for group in groups(records, "adam"):
        sides = [rows.loc[[record.id for record in line.records]] for line in group.lines]
        names = [line.label for line in group.lines]
        made = [
            found
            for side, name in zip(sides[1:], names[1:], strict=True)
            for found in compare(sides[0], side, METRICS, names=(names[0], name))
        ]
        count += len(with_holm(made))
    return count


def main() -> None:
    """Measure each stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="write the records here and leave them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        if not (folder / "runs").exists():
            timed(
                f"{arguments.runs} records written", lambda: write_records(folder, arguments.runs)
            )
        records, _ = timed("records read", lambda: Store(folder).records())
        timed("one frame", lambda: frame(records))
        tables = timed("tables", lambda: build_tables(records, "adam"))
        count = timed("all comparisons", lambda: compare_everything(records))
        timed("report written", lambda: write_report(tables, folder / "reports"))
        print(f"{len(records)} records, {len(tables)} tables, {count} comparisons")


if __name__ == "__main__":
    main()
