from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sambench.data.manifest import FORMAT_VERSION, Manifest
from sambench.data.preparation import prepare
from sambench.data.prepared import (
    AGAIN,
    Prepared,
    check_pixels,
    open_prepared,
    prepare_command,
    prepared_datasets,
)
from sambench.data.source import Request, sources
from sambench.errors import DataError, UnpreparedError


@pytest.fixture
def prepared(bus_folder) -> Prepared:
    release = bus_folder()
    request = Request(folder=release)
    return prepare(sources.get("bus"), request, release.parent / "prepared", 16).prepared


def refused(root: Path, size: int = 16) -> str:
    with pytest.raises(DataError) as caught:
        open_prepared(root, "bus", size)
    return str(caught.value)


def change_manifest(prepared: Prepared, **values: object) -> None:
    path = prepared.folder / "manifest.json"
    path.write_text(json.dumps(unsealed_manifest(path) | values))


def unsealed_manifest(path: Path) -> dict[str, Any]:
    """Return what is in a manifest, as those from before there were seals have it."""
    content: dict[str, Any] = json.loads(path.read_text())
    del content["sha256"]
    return content


def test_what_is_opened(prepared):
    again = open_prepared(prepared.folder.parent, "bus", 16)
    assert again.fingerprint == prepared.fingerprint
    assert isinstance(again.images, np.memmap)
    assert not again.images.flags.writeable
    assert again.images.dtype == np.uint8
    assert again.labels.dtype == np.int64
    assert again.labels.tolist() == [0, 0, 0, 1]
    assert again.classes == ("benign", "malignant")
    assert again.ids == ("benign(0)", "benign(2)", "benign(10)", "malignant(0)")
    assert again.groups == again.ids
    assert again.column("centre") == ("SYSUCC", "SYSUCC", "GDPH", "GDPH")
    assert again.column("fold") == (0, 0, 1, 1)
    assert len(again) == 4


def test_what_is_asked_for_image_by_image_is_made_once(prepared):
    """Each run asks for the id of every image: made anew, 70,000 images took minutes."""
    assert prepared.ids is prepared.ids
    assert prepared.groups is prepared.groups


def test_images_that_a_disk_does_not_give_are_named(prepared, monkeypatch):
    path = prepared.folder / "images.npy"
    os.utime(path, (1, 1))  # another state of the file, which has not been checked

    def fail(*given: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        check_pixels(prepared)
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(path))


def test_a_column_that_is_not_there(prepared):
    with pytest.raises(DataError) as caught:
        prepared.column("patient")
    assert str(caught.value) == (
        "dataset 'bus' has no column 'patient'; its columns: id, file, label, group, sha256, "
        "file_bytes, file_width, file_height, file_mode, centre, "
        "fold, birads_reader1, birads_reader2; choose a split that needs none, such as grouped-5"
    )


def test_not_prepared(tmp_path):
    assert refused(tmp_path) == (
        f"dataset 'bus' is not prepared at 16 pixels in {tmp_path}; "
        f"run `{prepare_command('bus', 16)}`"
    )


def test_prepared_at_other_sizes(prepared):
    root = prepared.folder.parent
    shutil.copytree(prepared.folder, root / "bus-128")
    shutil.copytree(prepared.folder, root / "bus-2-32")
    (root / "bus-64").mkdir()
    assert prepared_datasets(root)["bus"] == (16, 128)
    assert refused(root, 224) == (
        f"dataset 'bus' is not prepared at 224 pixels in {root} (only at 16, 128: "
        f"choose --size 16, or image_size: 16 in a suite); or run `{prepare_command('bus', 224)}`"
    )


def test_a_folder_that_was_renamed_is_not_another_dataset(prepared):
    root = prepared.folder.parent
    prepared.folder.rename(root / "busi-16")
    with pytest.raises(UnpreparedError) as caught:
        open_prepared(root, "busi", 16)
    assert str(caught.value).startswith(
        f"{root / 'busi-16'} holds bus at 16 pixels: rename it to bus-16, or run `sambench prepare"
    )


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (
            FORMAT_VERSION + 1,
            "newer sambench (format 3, this one reads 2); upgrade sambench, or run `sambench",
        ),
        (0, "older sambench (format 0, this one reads 2); run `sambench prepare bus"),
    ],
)
def test_another_format_version(prepared, version, expected):
    change_manifest(prepared, format_version=version)
    assert expected in refused(prepared.folder.parent)


def test_a_damaged_manifest(prepared):
    path = prepared.folder / "manifest.json"
    path.write_text(path.read_text()[:100])
    assert refused(prepared.folder.parent) == (
        f"{path} is damaged (it is no JSON); run `{prepare_command('bus', 16)}` {AGAIN}"
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        *(({key: None}, f"it needs '{key}'") for key in ("classes", "files", "fingerprint")),
        ({"channels": None}, "it needs 'channels'"),
        ({"channels": 2}, "channels=2 is not allowed; allowed: 1, 3"),
        ({"classes": []}, "classes=[] is not allowed"),
        ({"classes": ["benign", 3]}, "classes.1=3 is not allowed; allowed: text"),
        ({"classes": ["other"]}, "is damaged: its classes are not those that were prepared"),
        ({"classes": ["malignant", "benign"]}, "its classes are not those that were prepared"),
        ({"changed": {"classes": "benign,malignant"}}, "does not follow from its checksums"),
        ({"image_size": "16"}, "image_size='16' is not allowed"),
        ({"native": {}}, "native needs 'width'"),
        ({"fingerprint": "f" * 64}, "its fingerprint does not follow from its checksums"),
        ({"files": {}}, "its fingerprint does not follow from its checksums"),
        ({"format_version": "2"}, "format_version='2' is not allowed"),
    ],
)
def test_a_manifest_that_was_edited(prepared, change, why):
    path = prepared.folder / "manifest.json"
    content = {**unsealed_manifest(path), **change}
    path.write_text(
        json.dumps({k: v for k, v in content.items() if v is not None or k == "channels"})
    )
    message = refused(prepared.folder.parent)
    assert why in message
    assert "\n" not in message
    assert message.endswith(f"run `{prepare_command('bus', 16)}` {AGAIN}")


def test_all_that_is_written_is_in_the_definition(prepared):
    content = unsealed_manifest(prepared.folder / "manifest.json")
    assert list(content) == list(Manifest.__struct_encode_fields__)
    with pytest.raises(TypeError, match="'page'"):
        Manifest(**content, page={})


@pytest.mark.parametrize("name", ["account", "pages", "image_blocks", "changed", "depth"])
def test_a_manifest_from_before_it_told_as_much_is_prepared_again(prepared, name):
    path = prepared.folder / "manifest.json"
    content = unsealed_manifest(path)
    del content[name]
    path.write_text(json.dumps(content))
    message = refused(prepared.folder.parent)
    assert message.startswith(f"{path} is damaged (")
    assert name in message
    assert message.endswith(f"run `{prepare_command('bus', 16)}` {AGAIN}")


@pytest.mark.parametrize("size", [0, 50, 1000])
def test_truncated_images(prepared, size):
    path = prepared.folder / "images.npy"
    with path.open("r+b") as file:
        file.truncate(size)
    assert refused(prepared.folder.parent) == (
        f"{path} is truncated; run `{prepare_command('bus', 16)}` {AGAIN}"
    )


@pytest.mark.parametrize("name", ["images.npy", "samples.csv"])
def test_a_file_that_is_gone(prepared, name):
    path = prepared.folder / name
    path.unlink()
    assert refused(prepared.folder.parent) == (
        f"cannot read {path}: No such file or directory; run `{prepare_command('bus', 16)}` {AGAIN}"
    )


def test_images_that_somebody_else_alone_may_read(prepared, monkeypatch):
    def closed(*args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(np, "load", closed)
    assert refused(prepared.folder.parent) == (
        f"cannot read {prepared.folder / 'images.npy'}: Permission denied; "
        "check its permissions and its disk"
    )


def test_images_of_another_shape(prepared):
    np.save(prepared.folder / "images.npy", np.zeros((4, 8, 8, 3), np.uint8))
    assert "holds uint8 (4, 8, 8, 3) where" in refused(prepared.folder.parent)


def test_changed_samples(prepared):
    path = prepared.folder / "samples.csv"
    path.write_text(path.read_text().replace("malignant", "benign"))
    assert refused(prepared.folder.parent) == (
        f"{path} was changed after preparation; run `{prepare_command('bus', 16)}` {AGAIN}"
    )


def test_reading_needs_no_pandas_pillow_workbook_or_torch():
    code = (
        "import sys, sambench.data.prepared as p; "
        "print(*{'pandas', 'PIL', 'openpyxl', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("dataset", "command"),
    [
        ("phantom", "sambench prepare phantom --size 64"),
        ("bus", 'sambench prepare bus --xlsx "BIRADS&FOLD.xlsx" --size 64'),
        ("busi", "sambench prepare busi --source DIR --size 64"),
        ("mine", "sambench prepare folder --source DIR --size 64 --name mine"),
    ],
)
def test_the_command_that_prepares_says_what_it_must_be_told(dataset: str, command: str) -> None:
    assert prepare_command(dataset, 64) == command
