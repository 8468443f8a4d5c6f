"""`prepare`, `train` and `compare` say where a split tests on patients that it trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Call

RUN = ("--model", "small-cnn", "--opt", "sgd", "--epochs", "1", "--size", "16", "--device", "cpu")


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Write forty images of ten patients, and their table; four images of each patient."""
    root = tmp_path / "images"
    root.mkdir()
    rows = ["file,label,patient_id"]
    for number in range(40):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number // 4 % 2]},p{number // 4}")
    (root / "labels.csv").write_text("\n".join(rows))
    return root


def test_a_leak_is_said_with_the_split_that_avoids_it(call: Call, patients: Path) -> None:
    table = ("--xlsx", patients / "labels.csv")
    done = call("prepare", "folder", *table, "--size", 16, columns=200)
    warning = (
        "split holdout: 8 of 8 test images (100.0%) share a patient or a copy with training, so "
        "its accuracy is too good; `--set split=patient-5` keeps them together"
    )
    assert warning in done.err
    assert "group (patient_id)" in done.out
    trained = call("train", "--dataset", "folder", *RUN, columns=200)
    assert trained.code == 0, trained.err
    assert f"folder: {warning}" in trained.err
    fold = ("--set", "split=patient-5", "--set", "fold=1")
    sound = call("compare", "--dataset", "folder", *RUN, *fold, columns=200)
    assert sound.code == 0, sound.err
    assert "share a patient" not in sound.err


def test_every_file_is_accounted_for_in_what_programs_read(call: Call, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)

    def image(path: Path) -> Image.Image:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Image.fromarray(generator.integers(0, 256, (16, 16), dtype=np.uint8))

    for root in ("ours", "theirs"):
        for label in "ab":
            path = tmp_path / root / label / "1.tif"
            image(path).save(path, save_all=True, append_images=[image(path), image(path)])
    (tmp_path / "theirs" / "a" / "x.gif").write_bytes(b"x")
    where = ("--source", tmp_path / "ours", "--test-source", tmp_path / "theirs", "--size", 16)
    done = call("prepare", "folder", *where, "--pages", "all", "--json", columns=200)
    assert done.code == 0, done.err
    summary = json.loads(done.out)["summary"]
    assert summary["by_class"] == {"a": 6, "b": 6}
    assert (summary["account"]["found"], summary["account"]["images"]) == (5, 4)
    assert summary["account"]["passed"] == {".gif": ["a/x.gif"]}
    assert "passed over: 1 .gif" in done.err
    first = call("prepare", "folder", *where, "--json", columns=200)
    assert json.loads(first.out)["summary"]["pages"] == {
        f"{root}/{label}/1.tif": 3 for root in ("ours", "theirs") for label in "ab"
    }
    assert "8 pages after the first of 4 files" in first.err
