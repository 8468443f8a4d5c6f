"""COVID-QU-Ex: 33,920 chest X-rays in the authors' three parts (Tahir et al., 2021).

Lung Segmentation Data/Lung Segmentation Data/
    {Train,Val,Test}/{COVID-19,Non-COVID,Normal}/images/*.png      lung masks/ beside
"""

from __future__ import annotations

from sambench.data.class_folders import ClassFolders, list_classes
from sambench.data.locating import Release
from sambench.data.source import Listing, Request, Source, sources

CLASSES = ("Normal", "COVID-19", "Non-COVID")
RELEASE = Release(
    name="covid-qu-ex",
    obtain="download it from kaggle.com/datasets/anasmohammedtahir/covidqu (needs an account) and "
    "unpack it",
    layout="Train/, Val/ and Test/ of `Lung Segmentation Data`",
    wrappers=("COVID-QU-Ex Dataset", "COVID-QU-Ex", "Lung Segmentation Data"),
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
        name="covid-qu-ex",
        summary="chest X-ray, COVID-QU-Ex: 33,920 images in train, validation and test",
        scan=scan,
        image_size=224,
        classes=CLASSES,
        obtain=RELEASE.obtain,
        reference="Tahir et al., Computers in Biology and Medicine 139, 2021, "
        "doi 10.1016/j.compbiomed.2021.105002",
        licence="as stated on its Kaggle page; gathered from sets with licences of their own",
    )
)
