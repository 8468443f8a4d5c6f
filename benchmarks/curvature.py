"""Measure curvature beside its peers: gradients per product, products, and errors.

    python benchmarks/curvature.py --json curvature.json

Three questions, in one table each:

1. What does a Hessian-vector product cost in gradients, on four networks? Gradient and product are
   timed in turn, in one thread, by the CPU time of the thread; medians. Timings, so noisy.
2. How many products does the top eigenvalue take, and how wrong is it? On four small
   networks, trained here, whose Hessian is computed exactly (forward over reverse, float64). Each
   tool runs by its own stop rule; medians over starts. Products are counted, so exact.
3. How wrong is the trace at 24 products? Relative root mean square error over seeds on the same
   Hessians; PyHessian chooses its number of products itself.

The error of one product in single precision, and its time as a multiple of ours, are measured on
the same networks: the operators are made once, then take turns, by the CPU time of the thread.
Peers are installed
from the package index into a temporary folder and left out with a word where that fails.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from curvature_cases import EXACT, NETWORKS, Case, Dense, exact_hessian, trained
from curvature_peers import CountedPyHessian, available_peers, pyhessian_product
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn import functional

from sambench.curvature import HessianOperator, eigenvalues, trace


@dataclass
class Row:
    """One tool on one question."""

    question: str
    case: str
    tool: str
    products: float | None
    error: float | None
    note: str = ""


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

    def ours(seed: int) -> tuple[int, float]:
        found = eigenvalues(dense, tol=1e-2, seed=seed)
        return found.matvecs, float(found.values[0])

    tools: dict[str, Callable[[int], tuple[int, float]]] = {"sambench, certified to 1 %": ours}
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
    dense = Dense(case.matrix)

    def deflated(steps: int) -> Callable[[int], float]:
        def run(seed: int) -> float:
            lanczos = eigenvalues(dense, tol=0.0, max_matvecs=steps, seed=seed)
            probes = budget - steps
            found = trace(dense, 0.0, seed, basis=lanczos.basis, max_matvecs=probes)
            return found.estimate

        return run

    tools: dict[str, Callable[[int], float]] = {
        "sambench, 12 Lanczos + 12 probes": deflated(12),
        "sambench, 16 Lanczos + 8 probes": deflated(16),
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


def product_error(case: Case, peers: dict[str, Any], rounds: int) -> list[Row]:
    """Measure error and time of one product in single precision."""
    single = case.model.float()
    v = torch.randn(len(case.matrix), generator=torch.Generator().manual_seed(0))
    expected = case.matrix @ v.double()
    floats = [(inputs.float(), targets) for inputs, targets in case.batches]
    loss = functional.cross_entropy
    out, own = torch.empty_like(v), HessianOperator(single, loss, floats)
    products: dict[str, Callable[[], Tensor]] = {"sambench": lambda: own.matvec(v, out)}
    if "pyhessian" in peers:
        products["pyhessian"] = pyhessian_product(peers["pyhessian"], single, floats, v)
    if "hessian_eigenthings" in peers:
        module = peers["hessian_eigenthings"]
        theirs = module.HessianOperator(single, floats, module.supervised_loss(loss))
        products["hessian-eigenthings"] = lambda: theirs.matvec(v)
    if "curvlinops" in peers:
        linear = peers["curvlinops"].HessianLinearOperator(
            single, nn.CrossEntropyLoss(), list(single.parameters()), floats
        )
        products["curvlinops"] = lambda: linear @ v
    errors, times = {}, dict[str, list[float]]()
    for _ in range(rounds + 1):  # the first round is not timed
        for tool, product in products.items():
            start = time.thread_time()
            found = product()
            if tool in errors:
                times.setdefault(tool, []).append(time.thread_time() - start)
            errors[tool] = float((found.detach().double() - expected).norm() / expected.norm())
    rows, ours = [], statistics.median(times["sambench"])
    for tool, error in errors.items():
        note = f"float32, random vector; {statistics.median(times[tool]) / ours:.2f} times our time"
        if tool == "hessian-eigenthings":
            note += "; weighs an incomplete last batch like a full one"
        rows.append(Row("product", case.name, tool, 1, error, note))
    own.close()
    case.model.double()
    return rows


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
    parser.add_argument("--quick", action="store_true", help="few repetitions, for a look")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.starts, given.seeds = 3, 2, 5
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        peers = available_peers(folder)
        rows += [gradients_per_product(name, given.rounds) for name in NETWORKS]
        for network in EXACT:
            model, data = trained(network)
            case = Case(network, model, data, exact_hessian(model, data))
            rows += top_eigenvalue(case, peers, given.starts)
            rows += trace_error(case, peers, given.seeds)
            for name, module in [("", None), *peers.items()]:
                one = {} if module is None else {name: module}
                found = attempt(name, lambda o=one, c=case: product_error(c, o, 4 * given.rounds))
                rows += found if module is None else found[1:]
    show(rows)
    if given.json:
        about = {"torch": torch.__version__, "machine": platform.processor() or platform.machine()}
        about["quick"] = given.quick
        given.json.write_text(json.dumps({**about, "rows": list(map(asdict, rows))}, indent=2))


if __name__ == "__main__":
    main()
