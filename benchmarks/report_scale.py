"""What a report of 10,000 stored runs takes: processor time and memory, whole and by stage.

    python benchmarks/report_scale.py [--runs 10000] [--shapes protocols seeds] [--json FILE]

Writes made-up runs to a temporary folder and reports on them as their user would, in a new process
each time, start and imports included. What counts is the least processor time of three, user and
system: it is what is left where other programs use the machine too. The stages are measured
in a process of their own. `damaged` is the first shape again with four records that cannot be read.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from made_up_runs import SHAPES, damage, write_runs

DEMO_RUNS = 9
DONT_KEEP = "PYTHONDONTWRITEBYTECODE"
MACHINE = "2 cores, shared with other work"

Result = TypeVar("Result")


def used_by(command: list[str], folder: Path, log: Path) -> dict[str, float]:
    """Run a command in a new process, compiled modules kept as its user has it; return its cost."""
    kept = {name: value for name, value in os.environ.items() if name != DONT_KEEP}
    start = time.perf_counter()
    with log.open("w") as said:
        child = subprocess.Popen(
            command, cwd=folder, env=kept, stdout=said, stderr=subprocess.STDOUT
        )
        _, status, taken = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(command)} ended with {child.returncode}; see {log}")
    return {
        "wall": round(time.perf_counter() - start, 2),
        "processor": round(taken.ru_utime + taken.ru_stime, 2),
        "peak_megabytes": round(taken.ru_maxrss / 1024),
    }


def reported(folder: Path, times: int = 3) -> dict[str, Any]:
    """Report on a results folder; return what each time took, and the least."""
    command = [sys.executable, "-m", "sambench", "report", "--results", "."]
    found = [used_by(command, folder, folder / "report.log") for _ in range(times)]
    return {
        "wall": [one["wall"] for one in found],
        "processor": [one["processor"] for one in found],
        "least_processor": min(one["processor"] for one in found),
        "peak_megabytes": max(one["peak_megabytes"] for one in found),
    }


def stages(folder: Path) -> dict[str, Any]:
    """Read records and make tables in this process; return the processor time of each stage."""
    taken: dict[str, Any] = {}

    def timed(what: str, stage: Callable[[], Result]) -> Result:
        start = time.process_time()
        result = stage()
        taken[what] = round(time.process_time() - start, 2)
        return result

    from sambench.config.suite import ReportSettings
    from sambench.report.tables import build_tables
    from sambench.store.tree import Store

    taken["start and imports"] = round(time.process_time(), 2)
    records, damaged = timed("records read", Store(folder).records)
    tables = timed("tables made", lambda: build_tables(records, ReportSettings(baseline="adam")))
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    counts = {"records": len(records), "unreadable": len(damaged), "tables": len(tables)}
    return {**counts, **taken, "peak_megabytes": megabytes}


def measured(folder: Path) -> dict[str, Any]:
    """Report on a results folder, and take its stages apart."""
    command = [sys.executable, __file__, "--stages", "."]
    used_by(command, folder, folder / "stages.json")
    return {
        "report": reported(folder),
        "stages": json.loads((folder / "stages.json").read_text()),
    }


def main() -> None:
    """Make the trees, report on each, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=("protocols", "seeds"))
    parser.add_argument("--json", type=Path, help="keep the figures here")
    parser.add_argument("--keep", type=Path, help="make the trees here and leave them there")
    parser.add_argument("--stages", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stages:
        print(json.dumps(stages(given.stages)))
        return
    found: dict[str, Any] = {
        "date": f"{datetime.now(tz=UTC):%Y-%m-%d}",
        "machine": f"{MACHINE} (load {os.getloadavg()[1]:.0f})",
        "command": f"python benchmarks/report_scale.py --runs {given.runs}",
        "runs": given.runs,
    }
    with tempfile.TemporaryDirectory() as temporary:
        root = given.keep or Path(temporary)
        for shape, number in (*((name, given.runs) for name in given.shapes), ("demo", DEMO_RUNS)):
            folder = root / shape
            if not folder.exists():
                found["record_bytes"] = write_runs(folder, shape, number)
            found[shape] = measured(folder)
        damage(root / given.shapes[0])
        found["damaged"] = measured(root / given.shapes[0])
    text = json.dumps(found, indent=2)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
