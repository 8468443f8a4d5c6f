"""Measure curvature beside its peers: gradients per product, products, and errors.

    python benchmarks/curvature.py --json curvature.json

Three questions, in one table each:

1. What does a Hessian-vector product cost in gradients, on four networks? Gradient and product are
   timed in turn, in one thread, by the CPU time of the thread; medians. Timings, so noisy.
2. How many products does the top eigenvalue take, and how wrong is it? On small convolutional
   networks, trained here, whose Hessian is computed exactly (forward over reverse, float64). Each
   tool runs by its own stop rule; medians over starts. Products are counted, so exact.
3. How wrong is the trace at 24 products? Relative root mean square error over seeds on the same
   Hessians; PyHessian chooses its number of products itself.

The error of one product in single precision is measured on the same networks. Peers are installed
from the package index into a temporary folder and left out with a word where that fails.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn import functional

from sambench.curvature import HessianOperator, eigenvalues, trace

PEERS = {
    "pyhessian": ["pyhessian==0.1"],
    "hessian_eigenthings": ["hessian-eigenthings==1.0.0a5"],
    "curvlinops": [
        *("curvlinops-for-pytorch==3.0.1", "linear_operator", "einconv", "einops"),
        *("jaxtyping", "wadler-lindig", "mpmath", "opt_einsum"),
    ],
}
Batches = list[tuple[Tensor, Tensor]]


@dataclass
class Row:
    """One tool on one question."""

    question: str
    case: str
    tool: str
    products: float | None
    error: float | None
    note: str = ""


@dataclass
class Case:
    """A trained network and its exact Hessian."""

    name: str
    model: nn.Module
    batches: Batches
    matrix: Tensor
    eigenvalues: Tensor = field(init=False)

    def __post_init__(self) -> None:
        """Find the exact spectrum."""
        self.eigenvalues = torch.linalg.eigvalsh(self.matrix)


class Dense:
    """The exact Hessian as an operator that counts."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.matvecs = 0
        self.size, self.device, self.dtype = len(matrix), matrix.device, matrix.dtype

    def matvec(self, vector: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the product with a vector."""
        self.matvecs += 1
        return torch.mv(self.matrix, vector, out=out)

    def matmat(self, vectors: Tensor) -> Tensor:
        """Return the products with columns."""
        self.matvecs += vectors.shape[1]
        return self.matrix @ vectors


# Networks -----------------------------------------------------------------------------------------


def convolutions() -> nn.Module:
    """A convolutional network of 57 thousand weights."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(64, 10),
    )


def timm_model(name: str, **settings: Any) -> Callable[[], nn.Module]:
    """A network of timm with ten classes."""
    return lambda: timm.create_model(name, num_classes=10, **settings)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "conv 57k, batch 64": (convolutions, 64, 32),
    "vit_tiny 64px, batch 16": (timm_model("vit_tiny_patch16_224", img_size=64), 16, 64),
    "resnet18 64px, batch 16": (timm_model("resnet18"), 16, 64),
    "swin_tiny 56px, batch 4": (
        timm_model("swin_tiny_patch4_window7_224", img_size=56, window_size=7),
        *(4, 56),
    ),
}


def trained(classes: int, seed: int = 0) -> tuple[nn.Module, Batches]:
    """A small convolutional network fitted to noisy templates, and its data, in float64."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64, classes)),
    )
    targets = torch.arange(240) % classes
    inputs = torch.randn(classes, 1, 8, 8)[targets] + 1.5 * torch.randn(240, 1, 8, 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        order = torch.randperm(240)
        for part in order.split(32):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs[part]), targets[part]).backward()
            optimizer.step()
    data = [(inputs[i : i + 64].double(), targets[i : i + 64]) for i in range(0, 240, 64)]
    return model.double().eval(), data


def exact_hessian(model: nn.Module, data: Batches) -> Tensor:
    """The Hessian by forward over reverse in float64: not how any of the tools does it."""
    inputs, targets = (torch.cat(parts) for parts in zip(*data, strict=True))
    named = {name: p.detach() for name, p in model.named_parameters()}
    sizes = [p.numel() for p in named.values()]

    def loss(weights: Tensor) -> Tensor:
        parts = weights.split(sizes)
        values = {n: part.view_as(p) for (n, p), part in zip(named.items(), parts, strict=True)}
        return functional.cross_entropy(torch.func.functional_call(model, values, inputs), targets)

    weights = torch.cat([p.reshape(-1) for p in named.values()])
    gradient = torch.func.grad(loss)
    column = torch.func.vmap(lambda v: torch.func.jvp(gradient, (weights,), (v,))[1])
    unit = torch.eye(len(weights), dtype=weights.dtype)
    matrix = torch.cat([column(part) for part in unit.split(32)]).detach()
    return 0.5 * (matrix + matrix.T)


# Peers --------------------------------------------------------------------------------------------


def available_peers(folder: str) -> dict[str, Any]:
    """Return the peers that can be had, by name; say of the others why not."""
    sys.path.append(folder)
    found = {}
    for name, packages in PEERS.items():
        install = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--target", folder]
        subprocess.run([*install, *packages], check=False, capture_output=True)
        try:
            found[name] = importlib.import_module(name)
        except Exception as error:
            print(f"{name} is left out: {type(error).__name__}: {error}", file=sys.stderr)
    return found


class CountedPyHessian:
    """PyHessian on all batches of a case, its products counted."""

    def __init__(self, module: Any, case: Case) -> None:
        self.products = 0
        self._made = importlib.import_module(f"{module.__name__}.hessian")
        original = self._made.hessian.dataloader_hv_product

        def counted(this: Any, v: Any) -> Any:
            self.products += 1
            return original(this, v)

        kind = type("Counted", (self._made.hessian,), {"dataloader_hv_product": counted})
        self.hessian = kind(
            case.model, functional.cross_entropy, dataloader=case.batches, cuda=False
        )


# 1. Gradients per product -------------------------------------------------------------------------


def gradients_per_product(name: str, rounds: int) -> Row:
    """Time a gradient and a product on a kept graph in turn."""
    factory, size, side = NETWORKS[name]
    torch.manual_seed(0)
    model = factory().eval()
    inputs, targets = torch.randn(size, 3, side, side), torch.randint(10, (size,))
    weights = list(model.parameters())

    def gradient() -> None:
        torch.autograd.grad(functional.cross_entropy(model(inputs), targets), weights)

    with HessianOperator(model, functional.cross_entropy, [(inputs, targets)]) as H:
        vector, out = torch.randn(H.size), torch.empty(H.size)
        works = {"gradient": gradient, "product": lambda: H.matvec(vector, out)}
        times: dict[str, list[float]] = {work: [] for work in works}
        for turn in range(rounds + 2):
            for work, run in works.items():
                start = time.thread_time()
                run()
                if turn >= 2:
                    times[work].append(time.thread_time() - start)
    ratio = statistics.median(times["product"]) / statistics.median(times["gradient"])
    milliseconds = 1e3 * statistics.median(times["gradient"])
    note = f"gradients per product (a timing); gradient {milliseconds:.0f} ms"
    return Row("cost", name, "sambench", ratio, None, note)


# 2. The top eigenvalue ----------------------------------------------------------------------------


def top_eigenvalue(case: Case, peers: dict[str, Any], starts: int) -> list[Row]:
    """Let each tool find the top eigenvalue by its own rule."""
    dense = Dense(case.matrix)

    def ours(certify: bool) -> Callable[[int], tuple[int, float]]:
        def run(seed: int) -> tuple[int, float]:
            found = eigenvalues(dense, tol=1e-2, seed=seed, certify=certify)
            return found.matvecs, float(found.values[0])

        return run

    tools: dict[str, Callable[[int], tuple[int, float]]] = {
        "sambench, residual": ours(False),
        "sambench, certified to 1 %": ours(True),
    }
    if "pyhessian" in peers:
        tools["pyhessian eigenvalues, tol 1e-3"] = _pyhessian_top(peers["pyhessian"], case)
    if "hessian_eigenthings" in peers:
        tools |= _eigenthings_top(peers["hessian_eigenthings"], dense)
    if "curvlinops" in peers:
        tools["curvlinops + eigsh, tol 1e-3"] = _arpack_top(dense)
    truth = float(case.eigenvalues[-1])
    rows = []
    for tool, run in tools.items():
        found = [run(seed) for seed in range(starts)]
        errors = [abs(value / truth - 1) for _, value in found]
        products = statistics.median(count for count, _ in found)
        worst = f"largest error {max(errors):.1e}"
        rows.append(Row("top", case.name, tool, products, statistics.median(errors), worst))
    return rows


def _pyhessian_top(module: Any, case: Case) -> Callable[[int], tuple[int, float]]:
    def run(seed: int) -> tuple[int, float]:
        torch.manual_seed(seed)
        counted = CountedPyHessian(module, case)
        values, _ = counted.hessian.eigenvalues(tol=1e-3)
        return counted.products, float(values[0])

    return run


def _eigenthings_top(module: Any, dense: Dense) -> dict[str, Callable[[int], tuple[int, float]]]:
    operator = module.LambdaOperator(dense.matvec, dense.size, dtype=torch.float64)

    def power(seed: int) -> tuple[int, float]:
        before = dense.matvecs
        value = module.power_iteration_one(operator, tol=1e-3, seed=seed)[0]
        return dense.matvecs - before, float(value)

    def lanczos(seed: int) -> tuple[int, float]:
        before = dense.matvecs
        found = module.lanczos(operator, k=1, tol=1e-3, which="LA", seed=seed)
        return dense.matvecs - before, float(found.eigenvalues[0])

    return {
        "hessian-eigenthings power, tol 1e-3": power,
        "hessian-eigenthings lanczos, k=1": lanczos,
    }


def _arpack_top(dense: Dense) -> Callable[[int], tuple[int, float]]:
    """What curvlinops' users do with its operators: SciPy's eigsh."""

    def product(vector: Any) -> Any:
        return dense.matvec(torch.from_numpy(np.ascontiguousarray(vector))).numpy()

    def run(seed: int) -> tuple[int, float]:
        before = dense.matvecs
        linear = LinearOperator((dense.size, dense.size), product, dtype=np.float64)
        start = np.random.default_rng(seed).standard_normal(dense.size)
        (value,) = eigsh(linear, 1, which="LA", tol=1e-3, v0=start, return_eigenvectors=False)
        return dense.matvecs - before, float(value)

    return run


# 3. The trace -------------------------------------------------------------------------------------


def trace_error(case: Case, peers: dict[str, Any], seeds: int, budget: int = 24) -> list[Row]:
    """Measure the error of the trace at equal products."""
    dense, half = Dense(case.matrix), budget // 2

    def deflated(seed: int) -> float:
        lanczos = eigenvalues(dense, tol=0.0, max_matvecs=half, seed=seed, certify=False)
        found = trace(dense, 0.0, seed, basis=lanczos.basis, max_matvecs=half)
        return found.estimate

    tools: dict[str, Callable[[int], float]] = {
        "sambench, 12 Lanczos + 12 probes": deflated,
        "sambench, xtrace": lambda seed: (
            trace(dense, 0.0, seed, method="xtrace", max_matvecs=budget).estimate
        ),
        "Hutchinson": lambda seed: trace(dense, 0.0, seed, max_matvecs=budget).estimate,
    }
    if "hessian_eigenthings" in peers:
        module = peers["hessian_eigenthings"]
        operator = module.LambdaOperator(dense.matvec, dense.size, dtype=torch.float64)
        tools["hessian-eigenthings hutch++"] = lambda seed: float(
            module.hutch_plus_plus(operator, num_matvecs=budget, seed=seed).estimate
        )
    if "curvlinops" in peers:
        for name in ("hutchpp_trace", "xtrace"):
            tools[f"curvlinops {name}"] = _seeded(getattr(peers["curvlinops"], name), case, budget)
    truth = float(case.matrix.trace())
    rows = []
    for tool, run in tools.items():
        rows.append(_trace_row(case, tool, budget, [run(seed) for seed in range(seeds)], truth))
    if "pyhessian" in peers:
        rows.append(_pyhessian_trace(peers["pyhessian"], case, seeds, truth))
    return rows


def _seeded(estimate: Any, case: Case, budget: int) -> Callable[[int], float]:
    def run(seed: int) -> float:
        torch.manual_seed(seed)
        return float(estimate(case.matrix, budget))

    return run


def _trace_row(
    case: Case, tool: str, products: float, found: Sequence[float], truth: float, note: str = ""
) -> Row:
    error = math.sqrt(statistics.fmean((value / truth - 1) ** 2 for value in found))
    return Row("trace", case.name, tool, products, error, note)


def _pyhessian_trace(module: Any, case: Case, seeds: int, truth: float) -> Row:
    found, products = [], []
    for seed in range(min(seeds, 20)):
        torch.manual_seed(seed)
        counted = CountedPyHessian(module, case)
        found.append(float(np.mean(counted.hessian.trace(tol=1e-3))))
        products.append(counted.products)
    median = statistics.median(products)
    return _trace_row(case, "pyhessian trace, tol 1e-3", median, found, truth, "own stop rule")


# 4. One product -----------------------------------------------------------------------------------


def product_error(case: Case, peers: dict[str, Any]) -> list[Row]:
    """Measure the error of one product in single precision, along the top eigenvector and noise."""
    single = case.model.float()
    v = torch.randn(len(case.matrix), generator=torch.Generator().manual_seed(0))
    expected = case.matrix @ v.double()
    floats = [(inputs.float(), targets) for inputs, targets in case.batches]
    loss = functional.cross_entropy
    products = {"sambench": lambda: HessianOperator(single, loss, floats).matvec(v)}
    if "pyhessian" in peers:
        products["pyhessian"] = lambda: _pyhessian_product(peers["pyhessian"], single, floats, v)
    if "hessian_eigenthings" in peers:
        module = peers["hessian_eigenthings"]
        products["hessian-eigenthings"] = lambda: module.HessianOperator(
            single, floats, module.supervised_loss(loss)
        ).matvec(v)
    if "curvlinops" in peers:
        parameters = list(single.parameters())
        products["curvlinops"] = lambda: (
            peers["curvlinops"].HessianLinearOperator(
                single, nn.CrossEntropyLoss(), parameters, floats
            )
            @ v
        )
    rows = []
    for tool, product in products.items():
        error = float((product().detach().double() - expected).norm() / expected.norm())
        rows.append(Row("product", case.name, tool, 1, error, "float32, random vector"))
    case.model.double()
    return rows


def _pyhessian_product(module: Any, model: nn.Module, batches: Batches, v: Tensor) -> Tensor:
    made = importlib.import_module(f"{module.__name__}.hessian")
    hessian = made.hessian(model, functional.cross_entropy, dataloader=batches, cuda=False)
    parts = v.split([p.numel() for p in model.parameters()])
    named = [part.view_as(p) for part, p in zip(parts, model.parameters(), strict=True)]
    _, product = hessian.dataloader_hv_product(named)
    for parameter in model.parameters():
        parameter.grad = None  # what it leaves behind
    return torch.cat([part.reshape(-1) for part in product])


def attempt(what: str, work: Callable[[], list[Row]]) -> list[Row]:
    """Return rows, or none where a peer fails."""
    try:
        return work()
    except Exception as error:
        print(f"{what} is left out: {type(error).__name__}: {error}", file=sys.stderr)
        return []


def show(rows: list[Row]) -> None:
    """Print the table."""
    for row in rows:
        products = "" if row.products is None else f"{row.products:g}"
        if row.question == "cost":
            products = f"{row.products:.2f}"
        error = "" if row.error is None else f"{row.error:.1e}"
        print(f"{row.question:8} {row.case:26} {row.tool:38} {products:>8} {error:>9}  {row.note}")


def main() -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="timings of each kind")
    parser.add_argument("--starts", type=int, default=20, help="random starts of an eigenvalue")
    parser.add_argument("--seeds", type=int, default=100, help="seeds of a trace")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        peers = available_peers(folder)
        rows += [gradients_per_product(name, given.rounds) for name in NETWORKS]
        for classes in (2, 10):
            model, data = trained(classes)
            case = Case(f"conv net, {classes} classes", model, data, exact_hessian(model, data))
            rows += top_eigenvalue(case, peers, given.starts)
            rows += trace_error(case, peers, given.seeds)
            for name, module in [("", None), *peers.items()]:
                one = {} if module is None else {name: module}
                found = attempt(name, lambda one=one, case=case: product_error(case, one))
                rows += found if module is None else found[1:]
    show(rows)
    if given.json:
        about = {"torch": torch.__version__, "machine": platform.processor() or platform.machine()}
        given.json.write_text(json.dumps({**about, "rows": list(map(asdict, rows))}, indent=2))


if __name__ == "__main__":
    main()
