from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sambench.data.download import Remote
from sambench.data.manifest import Account
from sambench.data.preparation import prepare
from sambench.data.source import Request, sources
from sambench.data.sources.archives import scan_medmnist
from sambench.errors import DataError

COUNTS = {"train": 6, "val": 3, "test": 4}


def arrays(size: int = 28, *, colour: bool = False) -> dict[str, np.ndarray]:
    """Return what a MedMNIST archive holds, with random pixels and labels 0, 1, 0, 1 ..."""
    draw = np.random.default_rng(size)
    shape = (size, size, 3) if colour else (size, size)
    made = {}
    for part, count in COUNTS.items():
        made[f"{part}_images"] = draw.integers(0, 256, (count, *shape), dtype=np.uint8)
        made[f"{part}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    return made


@pytest.fixture
def archive(tmp_path):
    """Write an archive; returns its folder."""

    def write(name: str = "breastmnist.npz", given=None) -> Path:
        folder = tmp_path / "medmnist"
        folder.mkdir(exist_ok=True)
        np.savez_compressed(folder / name, **(arrays() if given is None else given))
        return folder

    return write


def test_breastmnist_is_turned_round(archive, scan):
    listing = scan("breastmnist", archive())
    assert listing.classes == ("benign", "malignant")
    assert [sample.label for sample in listing.samples[:2]] == ["malignant", "benign"]
    assert listing.samples[0].id == "train-0000"
    assert listing.samples[0].file == "breastmnist.npz#train_images/0"
    assert [s.facts["part"] for s in listing.samples] == (
        ["train"] * 6 + ["validation"] * 3 + ["test"] * 4
    )
    assert listing.notes[1].startswith("breastmnist.npz is not the published file (md5:750601b1")


def test_pneumoniamnist_is_not(archive, scan):
    listing = scan("pneumoniamnist", archive("pneumoniamnist.npz"))
    assert [sample.label for sample in listing.samples[:2]] == ["normal", "pneumonia"]


@pytest.mark.parametrize("colour", [False, True])
def test_the_pixels_are_prepared(archive, tmp_path, colour):
    given = arrays(28, colour=colour)
    source = sources.get("breastmnist")
    request = Request(folder=archive(given=given))
    prepared = prepare(source, request, tmp_path / "prepared", 28).prepared
    pixels = np.concatenate([given[f"{part}_images"] for part in COUNTS])
    assert np.array_equal(prepared.images, pixels.reshape(13, 28, 28, -1))
    assert prepared.manifest["account"] == Account(found=13, images=13, passed={})
    assert prepared.labels.tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 1, 0]
    assert prepared.column("sha256")[3] == hashlib.sha256(pixels[3].tobytes()).hexdigest()
    assert prepare(source, request, tmp_path / "prepared", 28).reused


def test_a_cut_preparation_of_an_archive_continues(archive, tmp_path):
    def cut(done: int, total: int, file: str) -> None:
        if done == 5:
            raise KeyboardInterrupt

    source, request = sources.get("breastmnist"), Request(folder=archive())
    with pytest.raises(KeyboardInterrupt):
        prepare(source, request, tmp_path / "prepared", 28, workers=1, on_progress=cut)
    assert prepare(source, request, tmp_path / "prepared", 28).resumed == 5


@pytest.mark.parametrize(
    ("size", "taken"),
    [(28, "breastmnist.npz"), (32, "breastmnist_64.npz"), (64, "breastmnist_64.npz"),
     (100, "breastmnist_224.npz"), (300, "breastmnist_224.npz")],
)  # fmt: skip
def test_the_archive_that_fits_the_size(archive, scan, size, taken):
    for name, side in (("", 28), ("_64", 64), ("_224", 224)):
        folder = archive(f"breastmnist{name}.npz", arrays(side))
    assert scan("breastmnist", folder, image_size=size).layout == taken


def test_a_file_may_be_named_itself(archive, scan):
    folder = archive("mine.npz")
    assert len(scan("breastmnist", folder / "mine.npz").samples) == 13


def test_pickled_objects_are_refused(archive, refused):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was executed",))

    given = {**arrays(), "val_labels": np.array([Bomb()] * 3)}
    path = archive(given=given) / "breastmnist.npz"
    message = refused("breastmnist", path)
    assert message.startswith(f"{path} has val_labels that cannot be read as plain numbers (")
    assert message.endswith("can run code and are refused; give the archive of this MedMNIST set")


def test_what_is_no_archive_of_this_kind(archive, refused):
    given = arrays()
    del given["test_labels"]
    path = archive(given=given) / "breastmnist.npz"
    assert refused("breastmnist", path).startswith(f"{path} has no array test_labels, but ")
    for wrong in (np.zeros((3, 28, 28)), *(np.zeros(n, np.uint8) for n in ((3, 28), (3, 9, 9, 4)))):
        path = archive(given={**arrays(), "val_images": wrong}) / "breastmnist.npz"
        said = f"{path} has val images {wrong.dtype} {wrong.shape} and"
        assert said in refused("breastmnist", path)
    given = {**arrays(), "train_labels": np.full((6, 1), 7, np.uint8)}
    path = archive(given=given) / "breastmnist.npz"
    assert refused("breastmnist", path) == (
        f"{path} has 7 in train_labels, not 0 (malignant), 1 (benign); give the archive of this "
        "MedMNIST set"
    )


def test_a_cut_archive(archive, refused):
    path = archive() / "breastmnist.npz"
    whole = path.read_bytes()
    page = b"<html>not found</html>"
    for damaged in (whole[: len(whole) // 2], b"", page, whole[:200] + b"\0" * 400 + whole[600:]):
        path.write_bytes(damaged)
        assert refused("breastmnist", path) == (
            f"{path} is no npz archive or cut short; download it again"
        )


def test_no_archive(tmp_path, refused):
    assert refused("breastmnist", tmp_path).startswith(
        f"no archive in {tmp_path}, which should hold breastmnist.npz or breastmnist_64.npz or "
    )


def test_it_is_downloaded_and_checked(archive, tmp_path):
    path = archive() / "breastmnist.npz"
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    remote = Remote(url=path.as_uri(), name=path.name, checksum=f"md5:{md5}")
    family = sources.get("breastmnist")
    family = replace(family, downloads=(remote, *family.downloads[1:]))
    request = Request(raw=tmp_path / "raw")
    listing = scan_medmnist(family, request)
    assert listing.root == tmp_path / "raw" / "breastmnist"
    assert len(listing.notes) == 1
    (listing.root / path.name).write_bytes(b"changed")
    with pytest.raises(DataError, match=r"; delete it to download it again$"):
        scan_medmnist(family, request)


def test_all_twelve_sets_are_there_with_their_counts():
    members = [source for source in sources.list() if "MedMNIST" in source.summary]
    assert len(members) == 12
    checksums = {remote.checksum for member in members for remote in member.downloads}
    assert len(checksums) == 48
    assert all(re.fullmatch("md5:[0-9a-f]{32}", checksum) for checksum in checksums)
    # the paper's abstract counts 708,069; version 3 has 107 fewer slices of the organs
    assert sum(sum(member.releases[0].values()) for member in members) == 707_962


def test_several_labels_for_an_image_are_refused(refused, tmp_path):
    assert "multi-label sets are not supported" in refused("chestmnist")
    arrays = {
        f"{part}_{kind}": np.zeros((3, 8, 8) if kind == "images" else (3, 14), np.uint8)
        for part in ("train", "val", "test")
        for kind in ("images", "labels")
    }
    np.savez(tmp_path / "chestmnist.npz", **arrays)
    assert "has 14 labels for each image" in refused("chestmnist", tmp_path)


def test_another_number_of_images_than_published_is_said(archive, tmp_path):
    source = sources.get("breastmnist")
    request = Request(folder=archive(), options=source.resolve({}))
    notes = prepare(source, request, tmp_path / "p", 28).prepared.manifest["notes"]
    assert (
        "13 of 780 images of the release (train 546, validation 78, test 156): is it complete, "
        "and is it this dataset?"
    ) in notes
