"""Every file is accounted for: found = images + tables + files named with the reason."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sambench.data.assembling import assemble, take_stock
from sambench.data.manifest import LeftOut
from sambench.data.preparation import prepare
from sambench.data.source import Listing, Request, Sample, Source, sources
from sambench.data.summary import grouped_reasons, sentences, summarize
from sambench.data.writing import Drops
from sambench.errors import DataError, UserError

FOLDER = sources.get("folder")


def request(root: Path, table: Path | None = None, **options) -> Request:
    return Request(folder=root, table=table, options=FOLDER.resolve(options))


def told(root: Path, table: Path | None = None, **options) -> list[str]:
    _, account = assemble(FOLDER, request(root, table, **options))
    assert account.found == account.images + len(account.tables) + sum(
        map(len, account.passed.values())
    )
    return [*sentences(account)]


CLASSES = ("benign/1.png", "benign/2.png", "malignant/1.png", "malignant/2.png")
ADDED = {
    "subfolders of a class": (
        ("benign/more/3.png", "benign/more/4.png"),
        ["passed over: 2 in benign/more/"],
    ),
    "other kinds": (
        ("benign/5.gif", "malignant/x.nii", "readme"),
        ["passed over: 1 .gif, 1 .nii, 1 without suffix"],
    ),
    "beside the class folders": (("a.png", "b.jpg"), ["passed over: 2 beside the folders"]),
    "hidden": ((".DS_Store", "benign/._1.png", "__MACOSX/benign/1.png"), ["passed over: 3 hidden"]),
    "a table that was not given": (("labels.csv",), ["passed over: 1 .csv"]),
    "masks beside classes": (("masks/1.png",), ["passed over: 1 in masks/"]),
    "nothing else": ((), []),
}


@pytest.mark.parametrize("case", ADDED)
def test_what_is_passed_over_is_named(plant, case):
    files, wanted = ADDED[case]
    root = plant(*CLASSES)
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")
    assert told(root) == wanted


def test_another_file_of_the_name_of_a_table_told_nothing(plant):
    root = plant(*CLASSES)
    for file, label in (("labels.csv", "q"), ("old/labels.csv", "r")):
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text(f"file,label\nbenign/1,p\nbenign/2,{label}\n")
    _, account = assemble(FOLDER, request(root, root / "labels.csv"))
    assert (account.tables, account.passed[".csv"]) == (("labels.csv",), ["old/labels.csv"])


def test_an_empty_class_is_named(plant):
    root = plant(*CLASSES)
    (root / "normal").mkdir()
    (root / "benign" / "later").mkdir()
    assert told(root) == ["empty folders: benign/later/, normal/"]


@pytest.mark.parametrize("file", ["normal/1.gif", "normal/patient1/1.png"])
def test_a_class_of_which_no_file_is_read_is_named(plant, scan, file):
    root = plant(*CLASSES)
    (root / file).parent.mkdir(parents=True)
    (root / file).write_bytes(b"x")
    (root / "__MACOSX").mkdir()
    listing = scan("folder", root)
    assert listing.notes == ("no image of class normal",)
    assert listing.classes == ("benign", "malignant")


def test_what_is_beside_a_wrapped_folder_is_named(plant):
    root = plant(*(f"archive/data/{file}" for file in CLASSES))
    (root / "notes.txt").write_text("x")
    assert told(root) == ["passed over: 1 .txt"]


def test_files_that_a_table_does_not_list(plant):
    root = plant(*CLASSES, "benign/9.png", "else/1.png")
    table = root / "labels.csv"
    table.write_text("file,label\n" + "".join(f"{f},{f.split('/')[0]}\n" for f in CLASSES))
    assert told(root, table) == ["passed over: 1 in else/, 1 not listed in labels.csv"]


def test_rows_of_other_classes(plant):
    root = plant(*CLASSES, "normal/9.png")
    table = root / "labels.csv"
    files = (*CLASSES, "normal/9.png")
    table.write_text("file,label\n" + "".join(f"{f},{f.split('/')[0]}\n" for f in files))
    assert told(root, table, classes="benign,malignant") == [
        "passed over: 1 of class normal, not wanted"
    ]


def test_a_link_to_a_folder_is_counted_once(plant):
    root = plant(*CLASSES)
    (root / "again").symlink_to(root / "benign", target_is_directory=True)
    listing = Listing(root=root, layout="", classes=(), samples=())
    assert take_stock((listing, root)).found == 4


def test_a_folder_that_may_not_be_opened_is_named(plant, monkeypatch):
    # the file system's own refusal is not to be had where tests run as root
    root = plant(*CLASSES, "benign/more/3.png")
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "more":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert told(root) == ["passed over: 1 folder that cannot be opened: benign/more/"]


def test_pages_after_the_first(plant, tmp_path):
    root = plant(*CLASSES)
    pages = [Image.fromarray(np.full((9, 9), 20 * n, np.uint8)) for n in range(4)]
    pages[0].save(root / "benign" / "stack.tif", save_all=True, append_images=pages[1:])
    moving = [Image.fromarray(np.eye(9, dtype=np.uint8) * (80 * n + 9)) for n in range(3)]
    moving[0].save(root / "benign" / "moving.png", save_all=True, append_images=moving[1:])
    first = prepare(FOLDER, request(root), tmp_path / "p", 8).prepared
    assert len(first) == 6
    assert summarize(first)["warnings"] == (
        "passed over: 5 pages after the first of 2 files (benign/moving.png, benign/stack.tif); "
        "`--pages all` reads them",
        "split holdout: no image of malignant is in the test part; prepare more images of it, or "
        "choose another split",
    )
    every = prepare(FOLDER, request(root, pages="all"), tmp_path / "p", 8).prepared
    assert len(every) == 4 + 4 + 3
    ids = [id for id in every.ids if "stack" in id]
    assert ids == [f"benign/stack#{number}" for number in (1, 2, 3, 4)]
    shown = [int(every.images[every.ids.index(id)].mean()) for id in ids]
    assert shown == [0, 20, 40, 60]
    assert len({g for id, g in zip(every.ids, every.groups, strict=True) if "stack" in id}) == 1


def test_every_frame_of_a_gif_that_a_table_names(plant):
    root = plant("1.png")
    shown = [Image.fromarray(np.eye(9, dtype=np.uint8) * (80 * n + 9)) for n in range(3)]
    shown[0].save(root / "2.gif", save_all=True, append_images=shown[1:])
    (root / "t.csv").write_text("file,label\n1.png,p\n2.gif,q\n")
    listing, _ = assemble(FOLDER, request(root, root / "t.csv", pages="all"))
    assert [one.id for one in listing.samples] == ["1", "2#1", "2#2", "2#3"]


def test_webp_and_bmp_are_images(plant, scan):
    root = plant("a/1.webp", "a/2.bmp", "b/1.webp")
    assert len(scan("folder", root).samples) == 3


def test_the_account_is_kept_with_the_data_and_follows_the_disk(plant, tmp_path):
    root = plant(*CLASSES)
    one = prepare(FOLDER, request(root), tmp_path / "p", 8)
    assert prepare(FOLDER, request(root), tmp_path / "p", 8).reused
    (root / "benign" / "5.gif").write_bytes(b"x")
    two = prepare(FOLDER, request(root), tmp_path / "p", 8)
    assert not two.reused
    assert two.prepared.fingerprint == one.prepared.fingerprint
    manifest = json.loads((two.prepared.folder / "manifest.json").read_text())
    assert manifest["account"]["passed"] == {".gif": ["benign/5.gif"]}
    assert manifest["account"]["found"] == 5


def test_thousands_that_cannot_be_read_are_one_line():
    images = [LeftOut(id=str(n), file=f"{n}.png", reason="is damaged: x") for n in range(3000)]
    images.append(LeftOut(id="y", file="", reason="has no image file"))
    assert [*grouped_reasons(images)] == [
        "left out, is damaged: 3,000 (0.png, 1.png, 2.png ... and 2997 more)",
        "left out, has no image file: 1 (y)",
    ]


def test_what_is_dropped_is_said_and_the_notes_are_of_what_is_kept(plant, tmp_path):
    files = [
        f"{part}/{label}/{n}.png" for part in ("train", "test") for label in "ab" for n in "123"
    ]
    root = plant(*files)
    (root / "train/b/3.png").write_bytes((root / "train/a/3.png").read_bytes())
    done = prepare(FOLDER, request(root), tmp_path / "p", 8, drops=Drops(conflicts=True)).prepared
    summary = summarize(done)
    assert "the authors' parts (and images): train (4), test (6)" in summary["notes"]
    assert summary["warnings"] == (
        "left out, copies with conflicting labels: 2 (train/a/3.png, train/b/3.png)",
        "split holdout: 4 of the 6 images that the source sets apart for testing are trained on; "
        "`--split authors` keeps them apart (in a suite `split: authors`)",
    )
    assert [id for id, _ in summary["dropped"]] == ["train/a/3", "train/b/3"]


def test_names_that_a_table_of_text_cannot_hold_are_refused_before_decoding(plant, tmp_path):
    root = plant(*CLASSES)
    hidden = [f"{name}.png".encode() for name in ("c\u200bd", "e\u202ef", "g\x1b[31m", "h\x9b")]
    for name in (b"a\r.png", b"b\n.png", b"\xff.png", b'it\'s, "quoted".png', *hidden):
        path = root / "benign" / os.fsdecode(name)
        path.write_bytes((root / "benign/1.png").read_bytes())
    with pytest.raises(DataError) as caught:
        prepare(FOLDER, request(root), tmp_path / "p", 8)
    message = str(caught.value)
    assert "\n" not in message and "\r" not in message
    assert message.startswith(
        f"names in {root} with line breaks, hidden characters or bytes that are not UTF-8: "
    )
    assert "'benign/a\\r.png'" in message and "'benign/\\udcff.png'" in message
    assert "quoted" not in message and message.isprintable()
    assert "c\\u200bd" in message and "e\\u202ef" in message and "g\\x1b[31m" in message
    for path in (root / "benign").iterdir():
        if not path.name.isprintable() or not path.name.isascii():
            path.unlink()
    prepared = prepare(FOLDER, request(root), tmp_path / "p", 8).prepared
    assert 'benign/it\'s, "quoted"' in prepared.ids


def test_a_locale_that_spoils_names_is_refused_unless_they_are_plain(plant, tmp_path, monkeypatch):
    monkeypatch.setattr("sambench.data.assembling.SET_UTF8", "set it")
    plain = prepare(FOLDER, request(plant("a/1.png", "b/2.png")), tmp_path / "p", 8).prepared
    assert plain.ids == ("a/1", "b/2")
    with pytest.raises(DataError, match=r"not UTF-8: .*/1.png'; set it$"):
        prepare(FOLDER, request(plant("bö/1.png", "c/2.png")), tmp_path / "q", 8)


NAMES = st.sampled_from(
    ["1.png", "2.PNG", "3.gif", "4.dcm", "5.txt", ".x.png", "6.tif", "labels.csv", "7", "8.webp"]
)
FOLDERS = st.lists(
    st.sampled_from(["a", "b", "images", "masks", "train", "test", "more", "A"]), max_size=4
)
TREES = st.sets(st.tuples(FOLDERS.map(tuple), NAMES), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=TREES)
def test_no_file_is_lost_in_any_tree(tree, tmp_path_factory):
    """A tree is refused in words, or each file of it is an image or named with a reason."""
    root = tmp_path_factory.mktemp("tree")
    for folders, name in tree:
        place = root.joinpath(*folders)
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"x")
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    try:
        listing, account = assemble(FOLDER, request(root))
    except UserError as error:
        assert str(error)
        return
    images = [sample.path.relative_to(root).as_posix() for sample in listing.samples]
    passed = [file for named in account.passed.values() for file in named]
    assert sorted([*images, *account.tables, *passed]) == sorted(files)
    assert account.found == len(files)
    assert all(account.passed)  # no reason is empty


def sample(id: str, label: str = "a", pixels: object = None, **facts: object) -> Sample:
    return Sample(id=id, path=Path(id), file=id, label=label, facts=facts, pixels=pixels)


GREY = np.zeros((4, 4), dtype=np.uint8)
AT_FAULT = {
    "returns is no Listing": None,
    "returns has no image": [],
    "returns has two images of the id 1": [sample("1"), sample("1", "b")],
    "returns has the label 'c' of 2, which is none of ('a', 'b')": [sample("1"), sample("2", "c")],
    "returns has pixels float64 (4, 4) of 1, not uint8 (H, W) or (H, W, 3)": [
        sample("1", pixels=GREY / 255)
    ],
    "returns has pixels uint8 (4, 4, 1) of 1, not uint8 (H, W) or (H, W, 3)": [
        sample("1", pixels=GREY[..., None])
    ],
    "returns has pixels uint8 (0, 4) of 1, not uint8 (H, W) or (H, W, 3)": [
        sample("1", pixels=GREY[:0])
    ],
    "returns has pixels uint8 (4,) of 1, not uint8 (H, W) or (H, W, 3)": [
        sample("1", pixels=GREY[0])
    ],
    "returns has pixels in a list () of 1, not uint8 (H, W) or (H, W, 3)": [
        sample("1", pixels=GREY.tolist())
    ],
    "returns has the fold True of 1, which is no whole number": [sample("1", fold=True)],
    "returns has the part 'val' of 1, which is none of ('train', 'validation', 'test')": [
        sample("1", part="val")
    ],
    "returns has the fold 'one' of 1, which is no whole number": [sample("1", fold="one")],
    "returns has the fact 'sha256' of 1, a name that a column of every set has": [
        sample("1", sha256="0")
    ],
    "returns has the fact 'label' of 1, a name that a column of every set has": [
        replace(sample("1"), facts={"label": "b"})
    ],
    "returns has the age np.int64(40) of 1, not a text, a number of Python or None": [
        sample("1", age=np.int64(40))
    ],
    "returns has the patient nan of 1, not a text, a number of Python or None": [
        sample("1", patient=float("nan"))
    ],
}


@pytest.mark.parametrize("told", AT_FAULT)
def test_a_scan_at_fault_is_refused_before_anything_is_decoded(told: str, tmp_path: Path) -> None:
    found = AT_FAULT[told]
    listing = (
        None
        if found is None
        else Listing(root=tmp_path, layout="", classes=("a", "b"), samples=tuple(found))
    )
    source = Source(name="mine", summary="", scan=lambda request: listing, image_size=8)
    with pytest.raises(DataError) as caught:
        assemble(source, Request())
    assert str(caught.value) == f"what the scan of dataset 'mine' {told}; mend it"


@pytest.mark.parametrize("classes", [("a",), ("a", "b", "a"), (0, 1), ("", "b"), ()])
def test_classes_are_two_or_more_different_names(classes: tuple, tmp_path: Path) -> None:
    listing = Listing(root=tmp_path, layout="", classes=classes, samples=(sample("1"),))
    source = Source(name="mine", summary="", scan=lambda request: listing, image_size=8)
    with pytest.raises(DataError, match="not two or more different names; mend it"):
        assemble(source, Request())


def test_an_id_of_two_lines_is_refused(tmp_path: Path) -> None:
    samples = (sample("1"), replace(sample("2"), id="2\n3"))
    listing = Listing(root=tmp_path, layout="", classes=("a", "b"), samples=samples)
    source = Source(name="mine", summary="", scan=lambda request: listing, image_size=8)
    with pytest.raises(DataError, match="with line breaks, hidden characters"):
        assemble(source, Request())


def test_a_patient_has_one_spelling(tmp_path: Path) -> None:
    told = (12, "12", 12.0, " 12 ", "P07", "p07\u200b", "P 8", None, 0)
    samples = tuple(
        sample(f"{place}", "ab"[place % 2], GREY, patient=patient)
        for place, patient in enumerate(told)
    )
    listing = Listing(root=tmp_path, layout="", classes=("a", "b"), samples=samples)
    source = Source(name="mine", summary="", scan=lambda request: listing, image_size=8)
    alike = [one.facts["patient"] for one in assemble(source, Request())[0].samples]
    assert alike == ["12", "12", "12", "12", "P07", "P07", "P 8", None, "0"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12", "012"),
        ("12.0", "12"),
        ("7", "7,0"),
        ("P-07", "P07"),
        ("P_7", "p07"),
        ("S1-01", "S1-1"),
    ],
)
def test_a_patient_who_seems_to_be_written_in_two_ways_is_asked_about(plant, one, other):
    root = plant("1.png", "2.png", "3.png")
    table = root / "t.csv"
    table.write_text(f"file;label;patient\n1;a;{one}\n2;b;{other}\n3;a;x\n")
    with pytest.raises(DataError) as caught:
        assemble(FOLDER, request(root, table))
    assert str(caught.value) == (
        f"patients of {root} who differ in zeros or separators alone: '{one}' and '{other}'; "
        "write each in one way, or `--set similar=keep` if they are different patients"
    )
    kept, _ = assemble(FOLDER, request(root, table, similar="keep"))
    assert [one.facts["patient"] for one in kept.samples] == [one, other, "x"]


@pytest.mark.parametrize(("one", "other"), [("1-23", "12-3"), ("10", "1"), ("S1-1", "S11")])
def test_other_patients_are_not_asked_about(plant, one, other):
    root = plant("1.png", "2.png")
    (root / "t.csv").write_text(f"file,label,patient\n1,a,{one}\n2,b,{other}\n")
    listing, _ = assemble(FOLDER, request(root, root / "t.csv"))
    assert [one.facts["patient"] for one in listing.samples] == [one, other]


def test_a_centre_that_seems_to_be_written_in_two_ways_is_asked_about(plant):
    root = plant("1.png", "2.png", "3.png")
    table = root / "t.csv"
    table.write_text("file,label,hospital\n1,a,Bonn 1\n2,b,BONN-01\n3,a,Ulm\n")
    with pytest.raises(DataError) as caught:
        assemble(FOLDER, request(root, table))
    assert str(caught.value) == (
        f"centres of {root} that differ in case, zeros or separators alone: 'BONN-01' and "
        "'Bonn 1'; write each in one way, or `--set similar=keep` if they are different centres"
    )
    kept, _ = assemble(FOLDER, request(root, table, similar="keep"))
    assert [one.facts["centre"] for one in kept.samples] == ["Bonn 1", "BONN-01", "Ulm"]


def test_patients_whom_several_centres_name_are_said(plant, tmp_path):
    root = plant("1.png", "2.png", "3.png")
    (root / "t.csv").write_text("file,label,patient,centre\n1,a,7,A\n2,b,7,B\n3,a,8,B\n")
    done = prepare(FOLDER, request(root, root / "t.csv"), tmp_path / "prepared", 8)
    assert "1 of 2 patients are in several centres: 7" in done.prepared.manifest.notes
