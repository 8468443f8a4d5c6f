"""Releases that are a folder for each class and nothing else: their facts.

busc            originals/{benign,malignant}/*.bmp
bus-uc          {Benign,Malignant}/{images,masks}/01.png      All/ repeats them and is passed over
covid-qu-ex     Lung Segmentation Data/Lung Segmentation Data/
                    {Train,Val,Test}/{COVID-19,Non-COVID,Normal}/images/*.png, lung masks/ beside
prashant268     Data/{train,test}/{COVID19,NORMAL,PNEUMONIA}/*.jpg

File names repeat between the classes, so the folder is part of an image's id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sambench.data.class_folders import ClassFolders, list_classes
from sambench.data.locating import Release
from sambench.data.source import Listing, Request, Source, sources


def register(
    release: Release,
    *,
    summary: str,
    classes: Sequence[str],
    image_size: int,
    reference: str,
    licence: str,
    images: Mapping[str, int],
) -> None:
    """Register a set whose folders are its classes, whatever their case.

    Args:
        release: Where it is, and what it should hold.
        summary: One line for lists.
        classes: In label order.
        image_size: The side that it is prepared to by default.
        reference: Who made it.
        licence: What its makers allow.
        images: Of each class, or "all".
    """
    folders = ClassFolders(labels={label.casefold(): label for label in classes})

    def scan(request: Request) -> Listing:
        """List the images, with their part where the authors made parts."""
        return list_classes(release, request, folders, classes)

    sources.register(
        Source(
            name=release.name,
            summary=summary,
            scan=scan,
            image_size=image_size,
            classes=tuple(classes),
            obtain=release.obtain,
            reference=reference,
            licence=licence,
            releases=(images,),
        )
    )


register(
    Release(
        name="busc",
        obtain="download it from data.mendeley.com/datasets/wmy84gzngw and unpack it",
        layout="originals/benign/ and originals/malignant/",
        wrappers=("us-dataset", "originals"),
    ),
    summary="breast ultrasound, BUSC: 250 small images",
    classes=("benign", "malignant"),
    image_size=64,
    reference="Rodrigues, Mendeley Data, 2017, doi 10.17632/wmy84gzngw",
    images={"benign": 100, "malignant": 150},
    licence="as stated on its Mendeley Data page",
)
register(
    Release(
        name="bus-uc",
        obtain="download it from data.mendeley.com/datasets/3ksd7w7jkx and unpack it",
        layout="Benign/ and Malignant/",
        wrappers=("BUS_UC", "BUS-UC"),
    ),
    summary="breast ultrasound, BUS-UC: 811 images",
    classes=("benign", "malignant"),
    image_size=256,
    reference="Iqbal, BUS_UC, Mendeley Data, 2023, doi 10.17632/3ksd7w7jkx",
    images={"all": 811},
    licence="as stated on its Mendeley Data page",
)
register(
    Release(
        name="covid-qu-ex",
        obtain="download it from kaggle.com/datasets/anasmohammedtahir/covidqu (needs an account) "
        "and unpack it",
        layout="Train/, Val/ and Test/ of `Lung Segmentation Data`",
        wrappers=("COVID-QU-Ex Dataset", "COVID-QU-Ex", "Lung Segmentation Data"),
    ),
    summary="chest X-ray, COVID-QU-Ex: 33,920 images in train, validation and test",
    classes=("Normal", "COVID-19", "Non-COVID"),
    image_size=224,
    reference="Tahir et al., Computers in Biology and Medicine 139, 2021, "
    "doi 10.1016/j.compbiomed.2021.105002",
    images={"Normal": 10701, "COVID-19": 11956, "Non-COVID": 11263},
    licence="as stated on its Kaggle page; gathered from sets with licences of their own",
)
register(
    Release(
        name="prashant268",
        obtain="download it from kaggle.com/datasets/prashant268/chest-xray-covid19-pneumonia "
        "(needs an account) and unpack it",
        layout="train/ and test/ of Data/",
        wrappers=("Data",),
    ),
    summary="chest X-ray, Prashant268: 6,432 images in train and test",
    classes=("NORMAL", "COVID19", "PNEUMONIA"),
    image_size=224,
    reference="Patel, Chest X-ray (Covid-19 & Pneumonia), Kaggle, 2020",
    images={"all": 6432},
    licence="as stated on its Kaggle page; gathered from sets with licences of their own",
)
