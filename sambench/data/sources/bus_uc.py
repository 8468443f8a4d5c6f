"""BUS-UC: 811 breast-ultrasound images (Iqbal, Mendeley Data 3ksd7w7jkx).

{Benign,Malignant}/{images,masks}/01.png ...      All/ repeats them and is passed over
"""

from __future__ import annotations

from sambench.data.class_folders import ClassFolders, list_classes
from sambench.data.locating import Release
from sambench.data.source import Listing, Request, Source, sources

CLASSES = ("benign", "malignant")
RELEASE = Release(
    name="bus-uc",
    obtain="download it from data.mendeley.com/datasets/3ksd7w7jkx and unpack it",
    layout="Benign/ and Malignant/",
    wrappers=("BUS_UC", "BUS-UC"),
)


def scan(request: Request) -> Listing:
    """List the images; names repeat between the classes, so the folder is part of the id.

    Raises:
        DataError: If the folder is not there or not this set's, or files are at fault.
    """
    labels = {label: label for label in CLASSES}
    return list_classes(RELEASE, request, ClassFolders(labels=labels), CLASSES)


sources.register(
    Source(
        name="bus-uc",
        summary="breast ultrasound, BUS-UC: 811 images",
        scan=scan,
        image_size=256,
        classes=CLASSES,
        obtain=RELEASE.obtain,
        reference="Iqbal, BUS_UC, Mendeley Data, 2023, doi 10.17632/3ksd7w7jkx",
        licence="as stated on its Mendeley Data page",
    )
)
