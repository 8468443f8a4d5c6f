from __future__ import annotations

import hashlib
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torchvision

from sambench.data.preparation import prepare
from sambench.data.source import Request, sources

NAMES = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}


def save(path: Path, value: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def release(tmp_path, monkeypatch):
    """Write a little release and let torchvision expect its checksums; returns its folder."""

    def write(name: str = "cifar10") -> Path:
        loader = getattr(torchvision.datasets, NAMES[name])
        folder = tmp_path / "release" / loader.base_folder
        classes = sources.get(name).classes
        key = "labels" if name == "cifar10" else "fine_labels"
        draw = np.random.default_rng(0)
        lists = {}
        for kind in ("train_list", "test_list"):
            lists[kind] = []
            for file, _ in getattr(loader, kind):
                pixels = draw.integers(0, 256, (4, 3072), dtype=np.uint8)
                labels = draw.integers(0, len(classes), 4).tolist()
                md5 = save(folder / file, {"data": pixels, key: labels})
                lists[kind].append([file, md5])
        names = {loader.meta["key"]: list(classes)}
        meta = {**loader.meta, "md5": save(folder / loader.meta["filename"], names)}
        for attribute, value in (*lists.items(), ("meta", meta)):
            monkeypatch.setattr(loader, attribute, value)
        return folder

    return write


@pytest.mark.parametrize(("name", "train"), [("cifar10", 20), ("cifar100", 4)])
def test_pixels_labels_and_parts(release, tmp_path, name, train):
    folder = release(name)
    source, request = sources.get(name), Request(folder=folder.parent)
    prepared = prepare(source, request, tmp_path / "prepared", 32).prepared
    whole = getattr(torchvision.datasets, NAMES[name])
    expected = [whole(folder.parent, train=is_train) for is_train in (True, False)]
    assert np.array_equal(prepared.images, np.concatenate([part.data for part in expected]))
    assert prepared.labels.tolist() == [*expected[0].targets, *expected[1].targets]
    assert prepared.column("part") == ("train",) * train + ("test",) * 4
    assert prepared.ids[0] == "train-00000"
    assert prepared.classes == tuple(expected[0].classes)


def test_the_folder_itself_may_be_named(release, scan):
    folder = release()
    assert scan("cifar10", folder) == scan("cifar10", folder.parent)


def test_a_changed_file_is_not_unpickled(release, refused):
    folder = release()
    (folder / "data_batch_2").write_bytes(pickle.dumps(_Bomb()))
    (folder / "test_batch").unlink()
    assert refused("cifar10", folder) == (
        f"not as published in {folder}, changed or missing: data_batch_2, test_batch; delete the "
        "folder and unpack cifar-10-python.tar.gz again"
    )


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was executed",))


def test_it_is_downloaded_checked_and_unpacked(release, scan, tmp_path, monkeypatch):
    folder = release()
    archive = tmp_path / "served.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, folder.name)
    loader = torchvision.datasets.CIFAR10
    monkeypatch.setattr(loader, "url", archive.as_uri())
    monkeypatch.setattr(loader, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    listing = scan("cifar10")
    assert len(listing.samples) == 24
    archive.unlink()
    (tmp_path / "raw" / "cifar10" / loader.filename).unlink()
    assert scan("cifar10") == listing


def test_the_published_checksums_are_torchvisions():
    cifar10 = torchvision.datasets.CIFAR10
    assert cifar10.tgz_md5 == "c58f30108f718f92721af3b95e74349a"
    assert dict(cifar10.test_list) == {"test_batch": "40351d587109b95175f43aff81a1287e"}
    assert torchvision.datasets.CIFAR100.tgz_md5 == "eb9058c3a382ffc7106e4002c42a8d85"


def test_another_folder(plant, refused):
    root = plant("x/1.png")
    assert refused("cifar100", root).startswith(
        f"no images in {root}, which should hold cifar-100-python/, or train/ and test/ "
    )
