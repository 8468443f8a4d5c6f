"""Two processes under DistributedDataParallel against the same mathematics in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from sambench.optim import build
from sambench.optim.problems import batch, closure_of, flat, gradient_at, network

RHO, STEPS, HALVES = 0.3, 3, (slice(0, 4), slice(4, 8))


def replica(
    rank: int, folder: str, name: str, apart: bool, views: bool, settings: dict[str, Any]
) -> None:
    """What each process does: train on its half of each batch and save its weights."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
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
        closures = [
            closure_of(replicas, inputs[HALVES[rank]], targets[HALVES[rank]])
            for inputs, targets in (batch(step), batch(step + 9))
        ]
        optimizer.step(closures if views else closures[0])
    torch.save(flat(model), f"{folder}/{rank}.pt")
    distributed.barrier()  # nobody hangs up while another still listens
    distributed.destroy_process_group()


def trained(
    tmp_path: Path, name: str, apart: bool, views: bool = False, **settings: Any
) -> list[torch.Tensor]:
    """Run two processes and return the weights that each saved.

    How they exit does not matter: gloo sometimes aborts a process that has already finished, when
    the other one hangs up first.
    """
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("torch was built without gloo")
    start = multiprocessing.get_context("spawn").Process
    processes = [
        start(target=replica, args=(rank, str(tmp_path), name, apart, views, settings), daemon=True)
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    return [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.slow
def test_synchronized_replicas_are_one_process_with_the_whole_batch(tmp_path: Path) -> None:
    found = trained(tmp_path, "sam", apart=False, rho=RHO)
    model = network()
    optimizer = build("sam", model.parameters(), "sgd", lr=0.1, rho=RHO)
    for step in range(STEPS):
        optimizer.step(closure_of(model, *batch(step)))
    assert torch.equal(*found)
    torch.testing.assert_close(found[0], flat(model), rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sam", "gsam", "wsam"])
def test_replicas_apart_perturb_by_their_own_half(tmp_path: Path, name: str) -> None:
    """m-sharpness in closed form: each half's direction at its own point, then their mean."""
    radius = {"rho_max": RHO, "alpha": 0.4} if name == "gsam" else {"rho": RHO}
    found = trained(tmp_path, name, apart=True, **radius)
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


@pytest.mark.slow
def test_gradients_that_are_views_of_buckets_are_kept_as_copies(tmp_path: Path) -> None:
    """The next pass, of the same closure or of the next one, writes to those buckets again."""
    settings = {"rho_max": RHO, "rho_min": RHO, "alpha": 0.4}
    found = trained(tmp_path, "gsam", apart=False, views=True, **settings)
    model = network()
    optimizer = build("gsam", model.parameters(), "sgd", lr=0.1, **settings)
    for step in range(STEPS):
        optimizer.step([closure_of(model, *batch(step)), closure_of(model, *batch(step + 9))])
    assert torch.equal(*found)
    torch.testing.assert_close(found[0], flat(model), rtol=0, atol=1e-12)
