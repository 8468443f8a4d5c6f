from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sambench.data.download import Remote
from sambench.data.family import family_of, rows
from sambench.data.preparation import prepare
from sambench.data.source import Request, sources
from sambench.data.sources.image_tables import list_table
from sambench.data.writing import notes_on

ROWS = (
    ("bus_0001-l", 1, "Fibroadenoma", "benign", 2, "LOGIQ", "left", 1),
    ("bus_0001-r", 1, "Fibroadenoma", "benign", 2, "LOGIQ", "right", 1),
    ("bus_0002-l", 2, "IDC", "malignant", 5, "Sonoline", "left", 2),
    ("bus_0003-s", 3, "IDC", "Malignant", 4, "LOGIQ", "left", 2),
)


@pytest.fixture
def release(plant):
    """Build a folder of four images of three patients."""

    def build(
        rows=ROWS, header="ID,Case,Histology,Pathology,BIRADS,Device,Side", folds=None
    ) -> Path:
        root = plant(*(f"BUSBRA/Images/{row[0]}.png" for row in ROWS))
        plant(*(f"BUSBRA/Masks/{row[0].replace('bus', 'mask')}.png" for row in ROWS))
        lines = [header, *(",".join(map(str, row[:-1])) for row in rows)]
        (root / "BUSBRA" / "bus_data.csv").write_text("\n".join(lines))
        given = folds or [(row[0], row[-1]) for row in rows]
        text = "\n".join(["ID,kFold,other", *(f"{id},{fold},x" for id, fold in given)])
        (root / "BUSBRA" / "5-fold-cv.csv").write_text(text)
        (root / "BUSBRA" / "10-fold-cv.csv").write_text(text.replace(",2,", ",9,"))
        return root

    return build


def test_labels_folds_and_patients(release, scan):
    listing = scan("bus-bra", release())
    assert [(s.id, s.label, s.facts["fold"], s.facts["patient"]) for s in listing.samples] == [
        ("bus_0001-l", "benign", 1, "1"),
        ("bus_0001-r", "benign", 1, "1"),
        ("bus_0002-l", "malignant", 2, "2"),
        ("bus_0003-s", "malignant", 2, "3"),
    ]
    assert listing.columns == ("fold", "patient", "birads", "device", "side", "histology")
    assert list(notes_on(listing.samples)) == [
        "numbers of the folds (and images): 1 (2), 2 (2)",
        "3 patients or groups",
    ]
    assert sorted(listing.checksums) == ["5-fold-cv.csv", "bus_data.csv"]


def test_ten_folds(release, scan):
    listing = scan("bus-bra", release(), folds=10)
    assert [sample.facts["fold"] for sample in listing.samples] == [1, 1, 9, 9]


def test_a_patient_in_two_folds_is_told(release, scan):
    folds = [("bus_0001-l", 1), ("bus_0001-r", 2), ("bus_0002-l", 2), ("bus_0003-s", 2)]
    listing = scan("bus-bra", release(folds=folds))
    told = [*notes_on(listing.samples)]
    assert told[1] == "1 of 3 patients are in several folds: 1"


def test_the_images_of_a_patient_are_one_group(release, tmp_path):
    source = sources.get("bus-bra")
    request = Request(folder=release(), options=source.resolve({}))
    prepared = prepare(source, request, tmp_path / "prepared", 8).prepared
    assert prepared.groups == ("bus_0001-l", "bus_0001-l", "bus_0002-l", "bus_0003-s")
    assert prepared.manifest["licence"] == (
        "its own text: any use is permitted where the paper is cited"
    )
    assert prepared.manifest["reference"].startswith("Gómez-Flores")


def test_a_missing_column(release, refused):
    root = release(header="ID,Patient,Histology,Pathology,BIRADS,Device,Side")
    assert refused("bus-bra", root).startswith(f"no column 'Case' in {root / 'BUSBRA'}")
    root = release(header="ID,Case,Histology,Diagnosis,BIRADS,Device,Side")
    assert refused("bus-bra", root) == (
        f"no column 'Pathology' in {root / 'BUSBRA' / 'bus_data.csv'}, which has 'ID', 'Case', "
        "'Histology', 'Diagnosis', 'BIRADS', 'Device', 'Side': did you mean 'Histology'?; "
        "name the column so in its first row"
    )


def test_faults_are_named_together(release, refused):
    rows = (
        (*ROWS[0][:3], "unclear", *ROWS[0][4:]),
        (*ROWS[1][:-1], "x"),
        ROWS[2],
        ROWS[2],
    )
    root = release(rows)
    table = root / "BUSBRA" / "bus_data.csv"
    assert refused("bus-bra", root).splitlines() == [
        f"labels in {table} that are none of the classes benign, malignant: bus_0001-l has "
        "'unclear' (row 2); correct them",
        f"ids twice in {table}: bus_0002-l (rows 4 and 5); delete one row of each",
        f"image files without a row in {table}: Images/bus_0003-s.png; add the rows or move the "
        "files away",
        f"folds in {table.with_name('5-fold-cv.csv')} that are no integer: bus_0001-r has 'x' "
        "(row 3); give a whole number",
    ]


def test_an_image_without_a_fold_is_named(release, refused):
    root = release(folds=[(row[0], row[-1]) for row in ROWS[1:]])
    folds = root / "BUSBRA" / "5-fold-cv.csv"
    assert refused("bus-bra", root) == (
        f"images without a fold in {folds}: bus_0001-l; add the rows"
    )


def test_a_row_without_an_image_is_missing(release, scan, refused):
    root = release()
    folder = root / "BUSBRA" / "Images"
    (folder / "bus_0002-l.png").unlink()
    assert scan("bus-bra", root).missing == ("bus_0002-l",)
    for path in folder.iterdir():
        path.unlink()
    assert refused("bus-bra", root).startswith(f"no images in {folder.parent}, which should hold")
    folder.rmdir()
    assert refused("bus-bra", root).startswith(f"no folder images/ in {folder.parent}, which")


def test_it_is_downloaded_checked_and_unpacked(release, tmp_path):
    archive = Path(shutil.make_archive(str(tmp_path / "BUSBRA"), "zip", release()))
    checksum = f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"
    remote = Remote(url=archive.as_uri(), name="BUSBRA.zip", checksum=checksum)
    family = replace(family_of("bus-bra", rows()["bus-bra"]), downloads=(remote,))
    request = Request(raw=tmp_path / "raw", options=family.resolve({}))
    listing = list_table(family, request)
    assert listing.root == tmp_path / "raw" / "bus-bra" / "BUSBRA"
    assert len(listing.samples) == 4
    archive.unlink()
    assert list_table(family, request) == listing


def test_no_table(plant, refused):
    root = plant("Images/bus_0001-l.png")
    assert refused("bus-bra", root).startswith(f"no table in {root}, which should hold ")
