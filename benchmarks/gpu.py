"""Check and time the training step on a GPU, all in ten minutes; write JSON, print tables.

    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --cpu-smoke          every section at toy size, on the CPU

First every way of executing a step is checked against the usual one, then steps are timed in
interleaved rounds beside bare captured passes (the floor) and SAM loops as others write them, then
whole epochs, several processes on one GPU, and Hessian-vector products. Each section has its share
of the time and is cut short when it is late; what is done is in the file after every section. Data
are random. Without a GPU it says so and ends well.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path
from typing import Any

import gpu_runs
import torch
from gpu_sections import SECTIONS, Bench
from gpu_table import to_markdown

from sambench.store.environment import git_state


def about(device: torch.device) -> dict[str, Any]:
    """Return what was measured on and with."""
    on_gpu = device.type == "cuda"
    return {
        "gpu": torch.cuda.get_device_name(device) if on_gpu else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
        "python": platform.python_version(),
        "git": git_state(),
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    """Run all sections."""
    if sys.argv[1:2] == ["--packed"]:
        gpu_runs.packed(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=9.0, help="for all sections together")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--cpu-smoke", action="store_true", help="toy sizes, on the CPU")
    given = parser.parse_args()
    if not (given.cpu_smoke or torch.cuda.is_available()):
        print("no CUDA device here: nothing was measured")
        return
    device = torch.device("cpu") if given.cpu_smoke else torch.device("cuda:0")
    bench = Bench(device, given.cpu_smoke, given.minutes, given.json)
    bench.found = {"about": about(device), "sections": {}}
    for name, share, work in SECTIONS:
        bench.section(name, share, work)
    print(to_markdown(bench.found))


if __name__ == "__main__":
    main()
