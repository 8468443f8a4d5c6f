"""Measure what an epoch of training costs beyond its steps, and how it grows.

    python benchmarks/epoch.py --json epoch.json

After each epoch of a run the same number of steps is taken on ready batches of the same images, by
the same optimizer on a network of its own; so with the CPU time of the thread,

    epoch ratio = epoch / (steps x step),    whole ratio = epoch / (steps x (passes + base step)),

where the second's steps are bare: forward and backward as often as the optimizer, and Adam. On one
batch over and over a step would be 2 % faster: it is learned by heart and stays in the cache. All
that the loop does is in an epoch: choosing and augmenting images, uint8 to float, tallies, the
schedule, the progress display, the stop rule and the history. Medians over epochs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sambench.config.run_config import RunConfig
from sambench.data.augment import make_augmentation
from sambench.data.batches import Images, Scaling
from sambench.files.atomic import write_text
from sambench.models.model import build_model
from sambench.optim import build
from sambench.optim.method import optimizers
from sambench.store.environment import keep_freed_memory
from sambench.training.engine import layout_of
from sambench.training.events import Epoch
from sambench.training.loop import Training

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """One run: its network, images and settings."""

    model: str = "small-cnn"
    size: int = 32
    batch: int = 32
    images: int = 640
    optimizer: str = "sam"
    augmentation: str = "flip-shift"
    stop: str = "epochs"

    @property
    def name(self) -> str:
        """What to call it in a table."""
        return f"{self.model} {self.size}px batch {self.batch} {self.optimizer}"


NETWORKS = (
    Case("small-cnn", 32),
    Case("small-cnn", 64),
    Case("timm:resnet18", 32, images=256),
    Case("timm:resnet18", 64, images=128),
    Case("timm:vit_tiny_patch16_224", 32, images=256),
    Case("timm:vit_tiny_patch16_224", 64, batch=16, images=128),
)
GROWTH = (
    *(replace(NETWORKS[0], images=images) for images in (160, 320, 1280)),
    *(replace(NETWORKS[0], batch=batch) for batch in (8, 16, 64)),
    *(replace(NETWORKS[0], optimizer=name) for name in ("adam", "gsam", "crsam")),
    *(replace(NETWORKS[0], augmentation=name) for name in ("none", "standard")),
    replace(NETWORKS[0], stop="train-accuracy"),
)


@dataclass
class Row:
    """What was found of a case; milliseconds of CPU time."""

    case: dict[str, Any]
    name: str
    epoch_ratio: float
    whole_ratio: float
    epoch_ms: float
    step_ms: float
    bare_step_ms: float
    batch_ms: float
    images_per_second: float
    epochs: int


def pictures(case: Case) -> Images:
    """Return random images that cannot be learned, so that no stop rule ends the run."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (case.images, case.size, case.size, 1), dtype=np.uint8)
    return Images(pixels, draw.integers(0, 2, case.images), CPU, Scaling(0.5, 0.25))


class Bare:
    """Steps on ready batches, with the optimizer or with nothing but its passes and Adam."""

    def __init__(self, case: Case) -> None:
        self.model = network(case).train()
        self.optimizer = build(case.optimizer, self.model.parameters(), "adam", lr=1e-3)
        self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        self.passes = round(optimizers.get(case.optimizer).gradient_evaluations)
        images, layout = pictures(case), layout_of(self.model, CPU)
        ready = torch.arange(case.images).split(case.batch)
        self.batches = itertools.cycle([images.batch(which, None, layout) for which in ready])

    def passed(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Run forward and backward."""
        loss = functional.cross_entropy(self.model(inputs), targets)
        loss.backward()
        return loss

    def step(self) -> None:
        """Take a step of the optimizer on the next batch."""
        batch = next(self.batches)
        self.optimizer.step(lambda: self.passed(*batch))

    def floor(self) -> None:
        """Take the passes on the next batch, and a step of Adam."""
        batch = next(self.batches)
        for _ in range(self.passes):
            self.adam.zero_grad()
            self.passed(*batch)
        self.adam.step()


def network(case: Case) -> nn.Module:
    """Build the case's network with the same weights each time, laid out as for training."""
    torch.manual_seed(0)
    model = build_model(case.model, classes=2, image_size=case.size, pretrained=False)
    return model.to(memory_format=layout_of(model, CPU))  # type: ignore[call-overload]


def seconds_of(work: Any, times: int) -> float:
    """Return the CPU time of doing something some times."""
    start = time.thread_time()
    for _ in range(times):
        work()
    return time.thread_time() - start


def measure(case: Case, epochs: int) -> Row:
    """Train for some epochs with bare steps between them."""
    bare, images = Bare(case), pictures(case)
    steps = case.images // case.batch
    found: dict[str, list[float]] = {"epoch": [], "step": [], "bare": []}
    begun = 0.0

    def between(epoch: Epoch) -> None:
        nonlocal begun
        found["epoch"].append(time.thread_time() - begun)
        found["step"].append(seconds_of(bare.step, steps))
        found["bare"].append(seconds_of(bare.floor, steps))
        begun = time.thread_time()

    given = {"dataset": "none", "image_size": case.size, "model": "none", "lr": 1e-3}
    given |= {"batch_size": case.batch, "optimizer": case.optimizer, "stop": case.stop}
    given |= {"augmentation": case.augmentation, "epochs": epochs + 1, "schedule": "cosine"}
    model = network(case)
    with tempfile.TemporaryDirectory() as folder:
        training = Training(
            RunConfig.from_dict(given),
            model,
            build(case.optimizer, model.parameters(), "adam", lr=1e-3),
            images,
            None,
            folder=Path(folder),
            identity="benchmark",
            on_tick=lambda tick: None,
            on_epoch=between,
            stop_requested=lambda: False,
        )
        begun = time.thread_time()
        training.run()
    order, augment = torch.arange(case.batch), make_augmentation(case.augmentation, 0)
    layout = layout_of(model, CPU)
    making = seconds_of(lambda: images.batch(order, augment, layout), 20) / 20
    middle = {name: statistics.median(times[1:]) for name, times in found.items()}
    ratios = {
        name: statistics.median(
            epoch / step for epoch, step in zip(found["epoch"][1:], found[name][1:], strict=True)
        )
        for name in ("step", "bare")
    }
    return Row(
        case=asdict(case),
        name=case.name,
        epoch_ratio=ratios["step"],
        whole_ratio=ratios["bare"],
        epoch_ms=1e3 * middle["epoch"],
        step_ms=1e3 * middle["step"] / steps,
        bare_step_ms=1e3 * middle["bare"] / steps,
        batch_ms=1e3 * making,
        images_per_second=case.images / middle["epoch"],
        epochs=epochs,
    )


def main() -> None:
    """Measure all cases and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=9, help="epochs of each run")
    parser.add_argument("--quick", action="store_true", help="two small runs, for a look")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    cases = (*NETWORKS, *GROWTH)
    if given.quick:
        cases = (NETWORKS[0], replace(NETWORKS[2], images=64))
    print(f"{'case':48}{'images':>7}{'epoch':>8}{'whole':>8}{'step ms':>9}{'batch ms':>9}")
    rows = []
    for case in cases:
        rows.append(row := measure(case, 3 if given.quick else given.epochs))
        print(
            f"{row.name:48}{case.images:7}{row.epoch_ratio:8.3f}{row.whole_ratio:8.3f}"
            f"{row.step_ms:9.2f}{row.batch_ms:9.2f}  {case.augmentation}, {case.stop}",
            flush=True,
        )
        if given.json:  # after each, so that one that is cut keeps what it has measured
            keep(rows, given.json, quick=given.quick)


def keep(rows: list[Row], file: Path, *, quick: bool) -> None:
    """Write what has been measured."""
    about = {"torch": torch.__version__, "cpu": platform.processor(), "quick": quick}
    found = {**about, "load_average": os.getloadavg(), "rows": [asdict(row) for row in rows]}
    write_text(file, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
