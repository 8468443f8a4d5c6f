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
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from made_up_runs import record_text

from sambench.config.suite_file import load_suite
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
        command = [sys.executable, "-m", "sambench", "compare", "scale.yaml", "--plan"]
        found = {"runs": given.runs, "plan": timed(command, folder)}
        store, draw = Store(folder / "results"), random.Random(0)
        configs = load_suite(suite).expand(lambda *_: ())
        assert len(configs) == given.runs
        for config in configs:
            path = store.folder(config) / "run.json"
            path.parent.mkdir(parents=True)
            path.write_text(record_text(config, draw))
        found["record_bytes"] = path.stat().st_size
        found["status"] = timed(command, folder)
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
