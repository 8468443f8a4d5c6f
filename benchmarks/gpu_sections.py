"""The sections of `gpu.py`: what is checked and timed, on which workloads."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gpu_runs
import torch
from gpu_checks import (
    check_optimizer,
    check_other_ways,
    check_reference,
    check_repeats,
    check_restore,
)
from gpu_floor import ceilings, pass_roof
from gpu_steps import Bare, Ours, UsualSAM, Workload, library_sam
from gpu_timing import Timing, measure

from sambench.files.atomic import write_json
from sambench.optim.method import optimizers
from sambench.training.precision import numerics

PAPERS = ("adam", "sam", "asam", "gsam", "wsam", "crsam", "gcsam")
HEADLINES = (
    Workload("resnet50", 256, 16, "bf16"),
    Workload("resnet18", 32, 32, "bf16"),
    Workload("resnet50", 256, 16, "tf32"),
    Workload("resnet18", 32, 32, "tf32"),
)
OTHERS = tuple(
    Workload(model, size, 16, precision)
    for precision in ("bf16", "tf32", "fp32")
    for model, size in (("vgg16", 256), ("vit", 224), ("swin", 224), ("resnet50", 256))
)
REPEATED = (
    Workload("resnet50", 64, 8, "fp32"),
    Workload("vit", 224, 4, "fp32"),
    Workload("vit", 224, 4, "bf16"),
)
TOY = Workload("small-cnn", 16, 4, "fp32")


@dataclass
class Bench:
    """What was found so far, and how much time is left."""

    device: torch.device
    toy: bool
    minutes: float
    path: Path | None
    found: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    until: float = 0.0

    @property
    def left(self) -> float:
        """Seconds left of the section."""
        return self.until - time.monotonic()

    def at_most(self, seconds: float) -> float:
        """Return how long to measure: at toy size hardly."""
        return 0.5 if self.toy else seconds

    def section(self, name: str, share: float, work: Callable[[Bench], Any]) -> None:
        """Do one section within its share of the time, whatever goes wrong in it."""
        begun = time.monotonic()
        end = self.started + 60 * self.minutes
        if begun >= end:
            self.found["sections"][name] = {"status": "left out: no time left"}
            return
        self.until = min(begun + share * 60 * self.minutes, end)
        status = "done"
        try:
            work(self)
        except Exception as error:
            status = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        late = status == "done" and self.left < 0
        seconds = round(time.monotonic() - begun, 1)
        self.found["sections"][name] = {
            "status": "done, cut short" if late else status,
            "seconds": seconds,
        }
        print(f"{name}: {self.found['sections'][name]['status']}, {seconds} s", file=sys.stderr)
        clear(self.device)
        if self.path:
            write_json(self.path, self.found)


def clear(device: torch.device) -> None:
    """Give memory of what is done with back: optimizers and their closures are cycles."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def limits(bench: Bench) -> None:
    """Measure the ceilings."""
    bench.found["ceilings"] = ceilings(bench.device, bench.toy)


def checks(bench: Bench) -> None:
    """Check every optimizer in every way of execution."""
    kinds = ("repeats", "captured", "restore", "reference", "ways")
    found: dict[str, dict[str, Any]] = {kind: {} for kind in kinds}
    bench.found["checks"] = found
    for workload in (TOY,) if bench.toy else REPEATED:
        found["repeats"][workload.name] = check_repeats(workload, bench.device)
    names = [*PAPERS, *(i.name for i in optimizers.list() if i.name not in PAPERS)]
    for name in ("gcsam",) if bench.toy else names:
        if bench.left < 0:
            break
        found["captured"][name] = check_optimizer(name, bench.device)
        found["restore"][name] = check_restore(name, bench.device)
        if name in PAPERS:
            found["reference"][name] = check_reference(name, bench.device)
    if not bench.toy:
        found["ways"] = check_other_ways(bench.device, compile_too=True)


def headlines(bench: Bench) -> None:
    """Time SAM's step in every way of execution beside the floor and the peers."""
    found = bench.found.setdefault("steps", {})
    cases = (TOY,) if bench.toy else HEADLINES
    for place, workload in enumerate(cases):
        if bench.left < 0:
            return
        share = 0.4 * bench.left / (len(cases) - place)
        found[workload.name] = steps_of(bench, workload, bench.at_most(share))


def compiled(bench: Bench) -> None:
    """Time compiled networks, captured and not, beside the floor; compiling takes minutes."""
    found = bench.found.setdefault("compiled", {})
    device, ways = bench.device, {"compile": "always"}
    for workload in [] if bench.toy else HEADLINES[:2]:
        if bench.left < 0:
            return
        makers: dict[str, Callable[[], Any]] = {
            "floor": lambda w=workload: Bare(w, device, 2),
            "captured": lambda w=workload: Ours(w, device),
            "compiled": lambda w=workload: Ours(w, device, capture="never", **ways),
            "compiled captured": lambda w=workload: Ours(w, device, **ways),
        }
        with numerics(workload.precision):
            timings, made, failed = measure(makers, device, 4.0)
        found[workload.name] = {"rows": rows_of(workload, timings, made), "failed": failed}
        del made
        clear(device)


def rows_of(
    workload: Workload, timings: dict[str, Timing], made: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the timings with their ratios to the floor and to the usual loop."""
    rows: dict[str, dict[str, Any]] = {}
    for name, timing in timings.items():
        row: dict[str, Any] = timing.to_dict()
        row["images_per_second"] = round(1e3 * workload.batch / timing.ms, 1)
        if "floor" in timings:
            row["to_floor"] = round(timing.ms / timings["floor"].ms, 4)
        if "loop" in timings:
            row["loop_over_it"] = round(timings["loop"].ms / timing.ms, 3)
        if isinstance(made[name], Ours):
            row["engine"] = made[name].engine.described()
        rows[name] = row
    return rows


def steps_of(bench: Bench, workload: Workload, seconds: float) -> dict[str, Any]:
    """Time the ways of one workload."""
    device = bench.device
    deterministic = {"kernels": "deterministic"}
    makers: dict[str, Callable[[], Any]] = {
        "floor": lambda: Bare(workload, device, 2),
        "captured": lambda: Ours(workload, device),
        "captured deterministic": lambda: Ours(workload, device, **deterministic),
        "usual": lambda: Ours(workload, device, capture="never"),
        "loop": lambda: UsualSAM(workload, device, tuned=False),
        "loop tuned": lambda: UsualSAM(workload, device, tuned=True),
        "pytorch_optimizer": lambda: library_sam(workload, device),
    }
    with numerics(workload.precision):
        timings, made, failed = measure(makers, device, seconds)
    rows = rows_of(workload, timings, made)
    del made
    clear(device)
    roof = pass_roof(workload, device, bench.found["ceilings"])
    # Adam moves 7 times the weights, a SAM perturbation 6 times
    roof["step_ms"] = 2 * roof["pass_ms"] + 13e3 * (
        roof["weight_bytes"] / bench.found["ceilings"]["bytes_per_second"]
    )
    return {"rows": rows, "roof": roof, **({"failed": failed} if failed else {})}


def each_optimizer(bench: Bench) -> None:
    """Time the captured step of each optimizer beside as many bare passes."""
    found = bench.found.setdefault("optimizers", {})
    workload = TOY if bench.toy else HEADLINES[0]
    for place, name in enumerate(PAPERS[:2] if bench.toy else PAPERS):
        if bench.left < 0:
            return
        passes = round(optimizers.get(name).gradient_evaluations)
        makers: dict[str, Callable[[], Any]] = {
            "floor": lambda passes=passes: Bare(workload, bench.device, passes),
            "captured": lambda name=name: Ours(workload, bench.device, name),
        }
        with numerics(workload.precision):
            timings, _, failed = measure(
                makers, bench.device, bench.at_most(0.5 * bench.left / (len(PAPERS) - place))
            )
        found[name] = {
            **{key: timing.to_dict() for key, timing in timings.items()},
            "to_floor": round(timings["captured"].ms / timings["floor"].ms, 4),
            "passes": passes,
            **({"failed": failed} if failed else {}),
        }


def other_models(bench: Bench) -> None:
    """Time the other models, in each precision, without compiling them."""
    found = bench.found.setdefault("steps", {})
    cases = () if bench.toy else OTHERS
    for place, workload in enumerate(cases):
        if bench.left < 0:
            return
        if workload.name not in found:
            share = bench.left / (len(cases) - place)
            found[workload.name] = steps_of(bench, workload, 0.3 * share)


def epochs(bench: Bench) -> None:
    """Time whole epochs, of resident images and of images that are read."""
    found = bench.found.setdefault("epochs", {})
    cases: list[tuple[Workload, int, bool]] = [
        (workload, images, resident)
        for workload, images in ((HEADLINES[0], 624), (HEADLINES[1], 4000), (HEADLINES[0], 1250))
        for resident in (True, False)
    ]
    for workload, images, resident in [(TOY, 21, True)] if bench.toy else cases:
        if bench.left < 0:
            return
        name = f"{workload.name}, {images} images {'resident' if resident else 'read'}"
        found[name] = gpu_runs.epoch_of(workload, bench.device, images, resident, epochs=4)


def together(bench: Bench) -> None:
    """Train in several processes at once."""
    cases = [HEADLINES[1], HEADLINES[0]]
    numbers, seconds = ((1,), 0.3) if bench.toy else ((1, 2, 4), 4.0)
    for workload in [TOY] if bench.toy else cases:
        if bench.left < 0:
            return
        bench.found.setdefault("packing", {})[workload.name] = gpu_runs.packing(
            workload, bench.device, numbers, seconds
        )


def products(bench: Bench) -> None:
    """Time Hessian-vector products."""
    found = bench.found.setdefault("products", {})
    cases = [Workload(m, s, 16, "fp32") for m, s in (("resnet50", 256), ("vit", 224))]
    for place, workload in enumerate([TOY] if bench.toy else cases):
        if bench.left < 0:
            return
        seconds = bench.at_most(0.4 * bench.left / (len(cases) - place))
        found[workload.name] = gpu_runs.hessian_vector(workload, bench.device, seconds)


SECTIONS: tuple[tuple[str, float, Callable[[Bench], None]], ...] = (
    ("ceilings", 0.03, limits),
    ("checks", 0.17, checks),
    ("headline steps", 0.2, headlines),
    ("epochs", 0.12, epochs),
    ("each optimizer", 0.1, each_optimizer),
    ("packing", 0.14, together),
    ("Hessian-vector products", 0.05, products),
    ("other models", 0.2, other_models),
    ("compiled", 1.0, compiled),
)
"""Name, share of the time, and what is done; the most telling first."""
