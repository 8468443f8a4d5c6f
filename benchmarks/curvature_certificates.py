"""Count the wrong "yes" of curvature, and how often its intervals cover the truth.

    python benchmarks/curvature_certificates.py --seeds 1000 --json certificates.json

On small networks whose Hessian is computed exactly (reverse over reverse in float64, one network of
each kind checked against differences of gradients first), as they are initialised: many ends of
the spectrum are nearly tied there, and eigenvalues lie close. Each seed has its own weights and
data, in single precision, as `sambench hessian` measures.

1. Values that are called converged: of a batch the dominant eigenvalue with its sign, the top one,
   the top five, the lowest. A yes is wrong if the value is off by more than the tolerance.
2. Intervals: of the trace, and of mean and median over batches, over resamplings.

It runs on older revisions too, which calls of theirs are made being told by what they have.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from sambench.curvature import HessianOperator, batch_spectrum, eigenvalues, trace
from sambench.curvature.batch_spectrum import OTHER_END

TOL, PRODUCTS, CLASSES = 1e-2, 100, 4
RESAMPLINGS = 200


class LeNet(nn.Sequential):
    """Two convolutions with pooling and a linear layer; 282 weights."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(4, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(16, CLASSES)),
        )


class ResNet(nn.Module):
    """A residual block with batch normalisation in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.block = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1)
        )
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = self.stem(x)
        return self.head(functional.relu(x + self.block(x)).mean((2, 3)))


class Recurrent(nn.Module):
    """A recurrent layer and a linear one."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layer = kind(4, 5, batch_first=True)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.layer(x)[0][:, -1])


class Tied(nn.Module):
    """An encoder whose transposed weights decode."""

    def __init__(self) -> None:
        super().__init__()
        self.code = nn.Linear(6, 10)
        self.again = nn.Linear(6, 10)
        self.again.weight = self.code.weight
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = torch.tanh(self.code(x)) @ self.code.weight
        return self.head(torch.tanh(self.again(x)) @ self.again.weight)


class Attention(nn.Module):
    """A transformer block."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(
            4, 2, 8, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.block(x).mean(1))


def mlp(*, activation: type[nn.Module], norm: bool = False) -> nn.Module:
    """Three linear layers."""
    wrap = nn.utils.parametrizations.weight_norm if norm else (lambda layer: layer)
    layers = [wrap(nn.Linear(a, b)) for a, b in ((6, 10), (10, 8), (8, CLASSES))]
    return nn.Sequential(layers[0], activation(), layers[1], activation(), layers[2])


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "tanh MLP": (lambda: mlp(activation=nn.Tanh), (6,)),
    "ReLU MLP": (lambda: mlp(activation=nn.ReLU), (6,)),
    "weight-normed MLP": (lambda: mlp(activation=nn.Tanh, norm=True), (6,)),
    "tied weights": (Tied, (6,)),
    "LeNet": (LeNet, (1, 8, 8)),
    "ResNet": (ResNet, (1, 8, 8)),
    "GRU": (lambda: Recurrent(nn.GRU), (5, 4)),
    "attention": (Attention, (5, 4)),
    "linear": (lambda: nn.Linear(6, CLASSES), (6,)),
}


def case(name: str, seed: int, samples: int = 8) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """Return a new network in single precision, and a batch."""
    torch.manual_seed(1000 + seed)
    factory, shape = NETWORKS[name]
    batch = torch.randn(samples, *shape), torch.randint(CLASSES, (samples,))
    return factory().eval(), batch


class _Plain(TorchFunctionMode):
    """Weight normalisation from plain operations: the fused one has wrong second derivatives."""

    def __torch_function__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if f is torch._weight_norm:
            v, g = args[:2]
            return v * (g / v.square().sum(1, keepdim=True).sqrt())
        return f(*args, **(kwargs or {}))


def gradient(model: nn.Module, batch: tuple[Tensor, Tensor], **more: Any) -> tuple[Tensor, ...]:
    """Return the gradient of the mean loss."""
    with sdpa_kernel(SDPBackend.MATH), _Plain():
        loss = functional.cross_entropy(model(batch[0]), batch[1])
    return torch.autograd.grad(loss, [*model.parameters()], **more)


def exact_hessian(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the Hessian in float64, row by row."""
    double = model.double()
    batch = (batch[0].double(), batch[1])
    flat = torch.cat([g.reshape(-1) for g in gradient(double, batch, create_graph=True)])
    rows = torch.autograd.grad(
        flat, [*double.parameters()], torch.eye(len(flat)).double(), is_grads_batched=True
    )
    matrix = torch.cat([row.reshape(len(flat), -1) for row in rows], 1).detach()
    model.float()
    return matrix


def largest_error_of_exact(name: str) -> float:
    """Compare the exact Hessian of the first seed with differences of gradients."""
    model, batch = case(name, 0)
    matrix = exact_hessian(model, batch)
    double, batch = model.double(), (batch[0].double(), batch[1])
    weights = nn.utils.parameters_to_vector(double.parameters()).detach()
    direction = torch.randn(len(weights), dtype=torch.float64)
    product, errors = matrix @ direction, []
    for step in (1e-6, 1e-8, 1e-9):  # a step over a kink of ReLU says nothing
        ends = []
        for sign in (1, -1):
            moved = weights + sign * step * direction
            nn.utils.vector_to_parameters(moved, double.parameters())
            ends.append(torch.cat([g.reshape(-1) for g in gradient(double, batch)]))
        difference = (ends[0] - ends[1]) / (2 * step)
        errors.append(float(((product - difference).norm() / product.norm()).detach()))
    return min(errors)


def wrong_yes(name: str, seed: int, counts: Counter[str]) -> None:
    """Measure one batch of one network and count what is claimed and what is wrong."""
    model, batch = case(name, seed)
    truth = torch.linalg.eigvalsh(exact_hessian(model, batch)).flip(0)
    dominant = truth[truth.abs().argmax()]

    def count(what: str, value: float, right: float, *, claimed: bool) -> None:
        counts[f"{what}: values"] += 1
        counts[f"{what}: yes"] += claimed
        if claimed and abs(value - right) > TOL * abs(right):
            counts[f"{what}: wrong yes"] += 1

    with HessianOperator(model, functional.cross_entropy, [batch]) as H:
        spectrum = batch_spectrum(H, TOL, seed, max_matvecs=PRODUCTS)
        top = eigenvalues(H, 1, TOL, PRODUCTS, seed)
        five = eigenvalues(H, 5, TOL, PRODUCTS, seed)
    yes = getattr(five, "certified", (five.converged,) * 5)
    count("dominant", spectrum.values[0], float(dominant), claimed=spectrum.all_converged)
    count("top", float(top.values[0]), float(truth[0]), claimed=top.converged)
    lowest = getattr(top, "lowest_certified", getattr(top, "lowest_converged", False))
    count("lowest", top.lowest, float(truth[-1]), claimed=lowest)
    for place, claimed in enumerate(yes):
        count("top five", float(five.values[place]), float(truth[place]), claimed=claimed)
    counts["products of the dominant one"] += spectrum.matvecs
    counts["products of the top one"] += top.matvecs
    counts["products of the top five"] += five.matvecs


def trace_coverage(name: str) -> float:
    """Return how often the trace's interval holds the exact trace."""
    model, batch = case(name, 0, 32)
    truth = float(exact_hessian(model, batch).trace())
    covered = 0
    with HessianOperator(model, functional.cross_entropy, [batch]) as H:
        for seed in range(RESAMPLINGS):
            basis = eigenvalues(H, 1, TOL, PRODUCTS, seed).basis
            low, high = trace(H, 0.05, seed, basis=basis, max_matvecs=PRODUCTS).interval
            covered += low <= truth <= high
    return covered / RESAMPLINGS


def batch_coverage(name: str, steps: int, population: int = 400) -> list[dict[str, Any]]:
    """Return how often the intervals over some batches hold mean and median over all of them.

    After a few steps the largest eigenvalues of some batches are negative; after many, of few.
    """
    model, data = case(name, 0, 8 * population)
    torch.manual_seed(0)
    teacher = torch.randn(data[0][0].numel(), CLASSES)
    data = (data[0], (data[0].flatten(1) @ teacher).argmax(1))
    for _ in range(steps):
        for parameter, part in zip(model.parameters(), gradient(model, data), strict=True):
            parameter.data -= 0.5 * part
    values, one_sign = np.empty(population), np.empty(population, dtype=bool)
    for place, (x, y) in enumerate(zip(data[0].split(8), data[1].split(8), strict=True)):
        spectrum = torch.linalg.eigvalsh(exact_hessian(model, (x, y)))
        values[place] = spectrum[spectrum.abs().argmax()]
        one_sign[place] = bool(-spectrum[0] < OTHER_END * spectrum[-1])
    rows = []
    for count in (4, 6, 8, 16, 32):
        source, hits = np.random.default_rng(count), Counter[str]()
        for _ in range(RESAMPLINGS):
            chosen = source.choice(population, count, replace=False)
            for what, interval in _intervals(values[chosen]).items():
                if what == "mean" and not one_sign[chosen].all():
                    continue
                right = values.mean() if what == "mean" else np.median(values)
                if interval is not None:
                    hits[f"{what}: given"] += 1
                    hits[f"{what}: covers"] += int(interval[0] <= right <= interval[1])
        kind = {"network": name, "steps": steps, "negative": float((values < 0).mean())}
        rows.append(kind | {"one sign": float(one_sign.mean()), "batches": count} | dict(hits))
    return rows


def _intervals(values: Any) -> dict[str, Any]:
    module = sys.modules["sambench.curvature.batch_spectrum"]
    if hasattr(module, "mean_interval"):
        return {"mean": module.mean_interval(values), "median": module.median_interval(values)}
    return {
        "mean": module._bootstrap(values[:, None], np.mean, 0),
        "median": module._bootstrap(values[:, None], np.median, 0),
    }


def main() -> None:
    """Run all, show it, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the seed to begin with")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    start = time.monotonic()
    result: dict[str, Any] = {"torch": torch.__version__, "python": platform.python_version()}
    result["exact"] = {name: largest_error_of_exact(name) for name in NETWORKS}
    counts = {name: Counter[str]() for name in NETWORKS}
    for seed in range(given.first, given.first + given.seeds):
        if time.monotonic() - start > 60 * given.minutes:
            break
        result["seeds"] = seed + 1 - given.first
        for name in NETWORKS:
            try:
                wrong_yes(name, seed, counts[name])
            except Exception as error:
                counts[name][f"refused: {str(error)[:80]}"] += 1
    result["wrong_yes"] = {name: dict(found) for name, found in counts.items()}
    if given.coverage:
        names = ("tanh MLP", "LeNet", "GRU", "attention")
        result["trace_coverage"] = {name: trace_coverage(name) for name in names}
        result["batch_coverage"] = [
            row for name in names for steps in (10, 300) for row in batch_coverage(name, steps)
        ]
    result["seconds"] = time.monotonic() - start
    text = json.dumps(result, indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
