"""One run by two gloo processes against the same mathematics in one process, in float64."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed, nn
from torch.nn import functional

import sambench.run.single_run
from sambench.config.run_config import RunConfig
from sambench.data.batches import Images, shuffled
from sambench.errors import ConfigError, DeviceError
from sambench.launch import together
from sambench.run.images import load_parts
from sambench.run.single_run import Paths, run_one, train_beside
from sambench.store.tree import Store
from sambench.training.loop import Training
from sambench.training.replicas import Replicas
from sambench.training.seeding import derive_seed
from tests.forked_processes import Template
from tests.patience import PATIENCE, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.arithmetic]
CPU, RHO, RATE, EPOCHS = torch.device("cpu"), 0.3, 0.1, 3
LIMIT = 1e-12
"""Sums of two halves are rounded otherwise than sums of the whole: some 1e-16 in a step."""


ENDED = "another process of this run has ended: it said why, or was killed"


def config_of(**settings: Any) -> RunConfig:
    """Return a run whose batches of 7 split unevenly in two, and whose last one joins another."""
    given = {
        **{"dataset": "phantom", "image_size": 32, "model": "small-cnn", "epochs": EPOCHS},
        **{"optimizer": {"name": "sam", "rho": RHO}, "base": "sgd", "lr": RATE, "batch_size": 7},
    }
    return RunConfig.from_dict({**given, **settings})


RUNS = {
    "alone": config_of(),
    "synchronized": config_of(replicas=2),
    "per-replica": config_of(replicas=2, perturbation="per-replica"),
    "resumed": config_of(replicas=2, selection="best-validation"),
    "faulty": config_of(replicas=2, epochs=30),
    "whole": config_of(selection="best-validation"),
}


def network(config: RunConfig, classes: int, device: torch.device) -> nn.Module:
    """Build a network without batch normalisation, in float64."""
    torch.manual_seed(derive_seed(config.seed, "initialisation"))
    layers = nn.Sequential(
        nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 7), nn.Tanh(), nn.Linear(7, classes)
    )
    return layers.double()


@contextmanager
def in_float64() -> Iterator[None]:
    """Have runs use that network, and images in its type."""
    batch = Images.batch

    def double(images: Images, *arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = batch(images, *arguments)
        return inputs.double(), targets

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sambench.run.single_run, "build_network", network)
        patch.setattr(Images, "batch", double)
        yield


def never() -> bool:
    """Let the run go on."""
    return False


def after_five() -> Callable[[], bool]:
    """Return what asks to stop after the fifth step."""
    steps = itertools.count(1)
    return lambda: next(steps) == 5


def replica(rank: int, folder: str, data: str) -> None:
    """What each process does: all runs that are for two, one of them in two sessions."""
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    paths = Paths(data=Path(data), results=Path(folder) / "results")
    with in_float64():
        for name in ("synchronized", "per-replica", "resumed", "resumed"):
            first = not Store(paths.results).folder(RUNS[name]).exists()
            distributed.barrier()
            stopping = after_five() if (name, rank, first) == ("resumed", 1, True) else never
            if rank == 0:
                run_one(RUNS[name], paths, device=CPU, stop_requested=stopping)
            elif Replicas.of_this_process().first(False):
                train_beside(RUNS[name], paths, device=CPU, stop_requested=stopping)
            distributed.barrier()
            if rank == 0 and first:
                record = json.loads((folder_of(paths, name) / "run.json").read_text())
                (Path(folder) / f"{name}.status").write_text(record["status"])
    distributed.barrier()
    distributed.destroy_process_group()


def replica_of_a_fault(
    rank: int, folder: str, data: str, port: int, faulty: int, fault: str
) -> None:
    """Join as under torchrun and train a run, in whose third step one process has a fault."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    config, paths = RUNS["faulty"], Paths(data=Path(data), results=Path(folder))
    steps, step = itertools.count(1), Training._step

    def take(training: Training, *batch: Any, **last: bool) -> None:
        if rank == faulty and next(steps) == 3:
            if fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        step(training, *batch, **last)

    with in_float64(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_step", take)
        try:
            with together.joined((), "cpu", ()) as (device, leads):
                if leads:
                    run_one(config, paths, device=CPU)
                together.follow(config, paths.data, paths.results, device)
        except Exception as error:
            Path(folder, f"{rank}.txt").write_text(f"{type(error).__name__}: {error}")


def folder_of(paths: Paths, name: str) -> Path:
    return Store(paths.results).folder(RUNS[name])


@pytest.fixture(scope="module")
def paths(
    phantom_data: Path, tmp_path_factory: pytest.TempPathFactory, template: Template
) -> Paths:
    """The results of two processes, and of one that does the runs that are for one."""
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("torch was built without gloo")
    folder = tmp_path_factory.mktemp("together")
    processes = [template.call(replica, n, str(folder), str(phantom_data)) for n in range(2)]
    for process in processes:
        process.wait(timeout=PATIENCE)
    found = Paths(data=phantom_data, results=folder / "results")
    with in_float64():
        run_one(RUNS["alone"], found, device=CPU)
        run_one(RUNS["whole"], found, device=CPU)
    return found


def weights(paths: Paths, name: str) -> torch.Tensor:
    saved = load_file(folder_of(paths, name) / "model.safetensors")
    return torch.cat([saved[key].reshape(-1) for key in sorted(saved)])


def history(paths: Paths, name: str) -> list[dict[str, Any]]:
    lines = (folder_of(paths, name) / "history.jsonl").read_text().splitlines()
    read = [json.loads(line) for line in lines]
    left_out = ("train_seconds", "sharpness")
    return [{k: v or 0.0 for k, v in line.items() if k not in left_out} for line in read]


def assert_alike(paths: Paths, first: str, second: str) -> None:
    torch.testing.assert_close(weights(paths, first), weights(paths, second), rtol=0, atol=LIMIT)
    for one, other in zip(history(paths, first), history(paths, second), strict=True):
        assert one == pytest.approx(other, rel=0, abs=LIMIT)


def test_two_synchronized_processes_are_one_with_the_whole_batch(paths: Paths) -> None:
    assert_alike(paths, "synchronized", "alone")


def test_two_processes_that_were_interrupted_go_on_as_one(paths: Paths) -> None:
    """The second process asks for it; both stop after the same step, and both resume there."""
    assert (paths.results.parent / "resumed.status").read_text() == "interrupted"
    assert_alike(paths, "resumed", "whole")


@pytest.mark.parametrize(
    ("faulty", "fault", "status", "told"),
    [
        (1, "killed", "interrupted", {"0": f"RunInterrupted: {ENDED}"}),
        (
            *(1, "no memory", "interrupted"),
            {"0": f"RunInterrupted: {ENDED}", "1": "DeviceError: the memory of cpu ran out"},
        ),
        (0, "no memory", "failed", {"0": "DeviceError: the memory of cpu ran out"}),
        (0, "killed", "running", {}),
    ],
)
def test_a_process_that_ends_takes_the_others_along(
    phantom_data: Path,
    tmp_path: Path,
    template: Template,
    faulty: int,
    fault: str,
    status: str,
    told: dict[str, str],
) -> None:
    """The record says why, and so does whoever knows; a follower of one that ended is silent."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    given = (str(tmp_path), str(phantom_data), port, faulty, fault)
    for process in [template.call(replica_of_a_fault, n, *given) for n in range(2)]:
        process.wait(timeout=PATIENCE)
    record = Store(tmp_path).load(RUNS["faulty"])
    assert record is not None
    assert record.status == status
    assert status != "interrupted" or (record.error or "").startswith(ENDED)
    found = {path.stem: path.read_text() for path in tmp_path.glob("*.txt")}
    assert {rank: found[rank][: len(text)] for rank, text in told.items()} == told
    assert found.keys() == told.keys()


def test_replicas_apart_perturb_by_their_own_share(paths: Paths) -> None:
    """m-sharpness by hand: every share's gradient at its own point, weighted by its images."""
    config = RUNS["per-replica"]
    with in_float64():
        train = load_parts(config, paths.data, CPU).train
        model = network(config, 2, CPU)
        parameters = list(model.parameters())

        def gradient(share: torch.Tensor, at: list[torch.Tensor]) -> list[torch.Tensor]:
            inputs, targets = train.batch(share)
            named = dict(zip([n for n, _ in model.named_parameters()], at, strict=True))
            with torch.enable_grad():
                for tensor in at:
                    tensor.requires_grad_()
                loss = functional.cross_entropy(
                    torch.func.functional_call(model, named, (inputs,)), targets
                )
                return list(torch.autograd.grad(loss, at))

        w = [p.detach().clone() for p in parameters]
        for epoch in range(EPOCHS):
            for batch in shuffled(len(train), 7, derive_seed(0, "order", epoch), least=4):
                step = [torch.zeros_like(p) for p in w]
                for share in batch.tensor_split(2):
                    g = gradient(share, [p.clone() for p in w])
                    norm = torch.cat([x.reshape(-1) for x in g]).norm()
                    at = [p + RHO * x / norm for p, x in zip(w, g, strict=True)]
                    part = len(share) / len(batch)
                    torch._foreach_add_(step, gradient(share, at), alpha=part)
                w = [p.detach() - RATE * x for p, x in zip(w, step, strict=True)]
    names = [name for name, _ in model.named_parameters()]
    flat = torch.cat([w[names.index(name)].reshape(-1) for name in sorted(names)])
    torch.testing.assert_close(weights(paths, "per-replica"), flat, rtol=0, atol=LIMIT)
    assert not torch.allclose(flat, weights(paths, "synchronized"), rtol=0, atol=1e-6)


def test_the_record_says_how_it_was_done(paths: Paths) -> None:
    record = Store(paths.results).load(RUNS["per-replica"])
    assert record is not None
    assert (record.config.replicas, record.config.perturbation) == (2, "per-replica")
    assert record.config.to_dict()["batch_norm"] == "per-replica"
    assert "replicas" not in RUNS["alone"].to_dict()
    assert len({run.id for run in RUNS.values()}) == len(RUNS)


def test_one_that_waits_for_a_process_that_has_failed_is_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a message over NCCL, or in joining one that could not begin."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(together, "GRACE_SECONDS", 0.1)
    with subprocess.Popen("false") as failed, subprocess.Popen(["sleep", "600"]) as other:
        together._watch([failed, other])
    assert codes == [1]
    assert other.returncode == -signal.SIGKILL
    said = "error: another process of this run failed; the same command goes on\n"
    assert capsys.readouterr().err == said


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by torchrun with a larger --nproc-per-node than the machine has GPUs."""
    chosen: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert together._device_of_this_process((), None) == "cuda:1"
    assert chosen == [torch.device("cuda:1")]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(DeviceError, match="cuda:2 is not there; use --device cuda:0 or cuda:1"):
        together._device_of_this_process((), None)


@pytest.mark.parametrize("names", ["cuda,cuda:0", "cpu,cuda:1"])
def test_a_run_s_processes_have_a_gpu_each_or_none(
    names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with (
        pytest.raises(DeviceError, match="is no GPU for each process of a run"),
        together.joined(names.split(","), None, ()),
    ):
        pass


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 1),
        ({"WORLD_SIZE": "4"}, 1),  # as scripts of clusters have it for programs of their own
        ({"WORLD_SIZE": ""}, 1),
        ({"WORLD_SIZE": "4", "RANK": "3"}, 4),
    ],
)
def test_how_many_processes_torchrun_has_started(
    given: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    assert together.processes() == expected


def test_a_run_for_two_is_refused_by_one(phantom_data: Path, tmp_path: Path) -> None:
    paths = Paths(data=phantom_data, results=tmp_path)
    with pytest.raises(ConfigError, match="is for 2 processes, not 1"):
        run_one(RUNS["synchronized"], paths, device=CPU)


def test_synchronized_batch_normalisation_needs_gpus() -> None:
    with pytest.raises(ConfigError, match="needs GPUs"):
        Replicas(0, 2).wrap(nn.Linear(2, 2), "synchronized")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"perturbation": "per-replica"}, "for several replicas"),
        ({"replicas": 8}, "batch_size=7 is not allowed with replicas=8; allowed: 16 or more"),
        ({"replicas": 0}, "replicas=0 is not allowed"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config_of(**settings)


def command(folder: Path, data: Path, epochs: int) -> list[str]:
    options = {"dataset": "phantom", "size": "32", "model": "small-cnn", "opt": "gcsam"}
    options |= {"batch-size": "9"}
    given = [part for key, value in options.items() for part in (f"--{key}", value)]
    given += ["--devices", "cpu,cpu", "--set", "perturbation=per-replica"]
    given += ["--data", str(data), "--results", str(folder), f"--epochs={epochs}"]
    return [sys.executable, "-m", "sambench", "train", *given]


def test_devices_train_together_and_an_interrupt_saves(phantom_data: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path, phantom_data, 1_000_000), stderr=subprocess.PIPE, start_new_session=True
    )
    wait_until(
        "the run trains or ends",
        lambda: list(tmp_path.glob("runs/*/history.jsonl")) or process.poll() is not None,
    )
    assert process.poll() is None, process.communicate()[1].decode()
    process.send_signal(signal.SIGTERM)  # to the one that was started, not to its group
    said = process.communicate(timeout=PATIENCE)[1].decode()
    assert "strides" not in said, said  # torch's warning of gradients that it has to copy
    (path,) = tmp_path.glob("runs/*/run.json")
    record = json.loads(path.read_text())
    assert record["status"] == "interrupted"
    assert record["config"]["replicas"] == 2
    assert (path.parent / "checkpoint.pt").exists()
    assert process.returncode == 130
