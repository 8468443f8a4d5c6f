"""A run that is cut off at any moment ends as the run that was not: same bits, same record."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import stat
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sambench.run.single_run
from sambench.config.run_config import RunConfig
from sambench.data.manifest import fingerprint
from sambench.data.prepared import checksums_of
from sambench.errors import StoreError
from sambench.files.atomic import write_json
from sambench.files.checksums import read_sealed
from sambench.optim.method import optimizers
from sambench.run.single_run import Paths, run_one
from sambench.store.record import RunRecord
from sambench.store.status import Survey
from sambench.store.tree import Store
from sambench.training import snapshot

CPU = torch.device("cpu")
STEPS = 5  # of an epoch
OPTIMIZERS = [info.name for info in optimizers.list()]


@pytest.fixture(autouse=True)
def dropout_and_batch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that draw in every forward pass and carry state outside of the weights."""

    def network(config: RunConfig, classes: int, device: torch.device) -> nn.Module:
        torch.manual_seed(config.seed)
        return nn.Sequential(
            nn.Conv2d(3, 4, 5, stride=4),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Flatten(),
            nn.Linear(196, classes),
        )

    monkeypatch.setattr(sambench.run.single_run, "build_network", network)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    """Sums over threads depend on their number, and a forked child has one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def config_of(optimizer: object = "sam", **settings: Any) -> RunConfig:
    given = {
        **{"dataset": "phantom", "image_size": 32, "model": "small-cnn", "epochs": 3},
        **{"batch_size": 6, "lr": 1e-2, "schedule": "cosine", "augmentation": "flip-shift"},
        **{"selection": "best-validation", "validation": 0.15, "normalization": "standard"},
    }
    return RunConfig.from_dict({**given, "optimizer": optimizer, **settings})


def outcome(paths: Paths, config: RunConfig) -> dict[str, Any]:
    """All that a run leaves, without its seconds and what is said of the machine."""
    folder = Store(paths.results).folder(config)
    record = json.loads((folder / "run.json").read_text())
    record.pop("environment")
    record.pop("sha256")
    assert record.pop("artifacts") == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("predictions.npz", "model.safetensors", "history.jsonl")
    }
    record["cost"] = {k: record["cost"][k] for k in ("steps", "gradient_evaluations")}
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    predictions = np.load(folder / "predictions.npz", allow_pickle=False)
    return {
        "files": sorted(path.name for path in folder.iterdir()),
        "record": record,
        "history": [{k: v for k, v in line.items() if k != "train_seconds"} for line in lines],
        "weights": (folder / "model.safetensors").read_bytes(),
        "predictions": {name: predictions[name].tolist() for name in predictions.files},
    }


def stopping_at(step: int) -> Callable[[], bool]:
    asked = iter(range(1, 1000))
    return lambda: next(asked) == step


def whole(config: RunConfig, data: Path, folder: Path) -> dict[str, Any]:
    paths = Paths(data=data, results=folder / "whole")
    run_one(config, paths, device=CPU)
    return outcome(paths, config)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_resumes_to_the_same_bits(
    name: str, tmp_path: Path, phantom_data: Path
) -> None:
    """Cut twice: within an epoch, and after its last step."""
    config = config_of(name)
    paths = Paths(data=phantom_data, results=tmp_path / "cut")
    for step in (STEPS + 2, 2 * STEPS - (STEPS + 2)):
        record = run_one(config, paths, device=CPU, stop_requested=stopping_at(step))
        assert record.status == "interrupted"
    assert record.error == f"stopped in epoch 2, step {STEPS}"
    assert run_one(config, paths, device=CPU).status == "completed"
    assert outcome(paths, config) == whole(config, phantom_data, tmp_path)


@pytest.mark.parametrize("step", range(1, 3 * STEPS, 2))
def test_a_method_with_memory_and_counters_can_be_cut_at_any_step(
    step: int, tmp_path: Path, phantom_data: Path
) -> None:
    config = config_of({"name": "looksam", "k": 3, "base": "sgd", "momentum": 0.9})
    paths = Paths(data=phantom_data, results=tmp_path / "cut")
    run_one(config, paths, device=CPU, stop_requested=stopping_at(step))
    run_one(config, paths, device=CPU)
    assert outcome(paths, config) == whole(config, phantom_data, tmp_path)


def test_a_budget_that_was_used_up_before_the_cut_is_not_exceeded(
    tmp_path: Path, phantom_data: Path
) -> None:
    config = config_of(stop="gradient-evaluations=12", selection="last")
    paths = Paths(data=phantom_data, results=tmp_path / "cut")
    run_one(config, paths, device=CPU, stop_requested=stopping_at(6))
    record = run_one(config, paths, device=CPU)
    assert record.cost is not None
    assert record.cost["gradient_evaluations"] == 12
    assert outcome(paths, config) == whole(config, phantom_data, tmp_path)


def test_a_checkpoint_of_other_data_is_not_resumed(
    tmp_path: Path, phantom_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of()
    paths = Paths(data=phantom_data, results=tmp_path / "cut")
    run_one(config, paths, device=CPU, stop_requested=stopping_at(5))
    manifest = next(phantom_data.glob("*/manifest.json"))
    changed = tmp_path / "changed" / manifest.parent.name
    shutil.copytree(manifest.parent, changed)
    content, pixels = json.loads(read_sealed(manifest)), np.load(changed / "images.npy")
    pixels[0, 0, 0] ^= 1
    np.save(changed / "images.npy", pixels)
    files = content["files"]
    files["images.npy"] = hashlib.sha256((changed / "images.npy").read_bytes()).hexdigest()
    content["fingerprint"] = fingerprint(files["samples.csv"], files["images.npy"])
    content["image_blocks"] = checksums_of(changed / "images.npy")
    write_json(changed / "manifest.json", content)
    starts: list[object] = []
    other = Paths(data=changed.parent, results=paths.results)
    run_one(
        config, other, device=CPU, on_event=lambda e: starts.append(getattr(e, "resumed_at", 0))
    )
    assert starts[0] is None


def test_checkpoints_are_written_within_epochs_by_the_clock(
    tmp_path: Path, phantom_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(snapshot, "LARGEST_SHARE", float("inf"))
    kept: list[int] = []
    original = snapshot.save_checkpoint

    def spy(folder: Path, state: dict[str, Any]) -> None:
        kept.append(state["state"]["steps"])
        original(folder, state)

    monkeypatch.setattr(snapshot, "save_checkpoint", spy)
    run_one(config_of(epochs=2), Paths(data=phantom_data, results=tmp_path), device=CPU)
    assert kept == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10]


def test_slow_checkpoints_are_farther_apart(
    tmp_path: Path, phantom_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(snapshot, "LARGEST_SHARE", 1e-9)
    kept: list[int] = []
    original = snapshot.save_checkpoint

    def spy(folder: Path, state: dict[str, Any]) -> None:
        kept.append(state["state"]["steps"])
        original(folder, state)

    monkeypatch.setattr(snapshot, "save_checkpoint", spy)
    run_one(config_of(epochs=2), Paths(data=phantom_data, results=tmp_path), device=CPU)
    assert kept == [1]


@pytest.mark.parametrize("room", [0, 16_384])
def test_a_full_disk_ends_the_run_and_leaves_its_last_checkpoint(
    room: int, tmp_path: Path, phantom_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third checkpoint on nothing can be written, or only so small a file as a record."""
    monkeypatch.setattr(snapshot, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(snapshot, "LARGEST_SHARE", float("inf"))
    config = config_of()
    paths = Paths(data=phantom_data, results=tmp_path / "cut")
    with monkeypatch.context() as patched:
        _fill_disk(patched, after=3, room=room)
        with pytest.raises(StoreError, match="free some space there"):
            run_one(config, paths, device=CPU)
    folder = Store(paths.results).folder(config)
    assert not list(folder.glob(".*.tmp"))
    (standing,) = Survey(store=Store(paths.results)).of([config])
    assert (standing.state, standing.action) == ("interrupted", "resume")
    assert ("free some space there" in standing.note) == bool(room)
    state = snapshot.load_checkpoint(folder)
    assert state is not None
    assert state["state"]["steps"] == 3
    assert run_one(config, paths, device=CPU).status == "completed"
    assert outcome(paths, config) == whole(config, phantom_data, tmp_path)


def _fill_disk(patched: pytest.MonkeyPatch, after: int, room: int) -> None:
    """Let the disk be full, but for files of so many bytes, after that many checkpoints."""
    sync, save, written = os.fsync, snapshot.save_checkpoint, 0

    def count(folder: Path, state: dict[str, Any]) -> None:
        nonlocal written
        save(folder, state)
        written += 1

    def refuse_when_full(handle: int) -> None:
        small = not stat.S_ISDIR(os.fstat(handle).st_mode) and os.fstat(handle).st_size <= room
        if written >= after and not small:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    patched.setattr(snapshot, "save_checkpoint", count)
    patched.setattr(os, "fsync", refuse_when_full)


def killed_at(operation: int, config: RunConfig, paths: Paths) -> bool:
    """Do the run in a child that kills itself before its n-th change to the file system.

    Returns:
        Whether it was killed; False if the run ended before.
    """
    child = os.fork()
    if child == 0:
        _die_before(operation)
        try:
            run_one(config, paths, device=CPU)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return os.WIFSIGNALED(status)


def _die_before(operation: int) -> None:
    done = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            if done == operation:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*given, **options)

        return wrapped

    for name in ("fsync", "link", "utime"):
        setattr(os, name, counted(getattr(os, name)))
    for name in ("replace", "unlink", "mkdir", "write_text"):
        setattr(Path, name, counted(getattr(Path, name)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "first", [0, *(pytest.param(first, marks=pytest.mark.exhaustive) for first in (1, 2))]
)
def test_kill_9_before_any_change_to_the_file_system(
    first: int, tmp_path: Path, phantom_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before every third change from the first on, and resumed."""
    monkeypatch.setattr(snapshot, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(snapshot, "LARGEST_SHARE", float("inf"))
    config = config_of("vasso", epochs=1)
    expected = whole(config, phantom_data, tmp_path)
    for operation in range(1 + first, 1000, 3):
        paths = Paths(data=phantom_data, results=tmp_path / str(operation))
        killed = killed_at(operation, config, paths)
        record: RunRecord = run_one(config, paths, device=CPU)
        assert record.status == "completed"
        found = outcome(paths, config)
        assert {**found, "files": 0} == {**expected, "files": 0}
        if not killed:
            break
    assert operation > 50
