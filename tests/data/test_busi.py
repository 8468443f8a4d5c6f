from __future__ import annotations

import pytest

from sambench.data.source import sources

WHOLE = tuple(
    f"{label}/{label} ({number}).png"
    for label in ("benign", "malignant", "normal")
    for number in (1, 2, 10)
)
MASKS = tuple(file.replace(").png", ")_mask.png") for file in WHOLE)


def names(listing) -> dict[str, str]:
    return {sample.id: sample.label for sample in listing.samples}


def test_masks_are_no_images(plant, scan):
    root = plant(*WHOLE, *MASKS, "benign/benign (2)_mask_1.png")
    listing = scan("busi", root)
    assert names(listing) == {
        f"{label} ({number})": label
        for label in ("benign", "malignant", "normal")
        for number in (1, 2, 10)
    }
    assert [sample.id for sample in listing.samples][:3] == [
        "benign (1)",
        "benign (2)",
        "benign (10)",
    ]
    assert listing.classes == ("normal", "benign", "malignant")
    assert {s.id: s.facts["masks"] for s in listing.samples if s.facts["masks"] != 1} == {
        "benign (2)": 2
    }
    assert listing.notes == ("10 masks for 9 images, read as 9 images; several for benign (2) (2)",)


def test_without_masks(plant, scan):
    listing = scan("busi", plant(*WHOLE))
    assert len(listing.samples) == 9
    assert listing.notes == ("no masks beside the images; none are needed",)


def test_normal_dropped(plant, scan):
    listing = scan("busi", plant(*WHOLE, *MASKS), normal="drop")
    assert listing.classes == ("benign", "malignant")
    assert set(names(listing).values()) == {"benign", "malignant"}


def test_a_normal_folder_that_is_missing_is_told(plant, scan):
    listing = scan("busi", plant(*WHOLE[:6]))
    assert listing.classes == ("benign", "malignant")
    assert listing.notes[0] == "no image of class normal"


def test_the_folder_around_it_and_the_usual_place(plant, scan):
    outer = plant(*(f"Dataset_BUSI_with_GT/{file}" for file in WHOLE), root="outer")
    assert scan("busi", outer).root == outer / "Dataset_BUSI_with_GT"
    plant(*(f"busi/{file}" for file in WHOLE), root="raw")
    assert len(scan("busi").samples) == 9


def test_no_class_that_is_wanted(plant, refused):
    root = plant("normal/normal (1).png")
    assert refused("busi", root, normal="drop") == (
        f"no image in {root}; add images of benign, malignant"
    )


def test_the_curated_copy(plant, scan, refused):
    other = plant("images/cat_1.png", "images/dog_2.png", root="pets")
    for name in (".hidden", "LICENSE", "images/README"):
        (other / name).write_text("theirs")
    (other / "__MACOSX").mkdir()
    said = refused("busi", other)
    assert f"no images in {other}, which should hold benign/" in said
    assert "but has: images/ (2 .png, 1 without suffix), 1 without suffix; give" in said
    listing = scan(
        "busi", plant("images/benign_id_1.png", "images/malignant_id_2.png", "masks/x.png")
    )
    assert names(listing) == {"benign_id_1": "benign", "malignant_id_2": "malignant"}


def test_where_to_get_it(refused, tmp_path):
    message = refused("busi")
    assert message == (
        f"dataset 'busi' is not on this machine: {sources.get('busi').obtain}; put benign/, "
        "malignant/ and normal/ "
        f"in {tmp_path / 'raw' / 'busi'}, or say where it is with `--source DIR`"
    )
    gone = tmp_path / "gone"
    assert refused("busi", gone).startswith(f"no folder {gone}; give the one that holds benign/")


def test_another_folder(plant, refused):
    root = plant("cats/1.png", "dogs/1.png")
    assert refused("busi", root) == (
        f"no images in {root}, which should hold benign/, malignant/ and normal/, but has: "
        "cats/ (1 .png), dogs/ (1 .png); give its folder with `--source DIR`"
    )


def test_one_class_alone(plant, refused):
    root = plant(*WHOLE[:3])
    assert "images of benign alone" in refused("busi", root)


def test_two_files_of_one_id(plant, refused):
    root = plant(*WHOLE, "benign/benign (1).jpg")
    assert refused("busi", root) == (
        f"ids with two image files in {root}: benign (1) (benign/benign (1).jpg and "
        "benign/benign (1).png); keep one of each"
    )


def test_a_workbook_means_nothing_here(plant, refused):
    root = plant(*WHOLE)
    assert "takes no workbook" in refused("busi", root, root / "x.xlsx")


def test_an_option_that_does_not_exist(plant, refused):
    assert refused("busi", plant(*WHOLE), normal="maybe") == (
        "option normal=maybe of dataset 'busi' is not allowed; allowed: keep, drop"
    )


@pytest.mark.real
def test_the_real_images(real_data, scan):
    folder = real_data / "busi"
    if not folder.is_dir():
        pytest.skip(f"no BUSI images in {folder}")
    listing = scan("busi", folder)
    assert len(listing.samples) == 60
    assert listing.notes == (
        "61 masks for 60 images, read as 60 images; several for benign (25) (2)",
    )
