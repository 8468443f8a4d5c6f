"""Measure what an optimizer costs beyond its passes: time, operations, memory; beside its peers.

    python benchmarks/optimizer_overhead.py --rounds 15 --json overhead.json

For each optimizer on Adam: the CPU time of `step` with forward and backward replaced by gradients
that are simply there, against the time of forward and backward measured in the same rounds; so

    ratio = (passes x forward-backward + step) / (passes x forward-backward + Adam step).

One thread, CPU time of the thread (it does not count what others do), variants in a new random
order each round, medians. Our steps also watch which modules run in the first pass; that is
measured on a forward pass of its own and added. Operations are those that torch dispatches in a
step beside forward and backward, views aside; memory is the most that is alive at once, from the
optimizer's making to the end of its second step, beyond what Adam has, in copies of the parameters.
Peers are installed from the package index into a temporary folder if need be, and each is left out
with a word where that fails. SAM-ON is left out: without a forward pass it has no layers to choose.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from meter import Meter
from optimizer_peers import LOOP, PEERS, Make, Step, Supplied, available_peers, loop_sam
from torch import Tensor, nn
from torch.nn import functional

from sambench.models.model import build_model
from sambench.optim import build
from sambench.optim.method import optimizers
from sambench.optim.modules import Modules
from sambench.store.environment import keep_freed_memory

WORKLOADS = {
    "resnet18 32px batch 32": ("timm:resnet18", 32, 32),
    "vit-tiny 64px batch 16": ("timm:vit_tiny_patch16_224", 64, 16),
}


@dataclass
class Row:
    """One optimizer on one workload."""

    workload: str
    optimizer: str
    passes: int
    step_ms: float
    ratio: float
    operations: int
    memory_copies: float


def ours(name: str) -> Make:
    """Make steps of an optimizer of the registry."""

    def make(model: nn.Module) -> Step:
        optimizer = build(
            name, model.parameters(), "adam" if name == "adam" else None, lr=1e-4, model=model
        )
        return optimizer.step

    return make


def network(name: str, size: int) -> nn.Module:
    """Build a network with the same weights each time."""
    torch.manual_seed(0)
    return build_model(name, classes=2, image_size=size, pretrained=False)


def forward_backward_ms(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Time one pass."""
    start = time.thread_time()
    functional.cross_entropy(model(inputs), targets).backward()
    elapsed = time.thread_time() - start
    model.zero_grad()
    return 1e3 * elapsed


def measure(workload: str, rounds: int, variants: dict[str, Make]) -> list[Row]:
    """Interleave all variants on one workload."""
    model_name, size, batch = WORKLOADS[workload]
    inputs = torch.randn(batch, 3, size, size)
    targets = torch.randint(0, 2, (batch,))
    reference = network(model_name, size)
    bytes_of_parameters = sum(p.numel() * p.element_size() for p in reference.parameters())
    made: dict[str, tuple[Step, Supplied]] = {}
    memory = {}
    for name, make in variants.items():
        model = network(model_name, size)
        supplied = Supplied(model)
        with Meter() as meter:
            made[name] = (make(model), supplied)
            for _ in range(2):
                made[name][0](supplied)
        memory[name] = meter.peak
    passes, times = [], {name: [] for name in made}
    for _ in range(rounds):
        passes.append(forward_backward_ms(reference, inputs, targets))
        for name in random.sample(list(made), len(made)):
            step, supplied = made[name]
            supplied.seconds, start = 0.0, time.thread_time()
            step(supplied)
            times[name].append(1e3 * (time.thread_time() - start - supplied.seconds))
    one_pass, adam = statistics.median(passes), statistics.median(times["adam"])
    watching = watching_ms(reference, size)
    rows = []
    for name, (step, supplied) in made.items():
        supplied.calls = 0
        with Meter() as meter:
            step(supplied)
        calls, median = supplied.calls, statistics.median(times[name])
        median += 0.0 if name == "adam" or name in (LOOP, *PEERS) else watching
        rows.append(
            Row(
                workload=workload,
                optimizer=name,
                passes=calls,
                step_ms=median,
                ratio=(calls * one_pass + median) / (calls * one_pass + adam),
                operations=len(meter.operations) - calls * len(supplied.parameters),
                memory_copies=(memory[name] - memory["adam"]) / bytes_of_parameters,
            )
        )
    print(
        f"\n{workload}: forward and backward {one_pass:.1f} ms, Adam {adam:.2f} ms, "
        f"watching {watching:.2f} ms"
    )
    show(rows)
    return rows


def show(rows: list[Row]) -> None:
    """Print a workload's rows, the cheapest first."""
    headings = f"{'optimizer':32}{'passes':>7}{'step ms':>9}{'ratio':>8}"
    print(headings + f"{'operations':>12}{'memory':>8}")
    for row in sorted(rows, key=lambda row: row.ratio):
        print(
            f"{row.optimizer:32}{row.passes:7}{row.step_ms:9.2f}{row.ratio:8.3f}"
            f"{row.operations:12}{row.memory_copies:7.1f}P"
        )


def wrapper_ratios(rows: list[Row]) -> list[dict[str, Any]]:
    """Compare what SAM takes beyond Adam with what its peers take, workload by workload."""
    found = []
    for workload in WORKLOADS:
        step = {row.optimizer: row.step_ms for row in rows if row.workload == workload}
        for name in (LOOP, "sam-pytorch SAM", "pytorch_optimizer SAM"):
            if name in step:
                ours_ms, peer_ms = step["sam"] - step["adam"], step[name] - step["adam"]
                found.append(
                    {
                        "workload": workload,
                        "peer": name,
                        "ratio": ours_ms / peer_ms,
                        "ours_ms": ours_ms,
                        "peer_ms": peer_ms,
                    }
                )
                print(f"{workload}: wrapper of sam / {name}: {ours_ms / peer_ms:.2f}")
    return found


def watching_ms(model: nn.Module, size: int) -> float:
    """Time what watching the modules adds to one forward pass of one image."""
    image, seen = torch.randn(2, 3, size, size), Modules()
    added = []
    with torch.no_grad():
        for _ in range(30):
            start = time.thread_time()
            model(image)
            between = time.thread_time()
            with seen.watching([]):
                model(image)
            added.append(1e3 * (time.thread_time() - between - (between - start)))
    return max(0.0, statistics.median(added))


def main() -> None:
    """Measure all workloads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds")
    parser.add_argument("--quick", action="store_true", help="three rounds, for a look")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    given = parser.parse_args()
    rounds = 3 if given.quick else given.rounds
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        variants = {"adam": ours("adam")}
        names = [
            info.name for info in optimizers.list() if info.base is None and info.name != "sam-on"
        ]
        variants |= {name: ours(name) for name in names}
        variants[LOOP] = loop_sam
        peers, left_out = available_peers(folder)
        variants |= peers
        rows = [row for w in WORKLOADS for row in measure(w, rounds, variants)]
    wrapper = wrapper_ratios(rows)
    if given.json:
        about = {"torch": torch.__version__, "cpu": platform.processor(), "rounds": rounds}
        about |= {"quick": given.quick, "wrapper": wrapper, "left_out": left_out}
        found = {**about, "rows": [asdict(row) for row in rows]}
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
