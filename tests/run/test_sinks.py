"""Following a run in TensorBoard and Weights & Biases, with their packages where they are there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sambench.config.run_config import RunConfig
from sambench.errors import ConfigError, SambenchWarning
from sambench.launch.launcher import Watcher
from sambench.launch.launchers.local import launch
from sambench.launch.manifest import Manifest
from sambench.run import sinks
from sambench.run.sinks import Following, check_sinks, epoch_numbers, record_numbers
from sambench.store.record import COMPLETED, RunRecord
from sambench.store.tree import Store
from sambench.training.events import Epoch, Started
from tests.conftest import measured

Scalars = dict[str, list[tuple[int, float]]]


def a_config(**settings: object) -> RunConfig:
    given = {"dataset": "phantom", "image_size": 32, "model": "small-cnn", "epochs": 2}
    return RunConfig.from_dict({**given, "optimizer": "sam", **settings})


def started(config: RunConfig) -> Started:
    return Started(
        config=config,
        images={"a": [16, 0, 4], "b": [16, 0, 4]},
        parameters=10,
        weights=None,
        device="cpu",
        resumed_at=None,
    )


def epoch(number: int, **values: object) -> Epoch:
    given = {"train_loss": 0.5, "train_accuracy": 0.75, "lr": 0.1, "gradient_evaluations": 4.0}
    nothing = {"validation_loss": None, "validation_accuracy": None, "sharpness": None}
    return Epoch(epoch=number, train_seconds=1.5, **{**given, **nothing, **values})  # type: ignore[arg-type]


class Remembering:
    """A sink that keeps what it is told, and fails where it is told to."""

    told: list[tuple[Mapping[str, float], int | None]]
    closed: int
    failing = ""

    def __init__(self, config: RunConfig, folder: Path) -> None:
        if self.failing == "begin":
            raise OSError("no room")
        type(self).told, type(self).closed = [], 0

    def numbers(self, values: Mapping[str, float], step: int | None) -> None:
        if self.failing == "numbers":
            raise OSError("the line\nis dead")
        self.told.append((values, step))

    def close(self) -> None:
        type(self).closed += 1
        if self.failing == "close":
            raise OSError("still busy")


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> type[Remembering]:
    monkeypatch.setattr(sinks, "SINKS", {"one": Remembering})
    monkeypatch.setattr(Remembering, "failing", "")
    return Remembering


def test_numbers_of_an_epoch() -> None:
    told = epoch(1, validation_loss=0.25, sharpness={"epsilon_norm": 0.05})
    assert epoch_numbers(told) == {
        "train/loss": 0.5,
        "train/accuracy": 0.75,
        "train/seconds": 1.5,
        "validation/loss": 0.25,
        "lr": 0.1,
        "gradient_evaluations": 4.0,
        "sharpness/epsilon_norm": 0.05,
    }


def test_numbers_of_a_record(make_record: Callable[..., RunRecord]) -> None:
    hessian = measured({"top": {"value": 5.0}, "trace": {"value": 12.0}})
    assert record_numbers(make_record("sam").with_sections(hessian=hessian)) == {
        **{"test/n": 10_000.0, "test/loss": 0.5, "test/accuracy": 0.75},
        **{
            "test/balanced_accuracy": 0.5,
            "test/ece": 0.1,
            "test/brier": 0.5,
            "test/majority_accuracy": 0.5,
        },
        **{"cost/train_seconds": 10.0, "cost/gradient_evaluations": 100.0, "cost/steps": 20.0},
        **{"cost/evaluation_seconds": 0.0, "cost/overhead_seconds": 0.0},
        **{"cost/peak_memory_bytes": 0.0},
        **{"hessian/top": 5.0, "hessian/trace": 12.0},
    }


def test_a_run_is_followed_to_its_end(
    remembering: type[Remembering], make_record: Callable[..., RunRecord]
) -> None:
    following = Following(["one"], Path())
    following.event(started(a_config()))
    following.event(epoch(1))
    following.end(make_record("sam"))
    (first, step), (last, none) = remembering.told
    assert (step, none, remembering.closed) == (1, None, 1)
    assert (first["train/loss"], last["test/accuracy"]) == (0.5, 0.75)


@pytest.mark.parametrize(
    ("where", "said"), [("begin", "no room"), ("numbers", "the line is dead"), ("close", "still")]
)
def test_a_sink_that_fails_is_left_out_with_one_warning(
    remembering: type[Remembering], monkeypatch: pytest.MonkeyPatch, where: str, said: str
) -> None:
    monkeypatch.setattr(remembering, "failing", where)
    following = Following(["one"], Path())
    with pytest.warns(SambenchWarning) as warned:
        following.event(started(a_config()))
        following.event(epoch(1))
        following.event(epoch(2))
        following.end(None)
    (warning,) = warned
    start = "--log one failed and is left out of the rest of the run: "
    assert str(warning.message).startswith(start + said)


def test_a_sink_that_does_not_exist() -> None:
    with pytest.raises(ConfigError) as caught:
        check_sinks(["tensorbord"])
    assert str(caught.value) == (
        "--log tensorbord: no such sink: did you mean 'tensorboard'?; sinks: tensorboard, wandb"
    )


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        check_sinks(["wandb"])
    assert str(caught.value) == (
        "--log wandb needs a package that is not installed; "
        "pip install 'sambench[wandb]' installs it"
    )


def test_a_manifest_keeps_the_sinks() -> None:
    manifest = Manifest(
        configs=[a_config()], data=Path("d"), results=Path("r"), log=("tensorboard",)
    )
    plain = json.loads(manifest.encoded())
    assert Manifest.decoded(json.dumps(plain).encode(), "it").log == ("tensorboard",)
    del plain["log"]  # of an older sambench
    assert Manifest.decoded(json.dumps(plain).encode(), "it").log == ()


def scalars(folder: Path) -> Scalars:
    """Read event files as TensorBoard does."""
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reading.EventAccumulator(str(folder))
    events.Reload()
    names = events.Tags()["scalars"]
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in names}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_tensorboard_reads_what_runs_told(
    tmp_path: Path, phantom_data: Path, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    configs = [a_config(seed=seed) for seed in (0, 1)]
    manifest = Manifest(
        configs=configs, data=phantom_data, results=tmp_path, device="cpu", log=["tensorboard"]
    )
    tally = launch(manifest, {"workers": workers}, Watcher())
    assert [record.status for record in tally.records] == [COMPLETED, COMPLETED]
    store = Store(tmp_path)
    for record in tally.records:
        found = scalars(store.folder(record.config) / "tensorboard")
        history = (store.folder(record.config) / "history.jsonl").read_text().splitlines()
        losses = [json.loads(line)["train_loss"] for line in history]
        assert found["train/loss"] == [(n + 1, pytest.approx(x)) for n, x in enumerate(losses)]
        assert record.final is not None
        accuracy = record.final["test"]["accuracy"]
        assert found["test/accuracy"] == [(2, pytest.approx(accuracy))]


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = a_config()
    following = Following(["wandb"], tmp_path)
    following.event(started(config))
    following.event(epoch(1))
    run = wandb.run
    assert (run.id, run.name, run.project) == (config.id, config.name, "sambench")
    following.event(epoch(2, train_loss=0.25))
    assert run.summary["train/loss"] == 0.5  # of the last step that is complete
    following.end(None)
    wandb.teardown()  # as the end of the process does: its service writes what is left
    (file,) = tmp_path.glob(f"wandb/offline-run-*-{config.id}/run-{config.id}.wandb")
    content = file.read_bytes()
    assert config.name.encode() in content
    for value in (b"train/loss", b"0.5", b"0.25"):
        assert value in content
