"""Two processes under DistributedDataParallel against the same mathematics in one process."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from sambench.optim import build
from sambench.optim.contract import batch, closure_of, flat, network
from tests.forked_processes import Template
from tests.optim.references import gradient_at
from tests.patience import PATIENCE

RHO, STEPS, HALVES = 0.3, 3, (slice(0, 4), slice(4, 8))


class Case(NamedTuple):
    """An optimizer, whether its replicas perturb apart, its settings, and how it is given batches.

    With `views` the gradients are views of the buckets that every pass writes to again, and a step
    takes two closures.
    """

    name: str
    apart: bool
    settings: dict[str, float]
    views: bool = False


CASES = {
    "together": Case("sam", False, {"rho": RHO}),
    "sam": Case("sam", True, {"rho": RHO}),
    "gsam": Case("gsam", True, {"rho_max": RHO, "alpha": 0.4}),
    "wsam": Case("wsam", True, {"rho": RHO}),
    "search": Case("xsam", False, {"rho": RHO, "rho_max": 0.8, "every": 1.0}),
    "views": Case("gsam", False, {"rho_max": RHO, "rho_min": RHO, "alpha": 0.4}, views=True),
}
Weights = dict[str, list[torch.Tensor]]


def replica(rank: int, folder: str) -> None:
    """What each process does: in each case train on its half of each batch, save its weights."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    for case, (name, apart, settings, views) in CASES.items():
        model = network()
        replicas = DistributedDataParallel(model, gradient_as_bucket_view=views)
        optimizer = build(
            name,
            replicas.parameters(),
            "sgd",
            lr=0.1,
            per_replica=replicas if apart else None,
            **settings,
        )
        for step in range(STEPS):
            half = HALVES[rank]
            closures = [
                closure_of(replicas, inputs[half], targets[half])
                for inputs, targets in (batch(step), batch(step + 9))
            ]
            optimizer.step(closures if views else closures[0])
        torch.save(flat(model), f"{folder}/{case}-{rank}.pt")
    distributed.barrier()  # nobody hangs up while another still listens
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, template: Template) -> Weights:
    """Two processes do all cases; the weights that each saved.

    How they exit does not matter: gloo sometimes aborts a process that has already finished, when
    the other one hangs up first.
    """
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("torch was built without gloo")
    folder = tmp_path_factory.mktemp("replicas")
    processes = [template.call(replica, n, str(folder)) for n in range(2)]
    for process in processes:
        process.wait(timeout=PATIENCE)
    return {
        case: [torch.load(folder / f"{case}-{n}.pt", weights_only=True) for n in range(2)]
        for case in CASES
    }


@pytest.mark.parametrize("case", ["together", "search"])
def test_synchronized_replicas_are_one_process_with_the_whole_batch(
    trained: Weights, case: str
) -> None:
    """Gradients and, where a method compares them, losses are those of the whole batch."""
    found = trained[case]
    model = network()
    name, _, settings, _ = CASES[case]
    optimizer = build(name, model.parameters(), "sgd", lr=0.1, **settings)
    for step in range(STEPS):
        optimizer.step(closure_of(model, *batch(step)))
    assert torch.equal(*found)
    torch.testing.assert_close(found[0], flat(model), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["sam", "gsam", "wsam"])
def test_replicas_apart_perturb_by_their_own_half(trained: Weights, name: str) -> None:
    """m-sharpness in closed form: each half's direction at its own point, then their mean."""
    found = trained[name]
    weights = flat(network())
    for step in range(STEPS):
        inputs, targets = batch(step)
        mean = torch.zeros_like(weights)
        for half in HALVES:
            g = gradient_at(network(), weights, inputs[half], targets[half])
            at = weights + RHO * g / g.norm()
            g_a = gradient_at(network(), at, inputs[half], targets[half])
            if name == "gsam":
                g_a = g_a - 0.4 * (g - (g @ g_a) / (g_a @ g_a) * g_a)
            if name == "wsam":
                g_a = g + 9 * (g_a - g)
            mean += g_a / 2
        weights = weights - 0.1 * mean
    assert torch.equal(*found)
    torch.testing.assert_close(found[0], weights, rtol=0, atol=1e-12)


def test_gradients_that_are_views_of_buckets_are_kept_as_copies(trained: Weights) -> None:
    """The next pass, of the same closure or of the next one, writes to those buckets again."""
    found = trained["views"]
    model = network()
    optimizer = build("gsam", model.parameters(), "sgd", lr=0.1, **CASES["views"].settings)
    for step in range(STEPS):
        optimizer.step([closure_of(model, *batch(step)), closure_of(model, *batch(step + 9))])
    assert torch.equal(*found)
    torch.testing.assert_close(found[0], flat(model), rtol=0, atol=1e-12)
