"""`prepare`, `train` and `compare` say where a split tests on patients that it trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("unpainted")
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
        "split holdout: 8 of 8 test images (100.0 %) share a patient or a copy with training, so "
        "its accuracy is too good; `--split patient-5` keeps them together"
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


def test_images_for_validation_are_not_trained_on(call: Call, patients: Path) -> None:
    call("prepare", "folder", "--xlsx", patients / "labels.csv", "--size", 16)
    done = call("train", "--dataset", "folder", *RUN, "--set", "validation=0.5", columns=200)
    (record,) = Path("results/runs").glob("*/run.json")
    leaked = json.loads(record.read_text())["data"]["leaked"]
    assert 0 < leaked < 8
    assert f"split holdout: {leaked} of 8 test images ({100 * leaked / 8:.1f} %) share" in done.err


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


def write_images(*files: Path, seed: int = 0) -> None:
    """Write a grey image to each path, all of them different."""
    for number, path in enumerate(files):
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (16, 16), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def in_parts(root: Path, parts: tuple[str, ...] = ("train", "test")) -> Path:
    names = [f"{label}/{number}.png" for label in "ab" for number in range(10)]
    write_images(*(root / part / name for part in parts for name in names))
    return root


@pytest.mark.parametrize("kind", ["folders", "two sources", "a column"])
def test_training_on_images_that_were_set_apart_is_said(
    call: Call, tmp_path: Path, kind: str
) -> None:
    root = in_parts(tmp_path / "ours")
    where = ("--source", root)
    if kind == "two sources":
        where = ("--source", root / "train", "--test-source", root / "test")
    if kind == "a column":
        files = sorted(path.relative_to(root) for path in root.rglob("*.png"))
        rows = (f"{file},{file.parent.name},{file.parts[0]}" for file in files)
        (root / "labels.csv").write_text("\n".join(["file,label,split", *rows]))
        where = ("--xlsx", root / "labels.csv")
    done = call("prepare", "folder", *where, "--size", 16, columns=200)
    warning = (
        "of the 20 images that the source sets apart for testing are trained on; "
        "`--split authors` keeps them apart (in a suite `split: authors`)"
    )
    assert done.err.count(warning) == 1
    if kind == "folders":
        trained = call("train", "--dataset", "folder", *RUN, columns=200)
        assert "folder: split holdout: 1" in trained.err
        assert warning in trained.err
        number = int(trained.err.partition("split holdout: ")[2].split()[0])
        said = "Images that the source sets apart for testing were trained on: 1 run."
        report = call("report", columns=400).out
        assert said in report
        assert f"({number} images)" in report
        sound = call("compare", "--dataset", "folder", *RUN, "--set", "split=authors", columns=200)
        assert sound.code == 0, sound.err
        assert "sets apart" not in sound.err
        assert said not in call("report", "--where", "split=authors", columns=200).out


def test_validation_images_of_the_source_that_nothing_uses_are_named(
    call: Call, tmp_path: Path
) -> None:
    root = in_parts(tmp_path / "ours", ("train", "val", "test"))
    assert call("prepare", "folder", "--source", root, "--size", 16).code == 0
    run = ("train", "--dataset", "folder", *RUN, "--split", "authors")
    idle, used = call(*run, columns=200), call(*run, "--set", "validation=0.1", columns=200)
    said = "folder: split authors leaves 20 images out, which the source has for validation"
    assert (idle.code, idle.err.count(said)) == (0, 1)
    assert (used.code, used.err.count(said)) == (0, 0)
    assert "20 train, 20 validation, 20 test images" in used.out + used.err


def test_mixing_the_folds_of_one_s_own_table_is_said(call: Call, tmp_path: Path) -> None:
    files = [Path("images") / f"{number}.png" for number in range(20)]
    write_images(*files)
    rows = [f"{file.name},{'ab'[n % 2]},{n % 5 + 1}" for n, file in enumerate(files)]
    Path("images/labels.csv").write_text("\n".join(["file,label,fold", *rows]))
    done = call("prepare", "folder", "--xlsx", "images/labels.csv", "--size", 16, columns=200)
    said = "split holdout mixes the 5 folds that the images come with; `--split folds` keeps"
    assert said in done.err
    fold = ("--set", "split=folds", "--set", "fold=1")
    sound = call("train", "--dataset", "folder", *RUN, *fold, columns=200)
    assert sound.code == 0, sound.err
    assert "folds that the images come with" not in sound.err


def test_with_parts_and_copies_the_remedy_keeps_both(call: Call, tmp_path: Path) -> None:
    root = in_parts(tmp_path / "ours")
    for name in ("1", "2"):  # a copy among the training images
        (root / f"train/a/copy{name}.png").write_bytes((root / f"train/a/{name}.png").read_bytes())
    inside = call("prepare", "folder", "--source", root, "--size", 16, columns=200)
    assert "grouped" not in inside.err
    for name in ("1", "2", "3", "4", "5"):  # and across
        (root / f"train/b/test{name}.png").write_bytes((root / f"test/b/{name}.png").read_bytes())
    across = call("prepare", "folder", "--source", root, "--size", 16, columns=200)
    remedy = "prepare with `--drop-duplicates`, then `--split authors` keeps them together"
    assert remedy in across.err
    done = call(
        *("prepare", "folder", "--source", root, "--size", 16, "--drop-duplicates"), columns=200
    )
    assert done.code == 0 and "share a copy" not in done.err
    sound = call("train", "--dataset", "folder", *RUN, "--set", "split=authors", columns=200)
    assert sound.code == 0 and "share a copy" not in sound.err
    (root / "train/a/odd.png").write_bytes((root / "test/b/7.png").read_bytes())  # of another label
    prepare = ("prepare", "folder", "--source", root, "--size", 16)
    assert call(*prepare, "--drop-duplicates").code == 0
    torn = call("train", "--dataset", "folder", *RUN, "--set", "split=authors", columns=300)
    remedy = "prepare with `--drop-duplicates --drop-conflicts`, then `--split authors` keeps"
    assert "1 of 20 test images (5.0 %) share a copy with training, so its accuracy" in torn.err
    assert remedy in torn.err
    assert call(*prepare, "--drop-duplicates", "--drop-conflicts").code == 0
    last = call("train", "--dataset", "folder", *RUN, "--set", "split=authors", columns=300)
    assert last.code == 0 and "share a copy" not in last.err


def test_patients_on_both_sides_of_the_authors_parts(call: Call, tmp_path: Path) -> None:
    """Leaving copies out does not help, nor do the authors' parts."""
    files = [Path("images") / f"{number}.png" for number in range(20)]
    write_images(*files)
    rows = [
        f"{file.name},{'ab'[n // 2 % 2]},p{n // 2},{('train', 'test')[n % 2]}"
        for n, file in enumerate(files)
    ]
    Path("images/labels.csv").write_text("\n".join(["file,label,patient,split", *rows]))
    done = call("prepare", "folder", "--xlsx", "images/labels.csv", "--size", 16, columns=300)
    assert (
        "share a patient or a copy with training, so its accuracy is too good; `--split patient-5` "
        "keeps them together (in a suite `split: patient-5`), but trains on images that the source "
        "sets apart for testing"
    ) in done.err


def test_a_patient_of_most_images_is_said_to_be_none(call: Call, tmp_path: Path) -> None:
    files = [Path("images") / f"{number}.png" for number in range(20)]
    write_images(*files)
    for alone, images in (("CLINIC", 20), ("p3", 16)):
        rows = [
            f"{file.name},{'ab'[n % 2]},{'CLINIC' if n < images else alone}"
            for n, file in enumerate(files)
        ]
        Path("images/labels.csv").write_text("\n".join(["file,label,patient", *rows]))
        done = call("prepare", "folder", "--xlsx", "images/labels.csv", "--size", 16, columns=300)
        assert (
            f"{images} of the 20 images are of one patient (CLINIC), which is probably no "
            "patient's id: prepare them by a table (`--xlsx`) that names the patients"
        ) in done.err
        assert "--split grouped" not in done.err
    first = files[0].read_bytes()
    for file in files:
        file.write_bytes(first)
    rows = [f"{file.name},{'ab'[n % 2]}" for n, file in enumerate(files)]
    Path("images/labels.csv").write_text("\n".join(["file,label", *rows]))
    done = call("prepare", "folder", "--xlsx", "images/labels.csv", "--size", 16, columns=300)
    assert "20 of the 20 images are in one group, so no split keeps them together" in done.err


def test_a_set_that_is_replaced_is_said(call: Call, tmp_path: Path) -> None:
    names = [f"{label}/{number}.png" for label in "ab" for number in range(4)]
    for seed, root in enumerate(("one", "two")):
        write_images(*(tmp_path / root / name for name in names), seed=seed)
    said = "folder-16 is replaced: its 8 images were prepared from other files or with other"
    for root, wanted in (("one", False), ("one", False), ("two", True), ("two", False)):
        done = call("prepare", "folder", "--source", root, "--size", 16, columns=300)
        assert (said in done.err) == wanted
