"""Chest X-ray (COVID-19 and pneumonia) by Prashant Patel: 6,432 images in two parts.

Data/{train,test}/{COVID19,NORMAL,PNEUMONIA}/*.jpg
"""

from __future__ import annotations

from sambench.data.class_folders import ClassFolders, list_classes
from sambench.data.locating import Release
from sambench.data.source import Listing, Request, Source, sources

CLASSES = ("NORMAL", "COVID19", "PNEUMONIA")
RELEASE = Release(
    name="prashant268",
    obtain="download it from kaggle.com/datasets/prashant268/chest-xray-covid19-pneumonia (needs "
    "an account) and unpack it",
    layout="train/ and test/ of Data/",
    wrappers=("Data",),
)


def scan(request: Request) -> Listing:
    """List the images with their part.

    Raises:
        DataError: If the folder is not there or not this set's, or files are at fault.
    """
    labels = {label.casefold(): label for label in CLASSES}
    return list_classes(RELEASE, request, ClassFolders(labels=labels), CLASSES)


sources.register(
    Source(
        name="prashant268",
        summary="chest X-ray, Prashant268: 6,432 images in train and test",
        scan=scan,
        image_size=224,
        classes=CLASSES,
        obtain=RELEASE.obtain,
        reference="Patel, Chest X-ray (Covid-19 & Pneumonia), Kaggle, 2020",
        licence="as stated on its Kaggle page; gathered from sets with licences of their own",
    )
)
