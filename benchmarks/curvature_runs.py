"""Compare what the commands say of three trained runs with their exact Hessians.

    python benchmarks/curvature_runs.py [--json FILE]

Prepares simulated ultrasound, trains three small networks by `sambench train` (with Adam, SAM and
GSAM) and measures them by `sambench hessian` with all of their training images, all in a temporary
folder. Then each Hessian of the mean training loss at the stored weights is computed in full by
torch.func, reverse over reverse in float64, on the same images, and its eigenvalues by LAPACK:
nothing of `sambench.curvature` takes part. Printed are the top and the lowest eigenvalue, the trace
and the largest eigenvalue in magnitude of every batch, recorded and exact, with the interval that
was promised. Exit code 1 where an exact value lies outside of a certified interval. A minute.

This file is also the plug-in that has the networks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import sambench
from sambench.data.batches import shuffled
from sambench.models.model import CHANNELS, Model, models
from sambench.run.images import load_parts
from sambench.training.seeding import derive_seed

SIDE, IMAGES, BATCH, EPOCHS = 16, 160, 16, 20
RUNS = {"exact-batch-norm": "adam", "exact-group-norm": "sam", "exact-plain": "gsam"}
ROWS_AT_ONCE = 32
TOL, TRACE_TOL = 1e-3, 0.02
ROUNDING = 1e-4
"""Of float32 products and of the images' order, beside the largest magnitude."""


def _network(norm: type[nn.Module] | None, activation: type[nn.Module]) -> Any:
    def build(classes: int, image_size: int, pretrained: bool) -> nn.Module:
        norms = {nn.BatchNorm2d: (8,), nn.GroupNorm: (2, 8)}
        layers: list[nn.Module] = []
        for width in (CHANNELS, 8):
            layers += [nn.Conv2d(width, 8, 3, padding=1), activation(), nn.MaxPool2d(2)]
            layers += [] if norm is None else [norm(*norms[norm])]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * (image_size // 4) ** 2, classes))

    return build


for _name, _norm, _activation in (
    ("exact-batch-norm", nn.BatchNorm2d, nn.ReLU),
    ("exact-group-norm", nn.GroupNorm, nn.GELU),
    ("exact-plain", None, nn.Tanh),
):
    models.register(
        Model(
            name=_name,
            summary="two small convolutions, for a Hessian that is computed in full",
            build=_network(_norm, _activation),
        )
    )


def main() -> int:
    """Train, measure, compare, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [_compare(Path(folder), *pair) for pair in _train_and_measure(Path(folder))]
    for run in found:
        _show(run)
    outside = sum(not row["inside"] for run in found for row in run["rows"])
    print(f"\n{outside} of {sum(len(run['rows']) for run in found)} exact values lie outside")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(outside > 0)


def _train_and_measure(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Run the public commands; return names and records of the runs."""
    data, results = str(folder / "prepared"), str(folder / "results")
    sizes = ("--set", f"images={IMAGES}", "--set", "pixels=32", "--size", str(SIDE))
    raw = str(folder / "raw")
    _sambench("prepare", "phantom", *sizes, "--data", data, "--raw", raw)
    where = ("--data", data, "--results", results, "--plugin", __file__, "--device", "cpu")
    for model, optimizer in RUNS.items():
        chosen = ("--dataset", "phantom", "--model", model, "--opt", optimizer, "--size", str(SIDE))
        steps = ("--epochs", str(EPOCHS), "--batch-size", str(BATCH), "--lr", "0.003")
        _sambench("train", *chosen, *steps, *where)
    wanted = ("--samples", str(10 * IMAGES), "--tol", str(TOL), "--set", f"trace_tol={TRACE_TOL}")
    _sambench("hessian", "phantom-*", *wanted, "--set", "max_matvecs=400", *where)
    paths = sorted(Path(results).glob("runs/*/run.json"))
    return [(path.parent.name, json.loads(path.read_text())) for path in paths]


def _sambench(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "sambench", *arguments, "--quiet"], check=True)


def _compare(folder: Path, name: str, record: dict[str, Any]) -> dict[str, Any]:
    run = sambench.load_run(name, results=folder / "results", data=folder / "prepared")
    parts = load_parts(run.record.config, folder / "prepared", torch.device("cpu"))
    config = run.record.config
    order = torch.cat(
        shuffled(len(parts.train), config.batch_size, derive_seed(config.split_seed, "hessian"))
    )
    inputs, targets = parts.train.batch(order)
    network = run.network.double().eval()
    batches = [
        _eigenvalues(_hessian(network, x, y))
        for x, y in zip(
            inputs.double().split(config.batch_size), targets.split(config.batch_size), strict=True
        )
    ]
    exact = _hessian(network, inputs.double(), targets)
    values, said = _eigenvalues(exact), record["hessian"]
    top, trace = said["top"], said["trace"]
    scale = float(values.abs().max())
    rows = [
        _row("top", top["value"], float(values[-1]), (top["value"], top["upper_bound"]), scale),
        _row("lowest", top["lowest"], float(values[0]), (top["lower_bound"], top["lowest"]), scale),
        _row("trace", trace["value"], float(values.sum()), tuple(trace["interval"]), scale),
    ]
    stored = said["batch_spectrum"]
    for index, (value, residual) in enumerate(
        zip(stored["values"], stored["residuals"], strict=True)
    ):
        largest = batches[index][batches[index].abs().argmax()]
        width = max(TOL * abs(value), residual)
        ends = (value - width, value + width)
        rows.append(_row(f"batch {index}", value, float(largest), ends, abs(value)))
    samples = (said["samples"], len(targets))
    assert samples[0] == samples[1], samples
    return {"run": name, "parameters": len(values), "samples": len(targets), "rows": rows}


def _row(
    what: str, said: float, exact: float, ends: tuple[float, float], scale: float
) -> dict[str, Any]:
    slack = ROUNDING * scale
    inside = ends[0] - slack <= exact <= ends[1] + slack
    return {"what": what, "said": said, "exact": exact, "ends": list(ends), "inside": inside}


def _hessian(network: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the Hessian of the mean cross entropy over all weights, rows by vector products."""
    names = [name for name, _ in network.named_parameters()]
    shapes = [weight.shape for weight in network.parameters()]
    flat = torch.cat([weight.detach().reshape(-1) for weight in network.parameters()])

    def loss(weights: Tensor) -> Tensor:
        pieces = weights.split([shape.numel() for shape in shapes])
        named = {n: p.reshape(s) for n, p, s in zip(names, pieces, shapes, strict=True)}
        return functional.cross_entropy(
            torch.func.functional_call(network, named, (inputs,)), targets
        )

    rows = torch.func.jacrev(torch.func.grad(loss), chunk_size=ROWS_AT_ONCE)(flat)
    assert isinstance(rows, Tensor)
    return rows


def _eigenvalues(hessian: Tensor) -> Tensor:
    asymmetry = float((hessian - hessian.T).abs().max())
    assert asymmetry <= 1e-10 * float(hessian.abs().max()), asymmetry
    return torch.linalg.eigvalsh(hessian)


def _show(run: dict[str, Any]) -> None:
    print(f"\n{run['run']}: {run['parameters']} weights, {run['samples']} images")
    print(f"{'':10}{'recorded':>13}{'exact':>13}{'error':>10}   {'interval':26}inside")
    for row in run["rows"]:
        error = abs(row["said"] - row["exact"]) / abs(row["exact"])
        low, high = row["ends"]
        interval = f"{low:.6g} .. {high:.6g}"
        yes = "yes" if row["inside"] else "NO"
        print(
            f"{row['what']:10}{row['said']:13.6g}{row['exact']:13.6g}{error:10.1e}   "
            f"{interval:26}{yes}"
        )


if __name__ == "__main__":
    sys.exit(main())
