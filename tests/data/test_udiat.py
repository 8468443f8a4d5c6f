from __future__ import annotations

import pytest

FILES = ("original/000001.png", "original/000002.png", "original/000010.png", "GT/000001.png")
ROWS = ((1, "Benign"), (2, "Malignant"), (10, "Benign"))


@pytest.mark.parametrize("header", [("Image", "Type"), ("image number", "Benign/Malignant")])
def test_labels_by_number(plant, sheet, scan, header):
    root = plant(*FILES)
    sheet(root / "DatasetB.xlsx", header, *ROWS)
    listing = scan("udiat", root)
    assert {sample.id: sample.label for sample in listing.samples} == {
        "000001": "benign",
        "000002": "malignant",
        "000010": "benign",
    }
    assert listing.samples[0].file == "original/000001.png"
    assert list(listing.checksums) == ["DatasetB.xlsx"]


def test_the_workbook_elsewhere_and_names_with_zeros(plant, sheet, scan, tmp_path):
    rows = (("000001.png", "benign"), ("000002.png", "malignant"), ("000010", "benign"))
    table = sheet(tmp_path / "labels.xlsx", ("Image", "Type"), *rows)
    assert len(scan("udiat", plant(*FILES), table).samples) == 3


def test_numbers_without_files_and_files_without_numbers(plant, sheet, scan, refused):
    root = plant(*FILES)
    sheet(root / "DatasetB.xlsx", ("Image", "Type"), *ROWS, (11, "Benign"))
    assert scan("udiat", root).missing == ("11",)
    table = sheet(root / "DatasetB.xlsx", ("Image", "Type"), *ROWS[:2])
    assert refused("udiat", root) == (
        f"image files without a row in {table}: original/000010.png; add the rows or move the "
        "files away"
    )


def test_two_numbers_of_one_image(plant, sheet, refused):
    root = plant(*FILES)
    table = sheet(root / "DatasetB.xlsx", ("Image", "Type"), *ROWS, ("000001", "Malignant"))
    assert refused("udiat", root) == (
        f"ids twice in {table}: 1 (rows 2 and 5); delete one row of each"
    )


def test_no_workbook_and_another_folder(plant, refused):
    root = plant(*FILES)
    assert refused("udiat", root).startswith(f"no table in {root}, which should hold ")
    other = plant("benign/1.png", root="other")
    assert refused("udiat", other).startswith(f"no table in {other}, which should ")


def test_an_unknown_column(plant, sheet, refused):
    root = plant(*FILES)
    sheet(root / "DatasetB.xlsx", ("Image", "Remark"), *ROWS)
    assert "no column 'Type' in sheet 'clinical data'" in refused("udiat", root)
