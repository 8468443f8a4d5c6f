from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from sambench.data import decoding
from sambench.data.manifest import IMAGES, SAMPLES, fingerprint
from sambench.data.partial import COMMIT_EVERY, RECORD
from sambench.data.preparation import Preparation, prepare
from sambench.data.prepared import Prepared, check_pixels, open_prepared, prepare_command
from sambench.data.source import Request, sources
from sambench.data.summary import summarize
from sambench.data.writing import Drops
from sambench.errors import DataError, StoreError, UnpreparedError

PREPARED = (SAMPLES, IMAGES)
WORKBOOK = "BIRADS&FOLD.xlsx"
IDS = tuple(f"{label}({number})" for label in ("benign", "malignant") for number in range(6))


def run(release: Path, **options: object) -> Preparation:
    """Prepare a release into the folder beside it."""
    request = Request(table=release / WORKBOOK)
    size = options.pop("size", 16)
    return prepare(sources.get("bus"), request, release.parent / "prepared", size, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def cut_after(count: int):
    """Return a progress callback that interrupts after some images."""

    def on_progress(done: int, total: int, file: str) -> None:
        if done == count:
            raise KeyboardInterrupt

    return on_progress


def test_images_labels_and_columns(bus_folder):
    release = bus_folder(IDS)
    prepared = run(release).prepared
    assert prepared.images.shape == (12, 16, 16, 3)
    assert prepared.labels.tolist() == [0] * 6 + [1] * 6
    assert prepared.ids == IDS
    for id, file, checksum, pixels in zip(
        IDS, prepared.column("file"), prepared.column("sha256"), prepared.images, strict=True
    ):
        path = release / str(file)
        assert path.stem == id
        assert checksum == hashlib.sha256(path.read_bytes()).hexdigest()
        resized = Image.open(path).resize((16, 16), Image.Resampling.BILINEAR)
        assert np.array_equal(pixels, resized)
    assert prepared.column("fold") == (0, 1) * 6
    assert prepared.column("birads_reader1") == ("4A",) * 12


def test_the_folder_is_complete_and_nothing_else_is_left(bus_folder):
    release = bus_folder(IDS)
    prepared = run(release).prepared
    assert names(prepared.folder) == ["images.npy", "manifest.json", "samples.csv"]
    assert names(prepared.folder.parent) == ["bus-16"]
    manifest = json.loads((prepared.folder / "manifest.json").read_text())
    assert manifest["counts"] == {"benign": 6, "malignant": 6}
    assert manifest["preprocessing"]["filter"].startswith("bilinear")
    assert list(manifest["checksums"]) == [WORKBOOK]
    assert str(release) not in json.dumps(manifest)


def test_only_grey_images_make_one_channel(bus_folder):
    release = bus_folder((*IDS[:2], IDS[-1]))
    for path in release.glob("*/*.png"):
        grey = Image.open(path).convert("L")
        grey.convert("RGB").save(path)
    assert run(release).prepared.images.shape == (3, 16, 16, 1)
    Image.fromarray(np.full((9, 9, 3), (9, 0, 0), np.uint8)).save(release / "GDPH/benign(1).png")
    images = run(release).prepared.images
    assert images.shape == (3, 16, 16, 3)
    assert (images[0] == images[0, ..., :1]).all()


def test_the_number_of_threads_does_not_matter(bus_folder):
    release = bus_folder(IDS)
    one = run(release, workers=1).prepared.fingerprint
    shutil.rmtree(release.parent / "prepared")
    assert run(release, workers=4).prepared.fingerprint == one


def test_progress_counts_every_image(bus_folder):
    told: list[tuple[int, int, str]] = []
    run(bus_folder(IDS), on_progress=lambda *what: told.append(what))
    assert [done for done, _, _ in told] == list(range(1, 13))
    assert {total for _, total, _ in told} == {12}
    assert {Path(file).stem for _, _, file in told} == set(IDS)


def test_the_same_request_is_reused_and_a_changed_file_is_not(bus_folder):
    release = bus_folder(IDS)
    first = run(release)
    again = run(release)
    assert (first.reused, again.reused) == (False, True)
    shutil.copy(release / "GDPH/benign(1).png", release / "SYSUCC/benign(0).png")
    changed = run(release)
    assert not changed.reused
    assert changed.prepared.fingerprint != first.prepared.fingerprint
    assert np.array_equal(changed.prepared.images[0], changed.prepared.images[1])


def test_the_order_of_the_classes_is_in_the_fingerprint_where_it_is_not_the_usual_one(plant):
    root = plant(*(f"{label}/{number}.png" for label in ("b1", "b10", "b2") for number in range(3)))
    source = sources.get("folder")

    def prepared(classes: str) -> Prepared:
        asked = Request(folder=root, options=source.resolve({"classes": classes}))
        return prepare(source, asked, root.parent / "p", 8).prepared

    usual, said = prepared(""), prepared("b1,b2,b10")
    files = usual.manifest.files
    assert usual.fingerprint == said.fingerprint == fingerprint(*(files[n] for n in PREPARED))
    assert (usual.manifest.changed, usual.classes) == ({}, said.classes)
    other = prepared("b10,b1,b2")
    assert other.manifest.files == files
    assert len({usual.fingerprint, other.fingerprint, prepared("b2,b1,b10").fingerprint}) == 3


def test_the_own_order_of_a_source_is_usual(plant):
    """What was prepared before the order of classes counted keeps its fingerprint."""
    labels = ("normal", "benign", "malignant")
    root = plant(*(f"{label}/{label} ({number}).png" for label in labels for number in range(3)))
    source = sources.get("busi")
    for drop, classes in (("keep", labels), ("drop", labels[1:])):
        asked = Request(folder=root, options=source.resolve({"normal": drop}))
        prepared = prepare(source, asked, root.parent / "p", 8, name="ours").prepared
        assert (prepared.classes, prepared.manifest.changed) == (classes, {})


def test_a_damaged_result_is_prepared_anew(bus_folder):
    release = bus_folder(IDS)
    first = run(release).prepared
    with (first.folder / "images.npy").open("r+b") as file:
        file.truncate(1000)
    again = run(release)
    assert not again.reused
    assert again.prepared.fingerprint == first.fingerprint


def test_a_flipped_bit_of_the_pixels_is_mended_from_the_source(bus_folder):
    release = bus_folder(IDS)
    first = run(release).prepared
    assert run(release).reused
    pixels = (first.folder / "images.npy").read_bytes()
    for place in (128, len(pixels) // 2, len(pixels) - 1):
        flip(first.folder / "images.npy", place)
        damaged = open_prepared(release.parent / "prepared", "bus", 16)
        with pytest.raises(UnpreparedError) as caught:
            check_pixels(damaged)
        assert str(caught.value) == (
            f"{first.folder / 'images.npy'} is damaged: its checksum is not the one that "
            f"preparation wrote down; run `{prepare_command('bus', 16)}` again, with the options "
            "that it was prepared with, which mends it"
        )
        mended = run(release)
        assert not mended.reused
        assert mended.prepared.fingerprint == first.fingerprint
        assert (first.folder / "images.npy").read_bytes() == pixels
        check_pixels(mended.prepared)


def test_every_block_of_the_pixels_has_a_checksum(bus_folder, monkeypatch):
    monkeypatch.setattr("sambench.data.prepared.BLOCK_BYTES", 1000)
    prepared = run(bus_folder(IDS)).prepared
    pixels = (prepared.folder / "images.npy").read_bytes()
    parts = [pixels[start : start + 1000] for start in range(0, len(pixels), 1000)]
    assert prepared.manifest["image_blocks"] == [hashlib.sha256(p).hexdigest() for p in parts]
    assert prepared.manifest["files"]["images.npy"] == hashlib.sha256(pixels).hexdigest()
    assert len(parts) > 9
    assert 0 < len(parts[-1]) < 1000


def flip(path: Path, place: int) -> None:
    """Turn one bit of a file over."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_what_has_no_room_leaves_nothing(bus_folder, monkeypatch):
    release = bus_folder(IDS)
    monkeypatch.setattr("sambench.files.atomic.free_bytes", lambda root: 0)
    with pytest.raises(StoreError, match="free some space"):
        run(release)
    assert names(release.parent / "prepared") == []


@pytest.mark.parametrize("torn", [5, 3 * RECORD.itemsize + 5])
def test_a_cut_preparation_continues(bus_folder, torn):
    """A power cut may leave the file of records as short as it was before it last grew."""
    release = bus_folder(IDS)
    with pytest.raises(KeyboardInterrupt):
        run(release, workers=1, on_progress=cut_after(5))
    root = release.parent / "prepared"
    assert names(root) == [".bus-16.partial"]
    records = root / ".bus-16.partial" / "records"
    os.truncate(records, torn)
    whole_ones = np.fromfile(records, RECORD, torn // RECORD.itemsize)  # in the order they came in
    resumed = run(release)
    assert resumed.resumed == np.count_nonzero(whole_ones["channels"])
    fingerprint = resumed.prepared.fingerprint
    shutil.rmtree(root)
    whole = run(release)
    assert (whole.resumed, whole.prepared.fingerprint) == (0, fingerprint)


def test_images_are_written_once_and_what_a_killed_write_left_is_removed(bus_folder):
    release = bus_folder(IDS)
    with pytest.raises(KeyboardInterrupt):
        run(release, workers=1, on_progress=cut_after(5))
    work = release.parent / "prepared" / ".bus-16.partial"
    (images,) = work.glob("*/images.npy")
    assert images.stat().st_size == 128 + 12 * 16 * 16 * 3
    number = images.stat().st_ino
    images.with_name(".images.npy.0123456789ab.tmp").write_bytes(b"half")
    done = run(release)
    assert done.resumed == 5
    assert names(done.prepared.folder) == ["images.npy", "manifest.json", "samples.csv"]
    assert (done.prepared.folder / "images.npy").stat().st_ino == number


@pytest.mark.parametrize("cut", [0, 3])
def test_the_first_image_in_colour_makes_places_larger(bus_folder, cut):
    release = bus_folder(IDS)
    colour = release / "GDPH/malignant(5).png"
    for path in release.glob("*/*.png"):
        if path != colour:
            Image.open(path).convert("L").save(path)
    if cut:
        with pytest.raises(KeyboardInterrupt):
            run(release, workers=1, on_progress=cut_after(cut))
    done = run(release)
    assert (done.resumed, done.prepared.images.shape) == (cut, (12, 16, 16, 3))
    for file, pixels in zip(done.prepared.column("file"), done.prepared.images, strict=True):
        resized = Image.open(release / file).resize((16, 16), Image.Resampling.BILINEAR)
        assert np.array_equal(pixels, resized.convert("RGB"))
    shutil.copy(colour, release / "SYSUCC/benign(0).png")
    assert run(release, drops=Drops(conflicts=True)).prepared.images.shape == (10, 16, 16, 1)


def test_a_cut_preparation_survives_a_second_cut(bus_folder):
    release = bus_folder(IDS)
    for count in (5, 9):
        with pytest.raises(KeyboardInterrupt):
            run(release, workers=1, on_progress=cut_after(count))
    assert run(release).resumed == 9


def test_after_files_have_changed_a_cut_preparation_begins_anew(bus_folder):
    release = bus_folder(IDS)
    with pytest.raises(KeyboardInterrupt):
        run(release, workers=1, on_progress=cut_after(9))
    shutil.copy(release / "GDPH/benign(1).png", release / "SYSUCC/benign(0).png")
    changed = run(release)
    assert changed.resumed == 0
    assert np.array_equal(changed.prepared.images[0], changed.prepared.images[1])


def test_a_cut_preparation_continues_whatever_is_left_out_now(bus_folder):
    release = bus_folder(IDS)
    with pytest.raises(KeyboardInterrupt):
        run(release, workers=1, on_progress=cut_after(9))
    assert run(release, drops=Drops(duplicates=True)).resumed == 9


def test_what_was_decoded_for_another_preprocessing_is_not_used(bus_folder, monkeypatch):
    release = bus_folder(IDS)
    with pytest.raises(KeyboardInterrupt):
        run(release, on_progress=cut_after(5))
    monkeypatch.setitem(decoding.PREPROCESSING, "filter", "another")
    assert run(release).resumed == 0


def test_more_images_than_one_commit(bus_folder):
    ids = [*(f"benign({number})" for number in range(COMMIT_EVERY + 2)), "malignant(0)"]
    assert run(bus_folder(ids, side=4), size=4).prepared.ids == tuple(ids)


def test_all_unusable_images_are_named_and_nothing_is_left(bus_folder):
    release = bus_folder(IDS)
    empty, cut = release / "SYSUCC/benign(0).png", release / "GDPH/malignant(5).png"
    whole = cut.read_bytes()
    empty.write_bytes(b"")
    cut.write_bytes(whole[:200])
    with pytest.raises(DataError) as caught:
        run(release)
    message = str(caught.value)
    assert message.startswith(f"unusable images in {release}: SYSUCC/benign(0).png is empty, ")
    assert "GDPH/malignant(5).png is damaged: " in message
    assert message.endswith(
        "; restore the files or leave these images out with `--skip-unreadable`"
    )
    assert names(release.parent / "prepared") == []
    for path in (empty, cut):
        path.write_bytes(whole)
    assert run(release).prepared.ids == IDS


def test_missing_images_are_named(bus_folder):
    release = bus_folder(IDS)
    for file in ("SYSUCC/benign(0).png", "GDPH/malignant(5).png"):
        (release / file).unlink()
    with pytest.raises(DataError) as caught:
        run(release)
    assert str(caught.value) == (
        f"unusable images in {release}: benign(0) has no image file, "
        "malignant(5) has no image file; "
        "restore the files or leave these images out with `--skip-unreadable`"
    )


def test_skipped_images_are_recorded(bus_folder):
    release = bus_folder(IDS)
    (release / "SYSUCC/benign(0).png").unlink()
    (release / "GDPH/benign(1).png").write_bytes(b"")
    prepared = run(release, skip_unreadable=True).prepared
    assert prepared.ids == IDS[2:]
    assert [dict(image) for image in prepared.manifest.skipped] == [
        {"id": "benign(0)", "file": "", "reason": "has no image file"},
        {"id": "benign(1)", "file": "GDPH/benign(1).png", "reason": "is empty"},
    ]
    assert run(release, skip_unreadable=True).reused
    with pytest.raises(DataError, match="has no image file"):
        run(release)


def test_nothing_usable_at_all(bus_folder):
    release = bus_folder(IDS[::6])
    for path in release.glob("*/*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no usable image in .*; give another folder"):
        run(release, skip_unreadable=True)


def test_two_at_once_do_not_harm_each_other(bus_folder):
    release = bus_folder(IDS)
    refusals: list[str] = []

    def second(done: int, total: int, file: str) -> None:
        with pytest.raises(DataError) as caught:
            run(release)
        refusals.append(str(caught.value))

    assert len(run(release, on_progress=second).prepared) == 12
    final = release.parent / "prepared" / "bus-16"
    assert set(refusals) == {f"another process is preparing {final}; wait until it is done"}


@pytest.mark.parametrize("system_call", ["pwrite", "posix_fallocate"])
def test_a_full_disk_is_a_store_error_and_leaves_nothing_to_open(
    bus_folder, monkeypatch, system_call
):
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    release = bus_folder(IDS)
    with monkeypatch.context() as patch, pytest.raises(StoreError) as caught:
        patch.setattr(os, system_call, full)
        run(release)
    assert str(caught.value).startswith(f"cannot write in {release.parent / 'prepared'}")
    assert str(caught.value).endswith(
        ": No space left on device; free some space there or choose another folder"
    )
    assert "bus-16" not in names(release.parent / "prepared")
    assert len(run(release).prepared) == 12


def test_identical_files_share_a_group_and_conflicts_are_counted(bus_folder):
    release = bus_folder(IDS)
    copies = {"benign(2)": "benign(0)", "malignant(3)": "benign(0)", "malignant(5)": "malignant(4)"}
    files = {path.stem: path for path in release.glob("*/*.png")}
    for copy, original in copies.items():
        shutil.copy(files[original], files[copy])
    prepared = run(release).prepared
    groups = dict(zip(prepared.ids, prepared.groups, strict=True))
    assert groups == {id: copies.get(id, id) for id in IDS}
    assert summarize(prepared)["duplicates"] == {
        **{"groups": 2, "images": 5, "conflicting": 1},
        "examples": (("benign(0)", "malignant(3)"),),
    }


def test_the_summary_counts(bus_folder):
    release = bus_folder(IDS)
    Image.new("RGB", (50, 10)).save(release / "GDPH/benign(1).png")
    (release / "GDPH/malignant(5).png").unlink()
    summary = summarize(run(release, skip_unreadable=True).prepared)
    assert (summary["name"], summary["images"], summary["image_size"], summary["channels"]) == (
        "bus",
        11,
        16,
        3,
    )
    assert summary["by_class"] == {"benign": 6, "malignant": 5}
    assert summary["by_centre"] == {
        "GDPH": {"benign": 3, "malignant": 2},
        "SYSUCC": {"benign": 3, "malignant": 3},
    }
    assert summary["by_fold"] == {
        0: {"benign": 3, "malignant": 3},
        1: {"benign": 3, "malignant": 2},
    }
    assert summary["width"] == {"min": 28, "median": 28, "max": 50}
    assert summary["height"] == {"min": 10, "median": 24, "max": 24}
    assert summary["skipped"] == (("malignant(5)", "has no image file"),)
    assert not any("may be copies" in warning for warning in summary["warnings"])
    assert summary["notes"] == (
        "11 of 2,405 images of the release (benign 886, malignant 1,519): is it complete, and is "
        "it this dataset?",
        "numbers of the folds (and images): 0 (6), 1 (5)",
    )


def test_possible_copies_are_in_the_summary(bus_folder):
    prepared = run(bus_folder(IDS)).prepared
    found = msgspec.structs.replace(prepared.manifest, possible_copies=1200)
    summary = summarize(replace(prepared, manifest=found))
    assert summary["warnings"][-1] == (
        "pairs of images that may be copies, too unsure to act on: 1,200; `--audit` shows them"
    )


@pytest.mark.real
def test_the_real_images(real_data, tmp_path):
    table = real_data / "gdph_sysucc_layout" / "GDPH&SYSUCC" / WORKBOOK
    prepared = prepare(sources.get("bus"), Request(table=table), tmp_path, 64).prepared
    summary = summarize(prepared)
    assert prepared.images.shape == (647, 64, 64, 3)
    assert summary["by_class"] == {"benign": 437, "malignant": 210}
    assert (summary["width"]["min"], summary["width"]["max"]) == (256, 256)
    assert any("('c')" in note for note in summary["notes"])
    assert (summary["duplicates"]["groups"], summary["duplicates"]["conflicting"]) == (1, 1)
    benign, malignant = summary["duplicates"]["examples"][0]
    groups = dict(zip(prepared.ids, prepared.groups, strict=True))
    assert benign.startswith("benign")
    assert malignant.startswith("malignant")
    assert groups[benign] == groups[malignant] == benign


def test_settings_that_are_not_usual_are_part_of_the_fingerprint(bus_folder):
    """Also where they change no byte, as the shape of images that are square already."""
    release = bus_folder(IDS, side=16)
    for path in release.glob("*/*.png"):
        Image.open(path).crop((0, 0, 12, 12)).save(path)
    source = sources.get("bus")

    def fitted(fit: str) -> Prepared:
        request = Request(folder=release, options=source.resolve({"fit": fit}))
        return prepare(source, request, release.parent / f"prepared-{fit}", 16).prepared

    usual, boxed = fitted("squash"), fitted("letterbox")
    assert np.array_equal(usual.images, boxed.images)
    assert usual.manifest["files"] == boxed.manifest["files"]
    assert usual.fingerprint != boxed.fingerprint
    assert usual.fingerprint == run(release).prepared.fingerprint
    assert boxed.manifest["preprocessing"]["resize"].endswith("aspect ratio kept and black bars")
    assert boxed.manifest["options"] == {"fit": "letterbox"}


def test_the_range_of_deep_images_is_that_of_the_whole_set(tmp_path):
    """A cut preparation that begins anew with a brighter image scales all by that."""
    root = tmp_path / "images"
    for number in range(6):
        folder = root / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        level = 100 * (number + 1)
        Image.fromarray(np.full((9, 9), level, np.uint16)).save(folder / f"{number}.png")
    source = sources.get("folder")
    request = Request(folder=root, options=source.resolve({}))

    def levels() -> list[int]:
        done = prepare(source, request, tmp_path / "p", 8).prepared
        told = [note for note in done.manifest["notes"] if "16-bit" in note]
        assert len(told) == 1
        return sorted(int(image.mean()) for image in done.images)

    assert levels() == [round(100 * n * 255 / 1023) for n in range(1, 7)]
    with pytest.raises(KeyboardInterrupt):
        prepare(source, request, tmp_path / "q", 8, workers=1, on_progress=cut_after(5))
    Image.fromarray(np.full((9, 9), 4000, np.uint16)).save(root / "a" / "9.png")
    done = prepare(source, request, tmp_path / "q", 8)
    assert sorted(int(image.mean()) for image in done.prepared.images) == [
        *(round(100 * n * 255 / 4095) for n in range(1, 7)),
        round(4000 * 255 / 4095),
    ]
    named = Request(folder=root, options=source.resolve({"depth": 16}))
    assert prepare(source, named, tmp_path / "p", 8).prepared.images.max() == round(4000 / 257)
