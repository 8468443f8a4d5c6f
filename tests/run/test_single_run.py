"""A run from configuration to record, on disk."""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import os
import shutil
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec import UNSET
from msgspec.structs import replace
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer

import sambench.run.images
import sambench.run.measure
import sambench.run.single_run
from sambench.config.curvature_settings import HessianSettings
from sambench.config.run_config import RunConfig
from sambench.data.batches import Scaling
from sambench.errors import (
    CurvatureError,
    DamagedError,
    DataError,
    DeviceError,
    ModelError,
    SambenchWarning,
    StoreError,
    UnpreparedError,
)
from sambench.files.claim import Claimed
from sambench.launch.launcher import Watcher
from sambench.launch.launchers.local import run_all
from sambench.launch.manifest import Manifest
from sambench.models.weights import find_weights, keep_weights, load_backbone
from sambench.run.images import load_parts
from sambench.run.network import build_network, build_optimizer
from sambench.run.single_run import Paths, run_one
from sambench.store.environment import RUNS_ON_DEVICE
from sambench.store.status import Survey
from sambench.store.tree import Store
from sambench.training.evaluate import classification_metrics
from sambench.training.events import Epoch
from tests.run.curvature_alone import measure_hessian

CPU = torch.device("cpu")
TINY = HessianSettings(samples=24, max_matvecs=8, tol=0.5, trace_tol=1.0)


def config_of(**settings: Any) -> RunConfig:
    given = {"epochs": 2, "batch_size": 8, "optimizer": "sam", "lr": 1e-3, **settings}
    return RunConfig.from_dict(
        {"dataset": "phantom", "image_size": 32, "model": "small-cnn", **given}
    )


@pytest.fixture
def paths(phantom_data: Path, tmp_path: Path) -> Paths:
    return Paths(data=phantom_data, results=tmp_path / "results")


def test_a_completed_run_leaves_record_history_predictions_and_weights(paths: Paths) -> None:
    config = config_of()
    record = run_one(config, paths, device=CPU)
    folder = Store(paths.results).folder(config)
    assert sorted(path.name for path in folder.iterdir()) == [
        "history.jsonl",
        "model.safetensors",
        "predictions.npz",
        "run.json",
    ]
    assert Store(paths.results).load(config) == record
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert record.cost is not None
    assert record.cost["gradient_evaluations"] == 2 * record.cost["steps"] == 16
    assert record.sharpness is not None
    assert record.sharpness["epsilon_norm"] == pytest.approx(0.05, rel=1e-4)
    with np.load(folder / "predictions.npz") as tested:
        right = (tested["probabilities"].argmax(axis=1) == tested["labels"]).mean()
    assert record.final is not None
    gap = record.final["train"]["accuracy"] - right
    assert record.final["generalization_gap"] == pytest.approx(gap, rel=1e-12)
    assert right > 0


def test_the_memory_of_a_gpu_is_free_of_earlier_runs_before_images_go_there(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training is a cycle of closures, and would count in the next run's peak of memory."""
    seen: list[weakref.ref[nn.Module]] = []

    def built(*given: Any) -> nn.Module:
        seen.append(weakref.ref(made := build_network(*given)))
        return made

    def placed(*given: Any, **named: Any) -> None:
        assert [network() for network in seen] == [None]

    monkeypatch.setattr(sambench.run.single_run, "build_network", built)
    gc.disable()
    try:
        run_one(config_of(), paths, device=CPU)
        assert seen[0]() is not None
        monkeypatch.setattr(sambench.run.images, "Images", placed)
        load_parts(config_of(optimizer="adam"), paths.data, torch.device("cuda:0"))
    finally:
        gc.enable()


@pytest.mark.parametrize(("runs", "where"), [("1", "resident"), ("2", "resident"), ("3", "read")])
def test_runs_that_share_a_gpu_leave_room_for_the_images_of_each(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, runs: str, where: str
) -> None:
    """They begin at the same time, when all of its memory is free."""

    def fits(size: int, device: torch.device) -> bool:
        return size <= 2 * 32 * 32 * 32  # the bytes of the 32 training images, twice

    monkeypatch.setenv(RUNS_ON_DEVICE, runs)
    monkeypatch.setattr("sambench.data.batches.fits", fits)
    record = run_one(config_of(epochs=1), paths, device=CPU)
    assert record.environment is not None
    assert record.environment["engine"]["images"] == where


def test_no_part_of_the_images_is_copied_to_scale_them(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read one by one, and each batch for itself: a set need not fit into memory."""
    taken: list[tuple[int, ...]] = []
    scaling = Scaling.of
    monkeypatch.setattr(Scaling, "of", lambda given: scaling(noted(given)))

    def noted(given: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        taken.append(getattr(given, "shape", ()))
        yield from given

    parts = load_parts(config_of(normalization="standard"), paths.data, CPU)
    assert taken == [()]
    assert not (parts.train.resident or parts.test.resident)


def test_a_long_history_is_not_written_again_after_each_epoch(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once in a session, in place of what an earlier one left there, and once when it is done."""
    config, wholes = config_of(epochs=5), []
    save = Store.save_history

    def counted(self: Store, *given: Any) -> str:
        wholes.append(given)
        return save(self, *given)

    monkeypatch.setattr(Store, "save_history", counted)
    epochs: list[object] = []

    def on_event(event: object) -> None:
        epochs.extend([event] if isinstance(event, Epoch) else [])

    cut = run_one(
        config, paths, device=CPU, on_event=on_event, stop_requested=lambda: len(epochs) == 2
    )
    history = Store(paths.results).history(config)
    assert (cut.status, len(wholes)) == ("interrupted", 1)
    with history.open("a") as file:
        file.write('{"epoch": 3, "train_')  # by a session that was killed
    done = run_one(config, paths, device=CPU)
    assert len(wholes) == 1 + 2
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert done.sha256_of("history.jsonl") == hashlib.sha256(history.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("stop", "stopped_by", "target_met"),
    [
        ("epochs", "epochs", None),
        ("gradient-evaluations=3", "gradient-evaluations", True),
        ("gradient-evaluations=1000", "epochs", False),
    ],
)
def test_what_ended_a_run_and_whether_its_target_was_met(
    paths: Paths, stop: str, stopped_by: str, target_met: bool | None
) -> None:
    record = run_one(config_of(stop=stop, epochs=1), paths, device=CPU)
    assert record.final is not None
    assert record.final["stopped_by"] == stopped_by
    assert record.final["target_met"] is target_met


def test_a_run_starts_from_kept_weights_and_says_what_fitted(paths: Paths, tmp_path: Path) -> None:
    """Trained from the weights of another: its features are theirs, its head is its own."""
    run_one(config_of(), paths, device=CPU)
    file = Store(paths.results).folder(config_of()) / "model.safetensors"
    data = tmp_path / "data"
    shutil.copytree(paths.data, data)
    here = Paths(data=data, results=paths.results)
    config = config_of(weights=keep_weights(file, data), seed=1)
    model = build_network(config, 2, CPU)
    head = [value.clone() for value in model.parameters()][-2:]
    assert config.weights is not None
    load_backbone(model, find_weights(config.weights, data), config.weights)
    theirs = load_file(file)
    *features, weight, bias = dict(model.named_parameters())
    assert all(torch.equal(model.state_dict()[name], theirs[name]) for name in features)
    assert all(torch.equal(a, b) for a, b in zip([*model.parameters()][-2:], head, strict=True))
    record = run_one(config, here, device=CPU)
    assert record.start is not UNSET
    assert record.start["new"] == [weight, bias]
    assert Store(paths.results).load(config) == record
    with pytest.raises(ModelError, match="are not kept in"):
        run_one(replace(config, seed=2), paths, device=CPU)
    assert not Store(paths.results).folder(replace(config, seed=2)).joinpath("run.json").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"label_smoothing": 0.2},
        {"class_weights": "balanced"},
        {"sampler": "balanced"},
        {"average": "ema"},
        {"schedule": "step", "warmup": 1},
        {"schedule": "onecycle"},
        {"normalization": "pretrained"},
        {"optimizer": {"name": "sam", "weight_decay": 0.1}, "decayed": "matrices"},
    ],
    ids=str,
)
def test_each_way_to_train_comes_to_other_weights(
    paths: Paths, settings: dict[str, Any], usual_weights: dict[str, torch.Tensor]
) -> None:
    config = config_of(**settings)
    record = run_one(config, paths, device=CPU)
    assert record.status == "completed"
    weights = load_file(Store(paths.results).folder(config) / "model.safetensors")
    assert any(not torch.equal(weights[name], usual_weights[name]) for name in weights)


@pytest.fixture(scope="module")
def usual_weights(
    phantom_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, torch.Tensor]:
    paths = Paths(data=phantom_data, results=tmp_path_factory.mktemp("usual"))
    run_one(config_of(), paths, device=CPU)
    return load_file(Store(paths.results).folder(config_of()) / "model.safetensors")


def test_decay_of_matrices_leaves_vectors_alone() -> None:
    """The rule of timm: whatever has one dimension or is a bias is not decayed."""
    optimizer = {"name": "sam", "base": "sgd", "weight_decay": 0.5}
    config = config_of(optimizer=optimizer, decayed="matrices", model="resnet18")
    model = build_network(config, 2, CPU)
    names = {id(value): name for name, value in model.named_parameters()}
    decayed = {}
    for group in build_optimizer(config, model).param_groups:
        decayed |= {names[id(value)]: group["weight_decay"] for value in group["params"]}
    assert set(decayed.values()) == {0.0, 0.5}
    for name, value in model.named_parameters():
        assert decayed[name] == (0.5 if value.dim() > 1 else 0.0), name


def test_decay_of_matrices_leaves_position_embeddings_alone() -> None:
    """The papers' vit and swin are torchvision's, which do not say what not to decay."""
    optimizer = {"name": "adamw", "weight_decay": 0.5}
    config = config_of(optimizer=optimizer, decayed="matrices")
    tiny: dict[str, Any] = {"num_layers": 1, "num_heads": 1, "hidden_dim": 8, "mlp_dim": 8}
    vit = VisionTransformer(image_size=32, patch_size=16, **tiny)
    swin = SwinTransformer([4, 4], 8, [1, 1], [1, 1], [7, 7])
    for model, expected in (
        (vit, {"class_token", "encoder.pos_embedding"}),
        (swin, {f"features.{n}.0.attn.relative_position_bias_table" for n in (1, 3)}),
    ):
        names = {id(value): name for name, value in model.named_parameters()}
        spared, decayed = build_optimizer(config, model).param_groups
        assert (spared["weight_decay"], decayed["weight_decay"]) == (0.0, 0.5)
        tables = {names[id(value)] for value in spared["params"] if value.dim() > 1}
        assert tables == expected
        assert all(value.dim() > 1 for value in decayed["params"])


def test_the_metrics_can_be_computed_again_from_the_stored_predictions(paths: Paths) -> None:
    config = config_of()
    record = run_one(config, paths, device=CPU)
    stored = np.load(Store(paths.results).folder(config) / "predictions.npz", allow_pickle=False)
    assert record.final is not None
    again = classification_metrics(stored["probabilities"], stored["labels"])
    assert again == record.to_dict()["final"]["test"]
    assert len(set(stored["ids"])) == record.final["test"]["n"] == 8


def test_the_stored_weights_give_the_stored_predictions(paths: Paths) -> None:
    config = config_of()
    run_one(config, paths, device=CPU)
    folder = Store(paths.results).folder(config)
    model = build_network(config, 2, CPU)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    parts = sambench.run.single_run.load_parts(config, paths.data, CPU)
    found = sambench.run.single_run.predict(model, parts.test)
    stored = np.load(folder / "predictions.npz", allow_pickle=False)
    # the run's tensors lay channels last: its float32 sums were in another order
    np.testing.assert_allclose(found, stored["probabilities"], rtol=0, atol=1e-6)


def test_two_runs_give_the_same_record_but_for_time(tmp_path: Path, phantom_data: Path) -> None:
    finals = []
    for name in ("a", "b"):
        paths = Paths(data=phantom_data, results=tmp_path / name)
        finals.append(run_one(config_of(), paths, device=CPU).final)
    assert finals[0] == finals[1]


def test_seeds_share_the_test_images_and_differ_in_weights(paths: Paths) -> None:
    ids, weights = [], []
    for seed in (0, 1):
        config = config_of(seed=seed, epochs=1)
        run_one(config, paths, device=CPU)
        folder = Store(paths.results).folder(config)
        ids.append(np.load(folder / "predictions.npz")["ids"].tolist())
        weights.append(load_file(folder / "model.safetensors")["0.weight"])
    assert ids[0] == ids[1]
    assert not torch.equal(*weights)


def test_the_test_images_are_read_once_and_last(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[int] = []
    original = sambench.run.single_run.predict

    def spy(model: torch.nn.Module, images: Any) -> Any:
        order.append(len(images))
        return original(model, images)

    monkeypatch.setattr(sambench.run.single_run, "predict", spy)
    monkeypatch.setattr(sambench.training.evaluate, "predict", spy)
    record = run_one(config_of(selection="best-validation"), paths, device=CPU)
    assert record.data is not None
    assert order.count(record.data["test"]) == 1
    assert order[-1] == record.data["test"]


def test_a_completed_run_is_not_done_again(paths: Paths) -> None:
    record = run_one(config_of(), paths, device=CPU)
    events: list[object] = []
    assert run_one(config_of(), paths, device=CPU, on_event=events.append) == record
    assert events == []


def test_a_run_that_diverges_is_recorded(paths: Paths) -> None:
    config = config_of(optimizer={"name": "sgd", "lr": 1e30})
    record = run_one(config, paths, device=CPU)
    assert record.status == "diverged"
    assert record.error is not None
    assert record.error.startswith("the training loss became")
    assert Store(paths.results).load(config) == record


def test_a_run_whose_last_step_diverges_is_recorded(paths: Paths) -> None:
    config = config_of(optimizer={"name": "sgd", "lr": 1e30}, epochs=1, batch_size=100)
    record = run_one(config, paths, device=CPU)
    assert record.status == "diverged"
    assert str(record.error).startswith("the network's output became NaN or infinite, of ")
    assert record.final is None


def test_an_interrupted_run_resumes_to_the_same_record(tmp_path: Path, phantom_data: Path) -> None:
    whole = Paths(data=phantom_data, results=tmp_path / "whole")
    cut = Paths(data=phantom_data, results=tmp_path / "cut")
    expected = run_one(config_of(), whole, device=CPU)
    requests = iter([False, False, True])
    record = run_one(config_of(), cut, device=CPU, stop_requested=lambda: next(requests))
    assert record.status == "interrupted"
    assert (Store(cut.results).folder(config_of()) / "checkpoint.pt").exists()
    resumed = run_one(config_of(), cut, device=CPU)
    assert resumed.status == "completed"
    assert resumed.final == expected.final
    files = [Store(p.results).folder(config_of()) / "model.safetensors" for p in (whole, cut)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_way_to_execute_steps_that_cannot_be_had_is_said(paths: Paths) -> None:
    config = config_of(capture="always")
    with pytest.warns(SambenchWarning, match=r"capture=always of run .* was not done: no CUDA dev"):
        assert run_one(config, paths, device=CPU).status == "completed"


def test_data_that_are_not_prepared_leave_nothing_behind(tmp_path: Path) -> None:
    paths = Paths(data=tmp_path / "nothing", results=tmp_path / "results")
    with pytest.raises(DataError, match="not prepared at 32 pixels"):
        run_one(config_of(), paths, device=CPU)
    assert not paths.results.exists()


def test_a_model_that_does_not_fit_leaves_nothing_behind(paths: Paths) -> None:
    with pytest.raises(ModelError, match="'small-cnn' has no published weights"):
        run_one(config_of(pretrained=True), paths, device=CPU)
    assert not any((paths.results / "runs").iterdir())


def test_a_failing_run_is_recorded_and_does_not_stop_the_others(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = sambench.run.single_run.build_optimizer

    def broken(config: RunConfig, model: torch.nn.Module) -> Any:
        optimizer = original(config, model)
        if config.seed == 0:
            monkeypatch.setattr(optimizer, "step", lambda closure: 1 / 0)
        return optimizer

    monkeypatch.setattr(sambench.run.single_run, "build_optimizer", broken)
    configs = [config_of(seed=0), config_of(seed=1)]
    failed: list[str] = []
    manifest = Manifest(configs=configs, data=paths.data, results=paths.results, suite="study")
    watcher = Watcher(failed=lambda config, error: failed.append(config.name))
    tally = run_all(manifest, "cpu", watcher)
    assert failed == [configs[0].name]
    assert tally.exit_code == 1
    first, second = (Store(paths.results).load(config) for config in configs)
    assert first is not None
    assert second is not None
    assert first.status == "failed"
    assert "ZeroDivisionError" in (first.error or "")
    assert (second.status, second.suite) == ("completed", "study")


def test_a_run_without_memory_says_what_to_do_and_goes_on_later(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of()
    manifest = Manifest(configs=[config], data=paths.data, results=paths.results)
    whole = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def full(*given: Any, **named: Any) -> None:
        raise whole

    for place in ("predict", "load_parts"):  # in the run; before there is one
        with monkeypatch.context() as patched:
            patched.setattr(sambench.run.single_run, place, full)
            (error,) = run_all(manifest, "cpu", Watcher()).errors
        assert isinstance(error, DeviceError)
        assert str(error).startswith("the memory of cpu ran out; run fewer at once")
        record = Store(paths.results).load(config)
        assert record is not None
        assert (record.status, record.error) == ("failed", str(error))
    assert run_one(config, paths, device=CPU).status == "completed"


def test_the_first_failure_ends_it_where_asked(paths: Paths) -> None:
    diverging = config_of(optimizer={"name": "sgd", "lr": 1e30})
    manifest = Manifest(
        configs=[diverging, config_of()], data=paths.data, results=paths.results, fail_fast=True
    )
    tally = run_all(manifest, "cpu", Watcher())
    assert [record.status for record in tally.records] == ["diverged"]
    assert Store(paths.results).load(config_of()) is None


def test_a_run_that_another_process_completes_meanwhile_is_not_done_again(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is completed between our first look and our claim."""
    original = sambench.run.single_run.load_parts
    done: list[Any] = []

    def slow(*given: Any) -> Any:
        if not done:
            done.append(None)
            done[0] = run_one(config_of(), paths, device=CPU)
        return original(*given)

    monkeypatch.setattr(sambench.run.single_run, "load_parts", slow)
    events: list[object] = []
    assert run_one(config_of(), paths, device=CPU, on_event=events.append) == done[0]
    assert events == []


def test_a_run_that_was_taken_over_is_left_to_the_other(paths: Paths) -> None:
    """A process that was suspended for long finds another's claim when it goes on."""
    config = config_of()
    claim = Store(paths.results).folder(config) / "claim.json"
    steps = iter(range(100))

    def taken_over() -> bool:
        if next(steps) == 2:
            claim.write_text(claim.read_text().replace('"token": "', '"token": "other'))
        return False

    with pytest.raises(Claimed, match="was taken over by another process"):
        run_one(config, paths, device=CPU, stop_requested=taken_over)
    record = Store(paths.results).load(config)
    assert record is not None
    assert record.status == "running"
    assert claim.exists()


def test_curvature_that_another_process_measured_meanwhile_is_taken(paths: Paths) -> None:
    record = run_one(config_of(), paths, device=CPU)
    first = measure_hessian(record, TINY, paths, device=CPU)
    assert measure_hessian(record, TINY, paths, device=CPU) == first
    again = measure_hessian(first, TINY, paths, device=CPU, again=True)
    assert again.hessian is not None
    assert first.hessian is not None
    assert again.hessian["seconds"] != first.hessian["seconds"]


def test_curvature_is_not_measured_by_two(paths: Paths) -> None:
    record = run_one(config_of(), paths, device=CPU)
    with Store(paths.results).claim(record.config), pytest.raises(Claimed):
        measure_hessian(record, TINY, paths, device=CPU)


def test_curvature_is_written_into_the_record(paths: Paths) -> None:
    record = run_one(config_of(), paths, device=CPU)
    measured = measure_hessian(record, TINY, paths, device=CPU)
    assert Store(paths.results).load(record.config) == measured
    assert measured.hessian is not None
    assert measured.hessian["samples"] == 24
    assert measured.hessian["batches"] == 3
    assert measured.hessian["top"]["upper_bound"] >= measured.hessian["top"]["value"]
    low, high = measured.hessian["trace"]["interval"]
    assert low <= measured.hessian["trace"]["value"] <= high


def test_curvature_is_that_of_the_exact_hessian_of_the_linear_layer(paths: Paths) -> None:
    """The bound must hold for a block of the Hessian that torch.func computes exactly."""
    config = config_of(epochs=1)
    record = run_one(config, paths, device=CPU)
    settings = HessianSettings(samples=16, max_matvecs=60, tol=1e-3)
    measured = measure_hessian(record, settings, paths, device=CPU)
    parts = sambench.run.single_run.load_parts(config, paths.data, CPU)
    model = build_network(config, 2, CPU)
    model.load_state_dict(load_file(Store(paths.results).folder(config) / "model.safetensors"))
    model = model.double().eval()
    order = sambench.run.measure.derive_seed(config.split_seed, "hessian")
    chosen = torch.cat(sambench.run.measure.shuffled(len(parts.train), 8, order))[:16]
    inputs, targets = parts.train.batch(chosen)
    features = model[:-1](inputs.double()).detach()
    head = model[-1]

    def loss(weight: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(features @ weight.T + head.bias, targets)

    block = torch.func.hessian(loss)(head.weight.detach()).reshape(192, 192)
    top = torch.linalg.eigvalsh(block)[-1].item()
    assert measured.hessian is not None
    assert measured.hessian["top"]["upper_bound"] >= top * (1 - 1e-5)


def test_a_run_without_weights_cannot_be_measured(paths: Paths) -> None:
    record = run_one(config_of(), paths, device=CPU)
    (Store(paths.results).folder(record.config) / "model.safetensors").unlink()
    with pytest.raises(CurvatureError, match="has no weights"):
        measure_hessian(record, TINY, paths, device=CPU)


def test_weights_of_another_model_are_refused(paths: Paths) -> None:
    """Of a record that was written before the checksums of the files were."""
    record = replace(run_one(config_of(), paths, device=CPU), artifacts=None)
    weights = Store(paths.results).folder(record.config) / "model.safetensors"
    save_file({"0.weight": torch.zeros(1)}, weights)
    with pytest.raises(CurvatureError, match="do not fit their model"):
        measure_hessian(record, TINY, paths, device=CPU)


def test_weights_that_the_run_did_not_write_are_refused(paths: Paths) -> None:
    """One flipped bit, and the whole file of another run of the same network."""
    first, second = (run_one(config_of(seed=seed), paths, device=CPU) for seed in (0, 1))
    store = Store(paths.results)
    weights = store.folder(first.config) / "model.safetensors"
    whole = bytearray(weights.read_bytes())
    measure_hessian(first, TINY, paths, device=CPU)
    whole[-1] ^= 1
    others = (store.folder(second.config) / weights.name).read_bytes()
    for content in (bytes(whole), others):
        weights.write_bytes(content)
        with pytest.raises(DamagedError, match="is not the file that its run wrote") as caught:
            measure_hessian(first, TINY, paths, device=CPU, again=True)
        assert str(weights) in str(caught.value)
        with pytest.raises(DamagedError, match="is not the file that its run wrote"):
            run_one(config_of(seed=0, shifts="xray"), paths, device=CPU)
    assert store.load(first.config) is not None  # the record itself is sound


def test_a_record_is_bound_to_its_files_and_to_itself(paths: Paths) -> None:
    config = config_of()
    record = run_one(config, paths, device=CPU)
    folder = Store(paths.results).folder(config)
    assert record.artifacts == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("predictions.npz", "model.safetensors", "history.jsonl")
    }
    body, _, seal = (folder / "run.json").read_text().rpartition(',\n  "sha256": "')
    assert seal == hashlib.sha256(body.encode()).hexdigest() + '"\n}\n'
    measured = measure_hessian(record, TINY, paths, device=CPU)
    assert measured.artifacts == record.artifacts


def test_every_byte_of_the_pixels_is_checked_before_training(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Paths(data=tmp_path / "data", results=paths.results)
    shutil.copytree(paths.data, copy.data)
    pixels = copy.data / "phantom-32" / "images.npy"
    whole = pixels.read_bytes()
    for place in (127, 1000, len(whole) - 1):
        pixels.write_bytes(whole[:place] + bytes([whole[place] ^ 128]) + whole[place + 1 :])
        with pytest.raises(UnpreparedError, match=r"images\.npy is (damaged|missing|truncated)"):
            run_one(config_of(), copy, device=CPU)
    assert not paths.results.exists()
    pixels.write_bytes(whole)
    record = run_one(config_of(), copy, device=CPU)
    pixels.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UnpreparedError, match="which mends it"):
        measure_hessian(record, TINY, copy, device=CPU)
    pixels.write_bytes(whole)
    read, pread = [], os.pread

    def counted(handle: int, length: int, place: int) -> bytes:
        read.append(place)
        return pread(handle, length, place)

    monkeypatch.setattr(os, "pread", counted)
    for _ in range(3):  # once in a process for each state of the file
        load_parts(config_of(), copy.data, CPU)
    assert read == [0]


def test_pixels_that_changed_are_not_trained_on(paths: Paths, tmp_path: Path) -> None:
    copy = Paths(data=tmp_path / "data", results=paths.results)
    shutil.copytree(paths.data, copy.data)
    assert run_one(config_of(), copy, device=CPU).status == "completed"
    pixels = copy.data / "phantom-32" / "images.npy"
    pixels.write_bytes(pixels.read_bytes()[:-1] + b"\x07")
    with pytest.raises(UnpreparedError, match="is damaged"):
        run_one(config_of(seed=1), copy, device=CPU)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.EIO, "Input/output error"), "interrupted"),
        (StoreError("cannot write in results: No space left on device"), "interrupted"),
        (PermissionError(errno.EACCES, "Permission denied"), "interrupted"),
        (ZeroDivisionError("division by zero"), "failed"),
    ],
)
def test_a_fault_of_the_surroundings_leaves_a_run_to_be_resumed(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, error: Exception, status: str
) -> None:
    """It fails at its third step; where the disk takes it, the record says why."""
    config, steps = config_of(), iter(range(1, 100))

    def failing() -> bool:
        if next(steps) == 3:
            raise error
        return False

    with pytest.raises(type(error)):
        run_one(config, paths, device=CPU, stop_requested=failing)
    record = Store(paths.results).load(config)
    assert record is not None
    assert record.status == status
    assert str(error) in (record.error or "")
    (standing,) = Survey(store=Store(paths.results)).of([config])
    assert standing.action == ("skip" if status == "failed" else "run again")
    assert str(error) in standing.note
    if status == "interrupted":
        assert run_one(config, paths, device=CPU).status == "completed"


@pytest.mark.parametrize("what", ["results", "claim"])
def test_a_run_whose_folder_is_removed_says_so_and_stops_no_other(paths: Paths, what: str) -> None:
    configs = [config_of(seed=0), config_of(seed=1)]
    folder = Store(paths.results).folder(configs[0])
    said: list[str] = []

    def removed(event: object) -> None:
        if isinstance(event, Epoch) and not said and folder.exists():
            shutil.rmtree(paths.results) if what == "results" else (folder / "claim.json").unlink()

    manifest = Manifest(configs=configs, data=paths.data, results=paths.results)
    watcher = Watcher(event=removed, failed=lambda config, error: said.append(str(error)))
    tally = run_all(manifest, "cpu", watcher)
    assert tally.exit_code == 1
    assert said == [
        f"{folder / 'claim.json'} was removed, alone or with its folder, while this process worked "
        "there; nothing more was written, and the same command does it again"
    ]
    assert [record.name for record in tally.records] == [configs[1].name]
    assert (folder / "run.json").exists() == (what == "claim")
    assert run_one(configs[0], paths, device=CPU).status == "completed"


def test_other_data_than_the_run_was_trained_on_are_refused(paths: Paths) -> None:
    record = run_one(config_of(), paths, device=CPU)
    altered = replace(record, data={**(record.data or {}), "fingerprint": "0" * 64})
    Store(paths.results).save(altered)
    with pytest.raises(DataError, match="was trained on other data"):
        measure_hessian(altered, TINY, paths, device=CPU)
