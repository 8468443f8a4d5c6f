from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sambench.data.assembling import assemble
from sambench.data.preparation import prepare
from sambench.data.source import Request, sources
from sambench.data.sources.class_folders import refuse_misspelled
from sambench.data.writing import notes_on
from sambench.errors import ConfigError, DataError


def test_class_folders(plant, scan):
    root = plant("cats/1.png", "cats/10.png", "cats/2.png", "Dogs/1.png")
    listing = scan("folder", root)
    assert listing.classes == ("Dogs", "cats")
    assert [sample.id for sample in listing.samples] == ["Dogs/1", "cats/1", "cats/2", "cats/10"]
    assert listing.layout == "a folder for each class"


def test_what_looks_like_masks_is_told(plant, scan):
    listing = scan("folder", plant("cats/1.png", "cats/2_mask.png", "dogs/1.png"))
    assert listing.notes == ("read as images, though their names are of masks: cats/2_mask",)


@pytest.mark.parametrize(
    "mask",
    [
        *("_mask", "_Mask", "-mask", " MASK", ".mask", "_mask_2", " - masks", "_seg"),
        *("_segmentation", "_gt", "_ground_truth", "_label", "_annotation", "_roi", "_contour"),
        *("_lesion", "-Tumor", "_tumour_2", "_lesions"),
    ],
)
def test_masks_beside_images_are_passed_over(plant, scan, mask):
    root = plant("cats/1.png", f"cats/1{mask}.png", "cats/label.png", "dogs/1.png", "dogs/1a.png")
    listing = scan("folder", root)
    assert [sample.id for sample in listing.samples] == [
        "cats/1",
        "cats/label",
        "dogs/1",
        "dogs/1a",
    ]
    assert listing.passed == {f"cats/1{mask}.png": "masks beside images"}
    assert listing.notes == ()


@pytest.mark.parametrize(
    ("mask", "image"),
    [
        *(("mask_1", "1"), ("Mask-1", "image_1"), ("mask1", "img1"), ("mask_1", "benign_1")),
        *(("ground truth (1)", "us (1)"), ("seg_a.b", "scan_a.b")),
    ],
)
def test_masks_with_the_number_of_an_image_are_passed_over(plant, scan, mask, image):
    images = [f"cats/{image}.png", "cats/2.png", "dogs/1.png"]
    listing = scan("folder", plant(*images, f"cats/{mask}.png"))
    assert sorted(sample.file for sample in listing.samples) == sorted(images)
    assert listing.passed == {f"cats/{mask}.png": "masks beside images"}
    assert listing.notes == ()


def test_words_in_names_that_mean_no_mask(plant, scan):
    """Without an image of the same name or number, in the same folder, they are images."""
    names = ["cats/1_tumor.png", "cats/2_lesion.png", "dogs/1.png", "dogs/image_2.png"]
    listing = scan("folder", plant(*names))
    assert (sorted(sample.file for sample in listing.samples), listing.notes) == (names, ())
    told = scan("folder", plant("cats/mask_1.png", "cats/2.png", "dogs/1.png", root="other"))
    assert told.notes == ("read as images, though their names are of masks: cats/mask_1",)


def test_parts(plant, scan):
    root = plant("Train/cats/1.png", "Train/dogs/1.png", "valid/cats/1.png", "test/dogs/1.png")
    listing = scan("folder", root)
    assert [(s.id, s.label, s.facts["part"]) for s in listing.samples] == [
        ("Train/cats/1", "cats", "train"),
        ("Train/dogs/1", "dogs", "train"),
        ("test/dogs/1", "dogs", "test"),
        ("valid/cats/1", "cats", "validation"),
    ]
    assert listing.layout == "a folder for each part and class"


def test_the_order_of_the_classes_may_be_given(plant, scan):
    root = plant("healthy/1.png", "cancer/1.png", "other/1.png")
    listing = scan("folder", root, classes="healthy, cancer")
    assert listing.classes == ("healthy", "cancer")
    assert len(listing.samples) == 2


def test_nothing_named(refused, tmp_path):
    assert refused("folder") == (
        "dataset 'folder' is not on this machine: these are your own images; put a folder for each "
        "class (also within train/, val/ and test/) or images that `--xlsx TABLE` lists in "
        f"{tmp_path / 'raw' / 'folder'}, or say where it is with `--source DIR`"
    )


def test_one_class_alone(plant, refused):
    root = plant("cats/1.png")
    assert refused("folder", root) == (
        f"images of cats alone in {root}, of which one cannot learn to tell anything; "
        "add images of another class"
    )


def test_classes_fold_their_case_across_parts(plant, scan):
    root = plant(
        "train/Benign/1.png", "train/malignant/1.png", "test/benign/2.png", "test/Malignant/2.png"
    )
    listing = scan("folder", root)
    assert listing.classes == ("Benign", "malignant")
    found = {(sample.label, sample.facts["part"]) for sample in listing.samples}
    assert found == {(label, part) for label in listing.classes for part in ("train", "test")}


def test_a_class_that_lacks_in_a_part_is_named(plant, scan):
    root = plant("train/a/1.png", "train/b/1.png", "test/a/2.png")
    said = "no image of class b in the part test"
    assert next(notes_on(scan("folder", root).samples)) == said
    parts = plant("ours/train/a/1.png", "ours/train/b/1.png", "ours/test/a/2.png") / "ours"
    tested = plant("theirs/a/3.png", "theirs/b/3.png") / "theirs"  # the test part instead
    source = sources.get("folder")
    joined, _ = assemble(source, Request(folder=parts, test=tested, options=source.resolve({})))
    assert said not in (*joined.notes, *notes_on(joined.samples))
    assert joined.notes == (
        f"images that {parts} sets apart for testing are in the training part: 1; the test part is "
        "that of `--test-source` alone",
    )


@pytest.mark.parametrize("wrong", ["malignent", "malgnant", "malingant", "malignants"])
def test_a_misspelled_class_is_asked_about(plant, refused, scan, wrong):
    root = plant("train/benign/1.png", "train/malignant/1.png", f"test/{wrong}/2.png")
    message = refused("folder", root)
    assert "\n" not in message
    assert f"{wrong!r}" in message and "'malignant'" in message
    assert message.endswith("rename one, or `--set similar=keep` if they are two classes")
    assert len(scan("folder", root, similar="keep").classes) == 3


@pytest.mark.parametrize(
    "names",
    [
        ("typical", "atypical"),
        ("normal", "abnormal"),
        ("stage I", "stage II"),
        ("grade1", "grade2"),
        ("cat", "car"),
        ("hypothyroid", "hyperthyroid"),
        ("type A", "type B"),
        ("dental", "dermal"),
        ("lesion left", "lesions"),
    ],
)
def test_classes_that_are_alike_by_rights_are_not(names):
    refuse_misspelled(names, Path())


@pytest.mark.parametrize(
    "parts", [("training_set", "test_set"), ("Train-Set", "TESTING"), ("train", "valid")]
)
def test_parts_by_other_names(plant, scan, parts):
    root = plant(*(f"{part}/{label}/1.png" for part in parts for label in "ab"))
    assert {sample.facts["part"] for sample in scan("folder", root).samples} == {
        "train", "validation" if parts[1] == "valid" else "test",
    }  # fmt: skip


def test_folders_around_the_classes_are_unwrapped(plant, scan, refused):
    root = plant("x/x/a/1.png", "x/x/b/1.png", "__MACOSX/x/a/1.png")
    listing = scan("folder", root)
    assert listing.root == root / "x" / "x"
    assert listing.classes == ("a", "b")
    assert listing.notes == ("the classes are the folders in x/x/",)
    one = plant("benign/images/1.png", "benign/masks/1.png", root="one")
    assert refused("folder", one).startswith(f"images of benign alone in {one}, of which one")


@pytest.mark.parametrize("names", [("images", "masks"), ("image", "mask"), ("original", "GT")])
def test_images_beside_their_masks_are_no_classes(plant, refused, names):
    root = plant(*(f"{name}/1.png" for name in names))
    message = refused("folder", root)
    assert message.startswith(f"no images in {root}, which should hold a folder for each class")
    assert all(f"{name}/ (1 .png)" in message for name in names)


def test_masks_beside_classes_are_passed_over(plant, scan):
    root = plant("a/1.png", "b/1.png", "masks/1.png")
    assert scan("folder", root).classes == ("a", "b")
    assert scan("folder", plant("images/1.png", "cat/1.png", root="pets")).classes == (
        "cat",
        "images",
    )
    assert scan("folder", plant("mask/1.png", "no_mask/1.png", root="faces")).classes == (
        "mask",
        "no_mask",
    )


def test_a_refusal_shows_two_levels_with_counts(plant, refused):
    files = [f"benign/p{n}/{n}.png" for n in range(4)] + ["malignant/p9/1.png"]
    assert refused("folder", plant(*files)).endswith(
        "but has: benign/ (4 folders, 4 .png), malignant/ (p9/, 1 .png); give its folder "
        "with `--source DIR`, or add `--set patient=folder` if the folders within the classes are "
        "patients"
    )
    assert "but has: nothing; give its folder" in refused("folder", plant(root="empty"))


@pytest.mark.parametrize(
    ("first", "second"),
    [("benign", "malignant"), ("normal", "pneumonia"), ("control", "normal"), ("nodule", "notch")],
)
def test_other_pairs_of_classes_are_as_they_are(plant, scan, first, second):
    assert scan("folder", plant(f"{first}/1.png", f"{second}/1.png")).notes == ()


def patients(listing):
    return {sample.id: sample.facts.get("patient") for sample in listing.samples}


def test_patients_by_the_folders_within_those_of_classes(plant, scan, refused):
    files = ["cats/P1/1.png", "cats/P2/1.png", "cats/0.png", "dogs/P2/1.png", "dogs/P3/1.png"]
    assert patients(scan("folder", plant(*files), patient="folder")) == {
        "cats/0": None,
        "cats/P1/1": "P1",
        "cats/P2/1": "P2",
        "dogs/P2/1": "P2",
        "dogs/P3/1": "P3",
    }
    parts = plant("train/cats/P1/1.png", "train/dogs/P2/1.png", "test/dogs/P3/1.png", root="parts")
    listing = scan("folder", parts, patient="folder")
    assert listing.columns == ("part", "patient")
    flat = plant("cats/1.png", "dogs/1.png", root="flat")
    assert "finds no patient in" in refused("folder", flat, patient="folder")


@pytest.mark.parametrize(
    ("number", "name", "patient"),
    [
        *(
            (1, "P07_2", "P07"),
            (1, "IM-0115-0001", "IM-0115"),
            (1, "person1_bacteria_2", "person1"),
        ),
        *((1, "P_00001_LEFT_CC", "P_00001"), (1, "10_left", "10"), (1, "benign (12)", None)),
        *((1, "0007", None), (2, "SOB_B_A-14-22549AB-40-001", "SOB_B_A-14-22549AB")),
        *((2, "P07_2", None), (3, "a1 b2 c3.d", "a1 b2 c3")),
    ],
)
def test_patients_by_the_beginning_of_the_names_of_files(plant, scan, number, name, patient):
    root = plant(f"cats/{name}.png", "dogs/x1_y2_z3_4.png")
    assert patients(scan("folder", root, patient=number))[f"cats/{name}"] == patient


def test_names_that_look_as_if_they_told_the_patients_are_asked_about(plant, scan):
    many = [f"{c}/{c[0]}{n // 3}_{n}.png" for c in ("cats", "dogs") for n in range(15)]
    said = scan("folder", plant(*many)).notes
    assert said == (
        "names of files may tell the patients: c0_0 and c0_1 begin alike, and there are 10 "
        "beginnings; if so, prepare with `--set patient=1`",
    )
    assert scan("folder", plant(*many), patient=1).notes == ()
    for number, name in enumerate(
        ("{c} ({n})", "{n:04d}", "{c}_s_{n:06d}", "2021_{n}", "{c}1_{n}")
    ):
        files = [f"{c}/{name.format(c=c, n=n)}.png" for c in ("cats", "dogs") for n in range(15)]
        assert scan("folder", plant(*files, root=f"other{number}")).notes == ()


@pytest.mark.parametrize("setting", ["labels", "file_column", "group_column"])
def test_settings_of_a_table_without_one(plant, refused, setting):
    root = plant("a/1.png", "b/1.png")
    assert refused("folder", root, **{setting: "x:y"}) == (
        f"`--set {setting}=x:y` is about a table; name it with `--xlsx TABLE`, or leave the "
        "setting out"
    )


def test_class_folders_that_are_surely_one(plant, scan, refused):
    parts = ("train/Benign/1.png", "train/b\u00f6se/1.png", "test/Benign /1.png")
    root = plant(*parts, "test/bo\u0308se/1.png")
    assert scan("folder", root).classes == ("Benign", "b\u00f6se")
    root = plant("Benign/1.png", "Benign /2.png", "malignant/1.png", root="flat")
    assert refused("folder", root) == (
        f"folders in {root} that differ in case, blanks or coding alone: Benign/ and Benign /; "
        "merge them"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [("stage-1", "stage 1"), ("Non_COVID", "non-covid"), ("COVID19", "COVID-19"), ("a.b", "a  b")],
)
def test_classes_that_differ_in_separators_are_asked_about(plant, refused, scan, one, other):
    root = plant(f"{one}/1.png", f"{other}/1.png", "normal/1.png")
    assert refused("folder", root).endswith(
        "differ in one letter or separator: rename one, or `--set similar=keep` if they are two "
        "classes"
    )
    assert len(scan("folder", root, similar="keep").classes) == 3


@pytest.mark.parametrize("hidden", ["\u200b", "\xad", "\u200e", "\ufeff"])
def test_classes_that_nobody_can_tell_apart_are_one(plant, refused, scan, tmp_path, hidden):
    root = plant("a/1.png", "b/1.png", f"b{hidden}/2.png")
    assert f"in {root} that differ in case, blanks or coding alone: b/ and b{hidden}/" in refused(
        "folder", root
    )
    table = tmp_path / "t.csv"
    table.write_text(f"file,label\na/1.png,p\nb/1.png,q\nb{hidden}/2.png,q{hidden}\n")
    assert scan("folder", root, table).classes == ("p", "q")


def both(train, test, **options):
    source = sources.get("folder")
    return Request(folder=train, test=test, options=source.resolve(options))


def test_separate_sources_for_training_and_testing(plant, tmp_path):
    train = plant("a/1.png", "B/1.png", "a/x.gif.png", root="ours")
    test = plant("A/1.png", "b/7.png", root="theirs")
    (test / "extra.txt").write_text("x")
    prepared = prepare(sources.get("folder"), both(train, test), tmp_path / "p", 8).prepared
    assert prepared.classes == ("B", "a")
    parts = dict(zip(prepared.ids, prepared.column("part"), strict=True))
    assert parts == {
        "train/B/1": "train",
        "train/a/1": "train",
        "train/a/x.gif": "train",
        "test/A/1": "test",
        "test/b/7": "test",
    }
    assert prepared.manifest["account"]["found"] == 6
    assert prepared.manifest["account"]["passed"] == {".txt": ["extra.txt"]}


def test_validation_images_of_the_training_source_alone_stay_such(plant):
    files = [f"{part}/{label}/1.png" for part in ("train", "val") for label in "ab"]
    ours, theirs = (plant(*files, root=root) for root in ("ours", "theirs"))
    listing, _ = assemble(sources.get("folder"), both(ours, theirs))
    parts = {tuple(one.file.split("/")[:2]): one.facts["part"] for one in listing.samples}
    assert parts == {
        ("ours", "train"): "train",
        ("ours", "val"): "validation",
        ("theirs", "train"): "test",
        ("theirs", "val"): "test",
    }


def test_one_table_for_both_sources(plant, tmp_path):
    train, test = plant("1.png", "2.png", root="a"), plant("3.png", "4.png", root="b")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\n1.png,p\n2.png,q\n3.png,p\n4.png,q\n5.png,q\n")
    listing, _ = assemble(sources.get("folder"), replace(both(train, test), table=table))
    assert [one.id for one in listing.samples] == ["train/1", "train/2", "test/3", "test/4"]
    assert listing.missing == ("5.png",)


def test_a_class_that_only_the_test_source_has(plant, tmp_path):
    train, test = (
        plant("cat/1.png", "dog/1.png", root="a"),
        plant("cat/1.png", "dgo/1.png", root="b"),
    )
    with pytest.raises(DataError, match=r"classes in .*b that are not in .*a: dgo.*'dog'"):
        prepare(sources.get("folder"), both(train, test), tmp_path / "p", 8)
    raw = plant("folder/cat/1.png", "folder/dog/1.png", root="raw")
    for asked in (both(train, train / "cat"), both(train, tmp_path), both(None, test)):
        with pytest.raises(ConfigError, match="`--source DIR` beside it, and neither may lie in"):
            prepare(sources.get("folder"), replace(asked, raw=raw), tmp_path / "p", 8)
