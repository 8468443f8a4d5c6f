"""Whole epochs, several processes on one GPU, and Hessian-vector products."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_steps import Ours, Workload
from gpu_timing import measure, stretch_ms, synchronize
from torch.nn import functional

from sambench.config.run_config import RunConfig
from sambench.curvature import HessianOperator
from sambench.data.batches import Images, Scaling
from sambench.optim import build
from sambench.store.environment import choose_kernels
from sambench.training.loop import Training
from sambench.training.precision import numerics


def epoch_of(
    workload: Workload, device: torch.device, images: int, resident: bool, epochs: int
) -> dict[str, Any]:
    """Train for some epochs; compare the last one's time with its steps, each as it takes alone.

    The images are random; those that are not resident are read from a memory map.
    """
    shape = (images, workload.size, workload.size, 1)
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, images)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        np.save(path, random.integers(0, 256, shape, dtype=np.uint8))
        part = Images(np.load(path, mmap_mode="r"), labels, device, Scaling(), resident=resident)
        run = _training(workload, device, part, epochs, Path(folder))
        run.run()
    history = run.state.history
    seconds = history[-1].train_seconds - history[-2].train_seconds
    with numerics(workload.precision):
        step = Ours(workload, device)
        alone = min(stretch_ms(step, 20 if device.type == "cuda" else 2, device) for _ in range(3))
    steps = run.state.steps // epochs
    whole = images / workload.batch
    return {
        "images": images,
        "resident": resident,
        "steps": steps,
        "epoch_seconds": round(seconds, 4),
        "step_ms": round(alone, 4),
        "epoch_over_steps": round(seconds / (whole * alone / 1e3), 4),
        "images_per_second": round(images / seconds, 1),
        "engine": run.engine.described(),
    }


def _training(
    workload: Workload, device: torch.device, images: Images, epochs: int, folder: Path
) -> Training:
    config = RunConfig.from_dict(
        {
            "dataset": "random",
            "image_size": workload.size,
            "model": workload.model,
            "optimizer": "sam",
            "batch_size": workload.batch,
            "precision": workload.precision,
            "augmentation": "flip-shift",
            "epochs": epochs,
            "kernels": "fastest",
            "capture": "always",
        }
    )
    choose_kernels(config.kernels, device)
    model = workload.network(device)
    return Training(
        config,
        model,
        build("sam", model.parameters(), lr=1e-4),
        images,
        None,
        folder=folder / "run",
        identity=config.id,
        on_tick=lambda tick: None,
        on_epoch=lambda epoch: None,
        stop_requested=lambda: False,
    )


def packing(
    workload: Workload, device: torch.device, numbers: tuple[int, ...], seconds: float
) -> dict[str, Any]:
    """Train the same in several processes at once; return their steps a second together."""
    command = [sys.executable, str(Path(__file__).with_name("gpu.py")), "--packed"]
    command += [workload.model, str(workload.size), str(workload.batch), workload.precision]
    command += [device.type]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(max(numbers))
    ]
    found: dict[str, Any] = {}
    try:
        for worker in workers:
            assert worker.stdout is not None
            if worker.stdout.readline().strip() != "ready":
                raise RuntimeError("a packed process did not start")
        for number in numbers:
            rates = [0.0] * number
            for worker in workers[:number]:
                assert worker.stdin is not None
                worker.stdin.write(f"{seconds}\n")
                worker.stdin.flush()
            for place, worker in enumerate(workers[:number]):
                assert worker.stdout is not None
                rates[place] = float(worker.stdout.readline())
            found[str(number)] = {"steps_per_second": round(sum(rates), 2), "each": rates}
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    alone = found[str(numbers[0])]["steps_per_second"]
    for entry in found.values():
        entry["gain"] = round(entry["steps_per_second"] / alone, 3)
    return found


def packed(model: str, size: str, batch: str, precision: str, kind: str) -> None:
    """Be one of several processes: train for as long as standard input says, tell the rate."""
    device = torch.device(kind)
    with numerics(precision):
        step = Ours(Workload(model, int(size), int(batch), precision), device)
        print("ready", flush=True)
        for line in sys.stdin:
            start, steps = time.perf_counter(), 0
            while time.perf_counter() - start < float(line):
                for _ in range(5):
                    step()
                steps += 5
                synchronize(device)
            print(round(steps / (time.perf_counter() - start), 3), flush=True)


def hessian_vector(workload: Workload, device: torch.device, seconds: float) -> dict[str, Any]:
    """Time a Hessian-vector product against a forward and backward pass, in float32."""
    model = workload.network(device).eval()
    inputs, targets = workload.images(device)
    operator = HessianOperator(model, functional.cross_entropy, [(inputs, targets)])
    vector = torch.randn(operator.size, device=device)

    def one_pass() -> None:
        functional.cross_entropy(model(inputs), targets).backward()
        model.zero_grad(set_to_none=True)

    with numerics("fp32"):
        makers = {"pass": lambda: one_pass, "product": lambda: lambda: operator.matvec(vector)}
        timings, _, failed = measure(makers, device, seconds)
    found: dict[str, Any] = {name: timing.to_dict() for name, timing in timings.items()}
    if len(timings) == 2:
        found["product_over_pass"] = round(timings["product"].ms / timings["pass"].ms, 3)
    found["product_error"] = operator.product_error  # 1e-3 and more: of TensorFloat-32
    return {**found, **({"failed": failed} if failed else {})}
