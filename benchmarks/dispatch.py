"""What a launcher costs a run beyond the run itself: kept workers, in-line, a process each.

The cost is wall time times workers, less the seconds that the records own up to (training,
evaluation, overhead), for each run; the start of the workers and their imports are counted in. The
images are random and small: the runs are as short as runs can be.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from sambench.config.run_config import RunConfig
from sambench.data.preparation import prepare
from sambench.data.source import Request, sources
from sambench.launch.launcher import Watcher
from sambench.launch.launchers.local import launch
from sambench.launch.manifest import Manifest
from sambench.store.tree import Store


def manifest_of(folder: Path, runs: int) -> Manifest:
    """Prepare 40 images of 32 pixels and return runs of one epoch on them."""
    source = sources.get("phantom")
    options = source.resolve({"images": 40, "pixels": 32})
    prepare(source, Request(raw=folder / "raw", options=options), folder / "data", 32)
    given = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "optimizer": "sam"}
    configs = [RunConfig.from_dict({**given, "epochs": 1, "seed": n}) for n in range(runs)]
    return Manifest(configs=configs, data=folder / "data", results=folder / "none", device="cpu")


def own_seconds(manifest: Manifest) -> float:
    """Return the sum of the seconds that the records account for."""
    total = 0.0
    for config in manifest.configs:
        record = Store(manifest.results).load(config)
        assert record is not None
        assert record.cost is not None
        assert record.status == "completed"
        parts = ("train_seconds", "evaluation_seconds", "overhead_seconds")
        total += sum(record.cost[part] for part in parts)
    return total


def with_workers(manifest: Manifest, workers: int) -> dict[str, float]:
    """Time a launch by kept workers (0: in this process)."""
    begun: list[float] = []
    watcher = Watcher(event=lambda event: begun.append(time.perf_counter()))
    start = time.perf_counter()
    launch(manifest, {"workers": str(max(1, workers))}, watcher)
    wall = time.perf_counter() - start
    return costs(manifest, wall, max(workers, 1), begun[0] - start)


def process_each(manifest: Manifest) -> dict[str, float]:
    """Time a process for each run, one after another."""
    path = manifest.write()
    start = time.perf_counter()
    for index in range(len(manifest.configs)):
        command = [sys.executable, "-m", "sambench.launch.job", str(path), str(index)]
        subprocess.run(command, check=True, capture_output=True)
    return costs(manifest, time.perf_counter() - start, 1, 0.0)


def costs(manifest: Manifest, wall: float, workers: int, first: float) -> dict[str, float]:
    """Return the figures of a launch."""
    runs, own = len(manifest.configs), own_seconds(manifest)
    return {
        "runs": runs,
        "wall_seconds": round(wall, 3),
        "first_event_seconds": round(first, 3),
        "own_seconds_a_run": round(own / runs, 4),
        "dispatch_seconds_a_run": round((wall * workers - own) / runs, 4),
        "dispatch_seconds_a_run_without_start": round(((wall - first) * workers - own) / runs, 4),
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="four runs, for a look")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    options = parser.parse_args()
    if options.quick:
        options.runs = 4
    with tempfile.TemporaryDirectory() as folder:
        base = manifest_of(Path(folder), options.runs)

        def fresh(name: str, runs: int) -> Manifest:
            return replace(base, results=Path(folder) / name, configs=base.configs[:runs])

        each = process_each(fresh("each", min(options.runs, 4)))
        workers = with_workers(fresh("workers", options.runs), options.workers)
        inline = with_workers(fresh("inline", options.runs), 0)
    kept = workers["dispatch_seconds_a_run"]
    found = {
        "workers": {"number": options.workers, **workers},
        "inline": inline,
        "process_each": each,
        "process_each_to_workers": round(each["dispatch_seconds_a_run"] / kept, 1),
        "load_average": os.getloadavg(),
    }
    print(json.dumps(found, indent=2))
    if options.json:
        options.json.write_text(json.dumps({**found, "quick": options.quick}, indent=2) + "\n")


if __name__ == "__main__":
    main()
