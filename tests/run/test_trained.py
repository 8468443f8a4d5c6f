"""A trained run for use predicts what it predicted when it was tested."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sambench
from sambench.config.run_config import RunConfig
from sambench.data.preparation import prepare
from sambench.data.prepared import open_prepared
from sambench.data.source import Request, sources
from sambench.errors import DataError, DeviceError, SambenchWarning, UserError
from sambench.run.images import load_parts
from sambench.run.single_run import Paths, run_one
from sambench.store.record import RunRecord
from sambench.store.tree import Store

CPU = torch.device("cpu")


def config_of(**settings: Any) -> RunConfig:
    given = {"epochs": 1, "batch_size": 8, "optimizer": "adam", "lr": 1e-3, **settings}
    return RunConfig.from_dict(
        {"dataset": "phantom", "image_size": 32, "model": "small-cnn", **given}
    )


@pytest.fixture(scope="module", params=["unit", "standard", "imagenet"])
def trained(
    request: pytest.FixtureRequest, phantom_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunConfig, Paths]:
    paths = Paths(data=phantom_data, results=tmp_path_factory.mktemp("trained"))
    config = config_of(normalization=request.param)
    run_one(config, paths, device=CPU)
    return config, paths


@pytest.mark.not_nudged  # a fixture trained the network, as usual
def test_the_test_images_have_the_stored_probabilities(trained: tuple[RunConfig, Paths]) -> None:
    """The same operations in the same batches: bit for bit."""
    config, paths = trained
    run = sambench.load_run(config.id, results=paths.results, data="nowhere")
    parts = load_parts(config, paths.data, CPU)
    stored = np.load(Store(paths.results).folder(config) / "predictions.npz", allow_pickle=False)
    found = run.predict(np.asarray(parts.prepared.images[parts.split.test]))
    assert np.array_equal(found, stored["probabilities"])
    assert run.classes == parts.prepared.classes
    assert str(run).startswith(f"{config.name}: benign, malignant; test accuracy ")


def test_an_onnx_file_gives_the_same_probabilities(
    trained: tuple[RunConfig, Paths], tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    config, paths = trained
    run = sambench.load_run(config.id, results=paths.results)
    before = [value.clone() for value in run.network.state_dict().values()]
    run.export(tmp_path / "run.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["run.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "run.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), dtype=np.uint8)
    (found,) = session.run(["probabilities"], {"pixels": pixels})
    # float32 sums in another order
    np.testing.assert_allclose(found, run.predict(pixels), rtol=1e-4, atol=1e-5)
    told = session.get_modelmeta().custom_metadata_map
    assert (told["run"], json.loads(told["classes"])) == (config.name, [*run.classes])
    after = [*run.network.state_dict().values()]
    assert all(map(torch.equal, before, after))


def test_export_without_the_packages_says_what_has_them(
    trained: tuple[RunConfig, Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, paths = trained
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(DataError, match=r"sambench\[onnx\]"):
        sambench.load_run(config.id, results=paths.results).export(tmp_path / "run.onnx")


def test_files_are_prepared_as_the_run_s_images_were(
    trained: tuple[RunConfig, Paths], tmp_path: Path
) -> None:
    config, paths = trained
    run = sambench.load_run(config.name, results=paths.results)
    images = open_prepared(paths.data, "phantom", 32).images[:3]
    files = []
    for number, image in enumerate(images):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(image.squeeze()).save(files[-1])
    assert np.array_equal(run.predict(files), run.predict(np.asarray(images)))
    assert np.array_equal(run.predict(file for file in files), run.predict(files))
    Image.fromarray(images[0].squeeze()).convert("RGB").resize((90, 90)).save(tmp_path / "c.png")
    assert run.predict(str(tmp_path / "c.png")).shape == (1, 2)
    colour = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    Image.fromarray(colour[0]).save(tmp_path / "c.png")
    assert np.array_equal(run.predict(colour), run.predict(tmp_path / "c.png"))


def test_pages_of_a_file(trained: tuple[RunConfig, Paths], tmp_path: Path) -> None:
    """Named as `prepare --pages all` names them; the first alone is taken with a word."""
    config, paths = trained
    run = sambench.load_run(config.name, results=paths.results)
    images = np.asarray(open_prepared(paths.data, "phantom", 32).images[:2])
    first, second = (Image.fromarray(image.squeeze()) for image in images)
    file = str(tmp_path / "two.tif")
    first.save(file, save_all=True, append_images=[second])
    assert np.array_equal(run.predict([f"{file}#1", f"{file}#2"]), run.predict(images))
    with pytest.warns(SambenchWarning, match="takes the first; FILE#2 is the second"):
        assert np.array_equal(run.predict(file), run.predict(images[:1]))
    with pytest.raises(DataError, match="#3"):
        run.predict(f"{file}#3")


def test_deep_files_are_scaled_as_the_run_s_were(tmp_path: Path) -> None:
    """With depth=auto the whole set tells how many bits there are: a file alone could not."""
    generator = np.random.default_rng(0)
    files = [tmp_path / "images" / "ab"[n % 2] / f"{n}.png" for n in range(20)]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        high = 1000 if number == 3 else 4096
        Image.fromarray(generator.integers(0, high, (32, 32), dtype=np.uint16)).save(file)
    source = sources.get("folder")
    asked = Request(folder=tmp_path / "images", options=source.resolve({}))
    paths = Paths(data=tmp_path / "data", results=tmp_path / "results")
    prepared = prepare(source, asked, paths.data, 32).prepared
    assert (prepared.manifest.changed, prepared.manifest.depth) == ({}, 12)
    config = config_of(dataset="folder")
    record = run_one(config, paths, device=CPU)
    assert record.data is not None and record.data["pixels"]["depth"] == 12
    run = sambench.load_run(config.id, results=paths.results)
    place = prepared.ids.index("b/3")
    assert np.array_equal(run.predict(files[3]), run.predict(np.asarray(prepared.images[[place]])))
    plain = record.to_dict()
    plain["data"]["pixels"]["depth"] = 0  # as records were while no depth that was found was kept
    Store(paths.results).save(RunRecord.parse(json.dumps(plain), "here"))
    with pytest.raises(DataError, match="had 8 bits, or were prepared before depths were kept"):
        sambench.load_run(config.id, results=paths.results).predict(files[3])


def test_a_record_from_before_takes_the_scaling_from_the_prepared_images(
    trained: tuple[RunConfig, Paths],
) -> None:
    config, paths = trained
    store = Store(paths.results)
    record = store.load(config)
    assert record is not None
    plain = record.to_dict()
    now = sambench.load_run(config.id, results=paths.results)
    del plain["data"]["pixels"]
    store.save(RunRecord.parse(json.dumps(plain), "here"))
    before = sambench.load_run(config.id, results=paths.results, data=paths.data)
    store.save(record)
    images = np.asarray(open_prepared(paths.data, "phantom", 32).images[:4])
    assert np.array_equal(now.predict(images), before.predict(images))


def test_what_cannot_be_predicted_is_named(
    trained: tuple[RunConfig, Paths], tmp_path: Path
) -> None:
    config, paths = trained
    run = sambench.load_run(config.id, results=paths.results)
    (tmp_path / "x.png").write_text("no image")
    for given, said in (
        (tmp_path / "x.png", "x.png is not an image"),
        (np.zeros((1, 16, 16, 1), dtype=np.uint8), r"not uint8 of shape \(N, 32, 32, 1 or 3\)"),
        (np.zeros((1, 32, 32, 1)), "pixels of type float64"),
        ([], r"shape \(0, 32, 32, 1\)"),
        ([np.zeros((32, 32), dtype=np.uint8)], "images are files, or pixels in one array"),
    ):
        with pytest.raises(DataError, match=said):
            run.predict(given)
    with pytest.raises(UserError, match="sambench list runs"):
        sambench.load_run("nothing", results=paths.results)
    begun = RunRecord(config=config, status="interrupted")
    Store(tmp_path).save(begun)
    with pytest.raises(DataError, match=f"run {config.name} is interrupted; complete it first"):
        sambench.load_run(config.id, results=tmp_path)
    for device in ("cuda:99", "gpu"):
        with pytest.raises(DeviceError, match=device):
            sambench.load_run(config.id, results=paths.results, device=device)
    assert str(sambench.load_run(paths.results / "runs" / config.name, results=paths.results))
