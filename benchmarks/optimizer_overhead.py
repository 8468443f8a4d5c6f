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
import importlib
import importlib.util
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from sambench.models.model import build_model
from sambench.optim import build
from sambench.optim.method import optimizers
from sambench.optim.modules import ModulesSeen

VIEWS = ("aten.detach", "aten.promote_types", "profiler.", "aten.alias", "aten.view", "aten.split")
WORKLOADS = {
    "resnet18 32px batch 32": ("timm:resnet18", 32, 32),
    "vit-tiny 64px batch 16": ("timm:vit_tiny_patch16_224", 64, 16),
}
Step = Callable[[Callable[[], Tensor]], object]
Make = Callable[[nn.Module], Step]


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


class Watch(TorchDispatchMode):
    """Counts operations and the bytes alive of tensors made while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.alive = self.peak = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        name = str(function)
        if not name.startswith(VIEWS):
            self.operations += 1
            if not name.split(".")[1].endswith("_"):
                for tensor in result if isinstance(result, list | tuple) else [result]:
                    if isinstance(tensor, Tensor):
                        self.count(tensor)
        return result

    def count(self, tensor: Tensor) -> None:
        """Count a new tensor until it dies."""
        size = tensor.numel() * tensor.element_size()
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(tensor, self.free, size)

    def free(self, size: int) -> None:
        """Take a tensor that died off."""
        self.alive -= size


def ours(name: str) -> Make:
    """Make steps of an optimizer of the registry."""

    def make(model: nn.Module) -> Step:
        optimizer = build(name, model.parameters(), "adam" if name == "adam" else None, lr=1e-4)
        return optimizer.step

    return make


def once(model: nn.Module, optimizer: Any) -> Step:
    """Take a peer's step whose caller runs the clean pass."""

    def step(closure: Callable[[], Tensor]) -> None:
        closure()
        optimizer.step(closure)

    return step


def twice(model: nn.Module, optimizer: Any) -> Step:
    """Take a peer's step that runs both passes itself."""
    return optimizer.step


def peer(take: Callable[..., Step], module: str, attribute: str, **settings: Any) -> Make:
    """Make steps of a peer that is given the class of its base, fused Adam as ours has."""

    def make(model: nn.Module) -> Step:
        made = getattr(importlib.import_module(module), attribute)
        leading = [model] if (module, attribute) == ("pytorch_optimizer", "WSAM") else []
        arguments = [*leading, model.parameters(), torch.optim.Adam]
        return take(model, made(*arguments, lr=1e-4, fused=True, **settings))

    return make


def wrapping(module: str, attribute: str) -> Make:
    """Make steps of a peer that is given its base optimizer."""

    def make(model: nn.Module) -> Step:
        base = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
        made = getattr(importlib.import_module(module), attribute)
        return twice(model, made(model.parameters(), base))

    return make


ZIJ = "zij.contrib.sharpness_aware"
PEERS: dict[str, tuple[str, Make]] = {
    "pytorch_optimizer SAM": ("pytorch_optimizer", peer(once, "pytorch_optimizer", "SAM")),
    "pytorch_optimizer ASAM": (
        "pytorch_optimizer",
        peer(once, "pytorch_optimizer", "SAM", adaptive=True),
    ),
    "pytorch_optimizer GCSAM": (
        "pytorch_optimizer",
        peer(once, "pytorch_optimizer", "SAM", use_gc=True),
    ),
    "pytorch_optimizer WSAM": ("pytorch_optimizer", peer(twice, "pytorch_optimizer", "WSAM")),
    "pytorch_optimizer F-SAM": (
        "pytorch_optimizer",
        peer(once, "pytorch_optimizer", "FriendlySAM"),
    ),
    "zij SAM": ("zij", peer(once, ZIJ, "SAM")),
    "zij ASAM": ("zij", peer(once, ZIJ, "ASAM")),
    "zij WSAM": ("zij", peer(twice, ZIJ, "WSAM")),
    "sam-pytorch SAM": ("sam-pytorch", wrapping("sam", "SAM")),
}
"""Each with the package it comes in."""


def available_peers(folder: str) -> dict[str, Make]:
    """Return the peers that can be had and take a step, installing them if need be."""
    sys.path.append(folder)
    found = {}
    for name, (package, make) in PEERS.items():
        if importlib.util.find_spec({"sam-pytorch": "sam"}.get(package, package)) is None:
            install = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps"]
            subprocess.run(
                [*install, "--target", folder, package], check=False, capture_output=True
            )
            importlib.invalidate_caches()
        try:
            model = nn.Linear(3, 2)
            make(model)(Supplied(model))
            found[name] = make
        except Exception as error:
            print(f"{name} left out: {type(error).__name__}: {error}")
    return found


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


class Supplied:
    """A closure without forward and backward: a fresh copy of fixed gradients at each call."""

    def __init__(self, model: nn.Module) -> None:
        self.parameters = list(model.parameters())
        self.gradients = [1e-3 * torch.randn_like(p) for p in self.parameters]
        self.loss = torch.tensor(1.0)
        self.calls = 0
        self.seconds = 0.0

    def __call__(self) -> Tensor:
        """Supply the gradients; the time this takes is kept apart."""
        start = time.thread_time()
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient.clone()  # a new one, as backward makes it
        self.calls += 1
        self.seconds += time.thread_time() - start
        return self.loss


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
        with Watch() as watch:
            made[name] = (make(model), supplied)
            for _ in range(2):
                made[name][0](supplied)
        memory[name] = watch.peak
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
        with Watch() as watch:
            step(supplied)
        calls, median = supplied.calls, statistics.median(times[name])
        median += 0.0 if name == "adam" or name in PEERS else watching
        rows.append(
            Row(
                workload=workload,
                optimizer=name,
                passes=calls,
                step_ms=median,
                ratio=(calls * one_pass + median) / (calls * one_pass + adam),
                operations=watch.operations - calls * len(supplied.parameters),
                memory_copies=(memory[name] - memory["adam"]) / bytes_of_parameters,
            )
        )
    print(
        f"\n{workload}: forward and backward {one_pass:.1f} ms, Adam {adam:.2f} ms, "
        f"watching {watching:.2f} ms"
    )
    headings = f"{'optimizer':32}{'passes':>7}{'step ms':>9}{'ratio':>8}"
    print(headings + f"{'operations':>12}{'memory':>8}")
    for row in sorted(rows, key=lambda row: row.ratio):
        print(
            f"{row.optimizer:32}{row.passes:7}{row.step_ms:9.2f}{row.ratio:8.3f}"
            f"{row.operations:12}{row.memory_copies:7.1f}P"
        )
    return rows


def watching_ms(model: nn.Module, size: int) -> float:
    """Time what watching the modules adds to one forward pass of one image."""
    image, seen = torch.randn(2, 3, size, size), ModulesSeen()
    added = []
    with torch.no_grad():
        for _ in range(30):
            start = time.thread_time()
            model(image)
            between = time.thread_time()
            with seen.watching():
                model(image)
            added.append(1e3 * (time.thread_time() - between - (between - start)))
    return max(0.0, statistics.median(added))


def main() -> None:
    """Measure all workloads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        variants = {"adam": ours("adam")}
        names = [
            info.name for info in optimizers.list() if info.base is None and info.name != "sam-on"
        ]
        variants |= {name: ours(name) for name in names}
        variants |= available_peers(folder)
        rows = [row for w in WORKLOADS for row in measure(w, given.rounds, variants)]
    if given.json:
        about = {"torch": torch.__version__, "cpu": platform.processor(), "rounds": given.rounds}
        given.json.write_text(
            json.dumps({**about, "rows": [asdict(row) for row in rows]}, indent=1)
        )


if __name__ == "__main__":
    main()
