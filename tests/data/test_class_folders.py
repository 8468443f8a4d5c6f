"""The sets that are class folders and nothing else, and what may be wrong with such folders."""

from __future__ import annotations

import pytest

CASES = {
    "covid-qu-ex": (
        "Lung Segmentation Data/Lung Segmentation Data/{part}/{label}/images/{number}.png",
        {"Train": "train", "Val": "validation", "Test": "test"},
        ("Normal", "COVID-19", "Non-COVID"),
    ),
    "prashant268": (
        "Data/{part}/{label}/{number}.jpg",
        {"train": "train", "test": "test"},
        ("NORMAL", "COVID19", "PNEUMONIA"),
    ),
    "cifar10": (
        "{part}/{label}/{number}.jpg",
        {"train": "train", "test": "test"},
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
}


def files(name: str) -> dict[str, tuple[str, str]]:
    """Return part and label of each file of a little tree."""
    pattern, parts, labels = CASES[name]
    return {
        pattern.format(part=part, label=label, number=number): (meaning, label)
        for part, meaning in parts.items()
        for label in labels
        for number in (1, 2)
    }


@pytest.mark.parametrize("name", CASES)
def test_parts_and_labels_by_folder(plant, scan, name):
    wanted = files(name)
    root = plant(*wanted)
    listing = scan(name, root)
    assert listing.classes == CASES[name][2]
    assert listing.columns == ("part",)
    found = {
        sample.path.relative_to(root).as_posix(): (sample.facts["part"], sample.label)
        for sample in listing.samples
    }
    assert found == wanted
    assert len({sample.id for sample in listing.samples}) == len(wanted)


@pytest.mark.parametrize("name", CASES)
def test_another_folder(plant, refused, name):
    root = plant("x/y/1.png")
    assert refused(name, root).startswith(f"no images in {root}, which should hold ")


def test_masks_beside_are_passed_over(plant, scan):
    wanted = files("covid-qu-ex")
    root = plant(*wanted, *(file.replace("/images/", "/lung masks/") for file in wanted))
    assert len(scan("covid-qu-ex", root).samples) == len(wanted)


def test_one_root_without_parts(plant, scan):
    listing = scan("cifar10", plant("cat/1.png", "dog/1.png"))
    assert listing.classes == ("cat", "dog")
    assert listing.columns == ()
    assert listing.notes == (
        "no image of class airplane, automobile, bird, deer, frog, horse, ship, truck",
    )


def test_bus_uc_passes_over_the_folder_of_all(plant, scan):
    root = plant(
        "Benign/images/01.png",
        "Malignant/images/01.png",
        "All/images/01.png",
        "Benign/masks/01.png",
    )
    listing = scan("bus-uc", root)
    assert {sample.id: sample.label for sample in listing.samples} == {
        "Benign/images/01": "benign",
        "Malignant/images/01": "malignant",
    }


def test_busc(plant, scan):
    root = plant("originals/benign/us1.bmp", "originals/malignant/us2.bmp")
    assert [sample.label for sample in scan("busc", root).samples] == ["benign", "malignant"]


def test_folders_that_differ_in_case_alone(plant, refused):
    root = plant("benign/1.png", "Benign/2.png", "malignant/1.png")
    assert refused("bus-uc", root) == (
        f"folders in {root} that differ in case, blanks or coding alone: "
        "Benign/ and benign/; merge them"
    )


def test_a_class_that_leads_back_to_the_root(plant, refused):
    root = plant("Benign/1.png")
    (root / "Malignant").symlink_to(root, target_is_directory=True)
    assert refused("bus-uc", root).splitlines()[0] == (
        f"links in {root} that lead in a circle: Malignant; remove them"
    )


def test_links_that_lead_to_themselves(plant, refused):
    root = plant("Benign/1.png", "Malignant/1.png")
    (root / "Malignant" / "2.png").symlink_to("2.png")
    (root / "loop").symlink_to("loop")
    assert refused("bus-uc", root).splitlines() == [
        f"links in {root} that lead in a circle: loop, Malignant/2.png; remove them"
    ]


def test_a_link_out_of_the_root(plant, refused):
    root = plant("Benign/1.png", "Malignant/1.png")
    outside = plant("2.png", root="outside")
    (root / "Benign" / "2.png").symlink_to(outside / "2.png")
    assert refused("bus-uc", root) == (
        f"links that lead out of {root}: Benign/2.png; replace by the files"
    )


def test_a_wrapper_that_wraps_itself(plant, refused):
    root = plant("Data/train/NORMAL/1.png", "Data/train/COVID19/1.png")
    (root / "Data" / "Data").symlink_to(root / "Data", target_is_directory=True)
    assert refused("prashant268", root) == (
        f"links in {root / 'Data'} that lead in a circle: Data; remove them"
    )
