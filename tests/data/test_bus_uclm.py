from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sambench.data.writing import notes_on

BLACK, GREEN, RED, BLUE = (0, 0, 0), (0, 255, 0), (255, 0, 0), (0, 0, 255)
COLOURS = {"ALWI_000": GREEN, "ALWI_001": BLACK, "COPE_000": RED, "FLKA_010": GREEN}


@pytest.fixture
def release(plant):
    """Build images and masks whose lesion has the given colour."""

    def build(**colours) -> Path:
        root = plant(*(f"BUS-UCLM/images/{id}.png" for id in COLOURS))
        for id, colour in {**COLOURS, **colours}.items():
            paint(root / "BUS-UCLM" / "masks" / f"{id}.png", colour)
        return root

    return build


def paint(path: Path, *colours) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    for row, colour in enumerate(colours):
        pixels[2 + row, 3:6] = colour
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_the_label_is_the_colour_and_the_patient_the_prefix(release, scan):
    listing = scan("bus-uclm", release())
    assert [(s.id, s.label, s.facts["patient"], s.facts["part"]) for s in listing.samples] == [
        ("ALWI_000", "benign", "ALWI", "train"),
        ("ALWI_001", "normal", "ALWI", "train"),
        ("COPE_000", "malignant", "COPE", "test"),
        ("FLKA_010", "benign", "FLKA", "test"),
    ]
    assert listing.notes == ()
    assert [*notes_on(listing.samples)][:3] == [
        "no image of class normal in the part test",
        "no image of class malignant in the part train",
        "the authors' parts (and images): train (2), test (2)",
    ]


def test_normal_dropped(release, scan):
    listing = scan("bus-uclm", release(), normal="drop")
    assert listing.classes == ("benign", "malignant")
    assert len(listing.samples) == 3


def test_two_colours_in_a_mask(release, scan):
    root = release()
    paint(root / "BUS-UCLM" / "masks" / "ALWI_000.png", GREEN, RED)
    listing = scan("bus-uclm", root)
    assert listing.samples[0].label == "malignant"
    assert listing.notes[-1] == "masks with both colours, taken as malignant: ALWI_000"


def test_masks_that_tell_nothing(release, refused):
    root = release(COPE_000=BLUE)
    (root / "BUS-UCLM" / "masks" / "ALWI_000.png").write_bytes(b"no image")
    (root / "BUS-UCLM" / "masks" / "FLKA_010.png").unlink()
    message = refused("bus-uclm", root)
    assert message.startswith(f"masks in {root / 'BUS-UCLM'} that tell no class: ")
    assert "masks/ALWI_000.png is unreadable (" in message
    assert "masks/COPE_000.png has a colour besides green, red and black" in message
    assert "masks/FLKA_010 is missing" in message


def test_a_name_without_a_patient(release, refused):
    root = release()
    for kind in ("images", "masks"):
        folder = root / "BUS-UCLM" / kind
        (folder / "COPE_000.png").rename(folder / "COPE.png")
    assert "without a patient in front: COPE; restore the names" in refused("bus-uclm", root)


def test_a_mask_without_an_image_is_missing(release, scan):
    root = release()
    (root / "BUS-UCLM" / "images" / "ALWI_001.png").unlink()
    assert scan("bus-uclm", root).missing == ("ALWI_001",)


def test_no_masks(plant, refused):
    root = plant("images/ALWI_000.png")
    assert refused("bus-uclm", root).startswith(f"no folders images/ and masks/ in {root}")
