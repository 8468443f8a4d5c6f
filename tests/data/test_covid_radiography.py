from __future__ import annotations

import pytest

FOUR = ("COVID", "Normal", "Lung_Opacity", "Viral Pneumonia")


def files(inner: str = "", classes=FOUR, count: int = 2) -> tuple[str, ...]:
    return tuple(
        f"{name}/{inner}{name}-{number}.png" for name in classes for number in range(1, count + 1)
    )


@pytest.mark.parametrize("inner", ["images/", ""])
def test_both_layouts(plant, scan, inner):
    masks = files("masks/") if inner else ()
    listing = scan("covid-radiography", plant(*files(inner), *masks))
    assert listing.classes == ("Normal", "COVID", "Viral Pneumonia", "Lung_Opacity")
    assert {sample.id: sample.label for sample in listing.samples} == {
        f"{name}-{number}": name for name in FOUR for number in (1, 2)
    }
    assert listing.samples[0].file == f"COVID/{inner}COVID-1.png"
    assert listing.columns == ()  # no origin without the metadata
    assert "2 Normal, 2 COVID, 2 Viral Pneumonia, 2 Lung_Opacity; cite" in listing.notes[-1]


@pytest.mark.parametrize(("choice", "count"), [(2, 2), ("3", 3), (4, 4), ("all", 4)])
def test_two_to_four_classes(plant, scan, choice, count):
    listing = scan("covid-radiography", plant(*files()), classes=choice)
    assert listing.classes == ("Normal", "COVID", "Viral Pneumonia", "Lung_Opacity")[:count]
    assert len(listing.samples) == 2 * count


def test_the_origin_from_the_metadata(plant, sheet, scan):
    outer = plant(*(f"COVID-19_Radiography_Dataset/{file}" for file in files("images/")))
    root = outer / "COVID-19_Radiography_Dataset"
    header = ("FILE NAME", "FORMAT", "SIZE", "URL")
    sheet(root / "Normal.metadata.xlsx", header, ("NORMAL-1", "PNG", "256*256", "https://a"))
    listing = scan("covid-radiography", outer, classes=2)
    origins = {sample.id: sample.facts["origin"] for sample in listing.samples}
    assert origins == {"Normal-1": "https://a", "Normal-2": None, "COVID-1": None, "COVID-2": None}
    assert list(listing.checksums) == ["Normal.metadata.xlsx"]


def test_classes_that_are_not_there(plant, scan, refused):
    root = plant(*files(classes=FOUR[:2]))
    assert scan("covid-radiography", root).notes[0] == (
        "no image of class Viral Pneumonia, Lung_Opacity"
    )
    assert refused("covid-radiography", root, classes=3) == (
        f"classes without images in {root}: Viral Pneumonia; add them, or `--set classes=all`"
    )


def test_one_class_alone(plant, refused):
    root = plant(*files(classes=FOUR[:1]))
    assert refused("covid-radiography", root).startswith(f"images of COVID alone in {root}")


@pytest.mark.real
def test_the_real_images(real_data, scan):
    folder = real_data / "covid_radiography"
    if not folder.is_dir():
        pytest.skip(f"no chest X-rays in {folder}")
    listing = scan("covid-radiography", folder)
    assert listing.classes == ("Normal", "COVID")
    assert [sum(s.label == label for s in listing.samples) for label in listing.classes] == [
        150,
        150,
    ]
