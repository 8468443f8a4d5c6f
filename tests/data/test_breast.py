from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sambench.data.download import Remote
from sambench.data.family import family_of, rows
from sambench.data.preparation import prepare
from sambench.data.source import Request, sources
from sambench.data.sources.image_tables import list_table

HEADER = (
    "CaseID",
    "Pixel_size",
    "Image_filename",
    "Mask_tumor_filename",
    "BIRADS",
    "Classification",
)
ROWS = (
    (1, 0.1, "case001.png", "case001_tumor.png", "4a", "benign"),
    (2, 0.1, "case002.png", "case002_tumor.png", 5, "malignant"),
    (3, 0.1, "case003.png", "case003_tumor.png", 2, "benign"),
    (4, 0.1, "case004.png", "not applicable", 1, "normal"),
)
FILES = ("case001.png", "case002.png", "case003.png", "case004.png")
BREAST = family_of("breast", rows()["breast"])
FOLDER = BREAST.unpacked[0]
TABLE = BREAST.downloads[0].name
MASKS = ("case001_tumor.png", "case001_other1.png", "case002_tumor.png", "case003_tumor.png")


@pytest.fixture
def release(plant, sheet):
    root = plant(*FILES, *MASKS)
    sheet(root / TABLE, HEADER, *ROWS)
    return root


def test_labels_and_patients(release, scan):
    listing = scan("breast", release)
    assert [(s.id, s.label, s.facts["patient"], s.facts["birads"]) for s in listing.samples] == [
        ("case001", "benign", "1", "4A"),
        ("case002", "malignant", "2", "5"),
        ("case003", "benign", "3", "2"),
    ]
    assert listing.classes == ("benign", "malignant")


def test_normal_kept(release, scan):
    listing = scan("breast", release, normal="keep")
    assert listing.classes == ("normal", "benign", "malignant")
    assert listing.samples[3].label == "normal"


def test_the_images_in_their_folder(plant, sheet, scan):
    root = plant(*(f"{FOLDER}/{file}" for file in (*FILES, *MASKS)))
    table = sheet(root / "clinical.xlsx", HEADER, *ROWS)
    assert scan("breast", root).samples[0].file == f"{FOLDER}/case001.png"
    assert scan("breast", None, table) == scan("breast", root)


def test_alpha_is_dropped(release, tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (9, 9), dtype=np.uint8)
    image = Image.fromarray(grey).convert("RGBA")
    image.putalpha(128)
    image.save(release / "case001.png")
    source = sources.get("breast")
    request = Request(folder=release, options=source.resolve({}))
    prepared = prepare(source, request, tmp_path / "prepared", 9).prepared
    assert np.array_equal(prepared.images[0, ..., 0], grey)


def test_faults(release, sheet, refused):
    sheet(
        release / TABLE,
        HEADER,
        ROWS[0],
        (2, 0.1, "case002.png", "", 5, "unknown"),
    )
    table = release / TABLE
    assert refused("breast", release).splitlines() == [
        f"labels in {table} that are none of the classes normal, benign, malignant: case002 "
        "has 'unknown' (row 3); correct them",
        f"image files without a row in {table}: case003.png, case004.png; add the rows "
        "or move the files away",
    ]


def test_a_missing_column(release, sheet, refused):
    sheet(release / TABLE, ("CaseID", "Image_filename"), (1, "case001.png"))
    message = refused("breast", release)
    assert message.startswith("no column 'Classification' in sheet 'clinical data' of ")


def test_a_missing_image(release, scan):
    (release / "case002.png").unlink()
    (release / "case004.png").unlink()
    (release / "case003.png").rename(release / "case002.png")
    assert scan("breast", release).missing == ("case003",)


def test_no_workbook(plant, refused):
    root = plant(*FILES)
    assert refused("breast", root).startswith(f"no table in {root}, which should hold ")


def served(path):
    checksum = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    return Remote(url=path.as_uri(), name=path.name, checksum=checksum)


def test_it_is_downloaded_checked_and_unpacked(release, tmp_path):
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in (*FILES, *MASKS):
            file.write(release / name, f"{FOLDER}/{name}")
    table = release / TABLE
    family = replace(BREAST, downloads=tuple(map(served, (table, archive))))
    request = Request(raw=tmp_path / "raw", options=family.resolve({}))
    listing = list_table(family, request)
    assert len(listing.samples) == 3
    assert listing.root == tmp_path / "raw" / "breast"
    assert listing.samples[0].file == f"{FOLDER}/case001.png"
    table.unlink()
    archive.unlink()
    assert list_table(family, request) == listing
