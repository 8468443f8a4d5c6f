from __future__ import annotations

from pathlib import Path

import pytest

from sambench.data.writing import notes_on

TRAIN = (
    ("3", "a.png", "pneumonia", "cohen"),
    ("3", "b.png", "pneumonia", "cohen"),
    ("p-7", "c d.png", "COVID-19", "ricord"),
    ("9", "e.jpg", "normal", "rsna"),
)
TEST = (("9", "f.png", "normal", "rsna"), ("11", "g.png", "COVID-19", "sirm"))


def write(path: Path, lines) -> Path:
    path.write_text("\n".join(" ".join(line) for line in lines) + "\n")
    return path


@pytest.fixture
def release(plant):
    """Build both parts with the label files of a variant."""

    def build(variant: str = "9A", train=TRAIN, test=TEST) -> Path:
        root = plant(*(f"train/{line[1]}" for line in TRAIN), *(f"test/{line[1]}" for line in TEST))
        write(root / f"train_COVIDx{variant}.txt", train)
        write(root / f"test_COVIDx{variant}.txt", test)
        return root

    return build


def test_patients_parts_and_labels(release, scan):
    listing = scan("covidx", release())
    assert listing.classes == ("normal", "pneumonia", "COVID-19")
    assert [(s.id, s.label, s.facts["patient"], s.facts["part"]) for s in listing.samples] == [
        ("test/f.png", "normal", "9", "test"),
        ("test/g.png", "COVID-19", "11", "test"),
        ("train/a.png", "pneumonia", "3", "train"),
        ("train/b.png", "pneumonia", "3", "train"),
        ("train/c d.png", "COVID-19", "p-7", "train"),
        ("train/e.jpg", "normal", "9", "train"),
    ]
    origins = [s.facts["origin"] for s in listing.samples]
    assert origins == ["rsna", "sirm", "cohen", "cohen", "ricord", "rsna"]
    assert [*notes_on(listing.samples)] == [
        "no image of class pneumonia in the part test",
        "the authors' parts (and images): train (4), test (2)",
        "1 of 4 patients are in several of the authors' parts: 9",
        "4 patients or groups",
    ]
    assert sorted(listing.checksums) == ["test_COVIDx9A.txt", "train_COVIDx9A.txt"]


def test_variant_b(release, scan):
    names = {"COVID-19": "positive"}
    train, test = (
        [(*line[:2], names.get(line[2], "negative"), line[3]) for line in part]
        for part in (TRAIN, TEST)
    )
    listing = scan("covidx", release("9B", train, test))
    assert listing.classes == ("negative", "positive")
    assert sum(sample.label == "positive" for sample in listing.samples) == 2


def test_both_variants_side_by_side(release, scan, refused):
    root = release()
    for part in ("train", "test"):
        write(root / f"{part}_COVIDx9B.txt", [("1", "a.png", "negative", "x")])
    assert refused("covidx", root) == (
        f"label files of both variants in {root} (test_COVIDx9A.txt, train_COVIDx9A.txt, "
        "test_COVIDx9B.txt, train_COVIDx9B.txt); choose with `--set variant=A` or "
        "`--set variant=B`"
    )
    assert len(scan("covidx", root, variant="a").samples) == 6


def test_two_label_files_of_a_part(release, refused):
    root = release()
    write(root / "train.txt", TRAIN)
    assert refused("covidx", root).startswith(f"several label files for a part in {root} (")


def test_listed_images_that_are_not_there_are_missing(release, scan):
    root = release()
    (root / "train" / "a.png").unlink()
    assert scan("covidx", root).missing == ("train/a.png",)


def test_faulty_lines_are_named_together(release, refused):
    train = (
        *TRAIN,
        ("3", "a.png", "pneumonia", "cohen"),
        ("x", "h.png", "flu", "y"),
        ("a", "b"),
    )
    root = release(train=train)
    table = root / "train_COVIDx9A.txt"
    assert refused("covidx", root).splitlines() == [
        f"lines of {table} without the words patient, file and class: 'a b' (line 7); "
        "complete them",
        f"ids twice in {table}: train/a.png (rows 1 and 5); delete one row of each",
        f"labels in {table} that are none of the classes normal, pneumonia, COVID-19: train/h.png "
        "has 'flu' (row 6); correct them",
    ]


def test_a_name_that_leads_out_of_the_folder_is_no_image(release, scan, plant):
    root = release(train=(*TRAIN, ("1", "../i.png", "normal", "z")))
    plant("i.png")
    assert scan("covidx", root).missing == ("train/../i.png",)


def test_no_label_file(plant, refused):
    root = plant("train/a.png", "test/b.png")
    assert refused("covidx", root) == (
        f"no label file in {root}, which should hold train/, test/ and their label files "
        "train*.txt, test*.txt, but has: test/ (1 .png), train/ (1 .png); give its folder with "
        "`--source DIR`"
    )


def test_a_label_file_without_its_folder(release, refused):
    root = release()
    (root / "test").rename(root / "tset")
    assert refused("covidx", root).startswith(f"no folder test/ in {root}, which should hold ")


def test_label_files_without_a_source_are_read(release, scan):
    """Those of versions 1 to 5 and of 7A have three words in a line."""
    lines = [(patient, file, label) for patient, file, label, _ in TRAIN]
    listing = scan("covidx", release(train=lines, test=[line[:3] for line in TEST]))
    assert {sample.id: sample.label for sample in listing.samples if "train" in sample.id} == {
        f"train/{file}": label for _, file, label in lines
    }
    assert {sample.facts["origin"] for sample in listing.samples} == {None}
