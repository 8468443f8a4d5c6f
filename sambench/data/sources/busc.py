"""BUSC: 250 breast-ultrasound images of 64 x 64 pixels (Rodrigues, Mendeley Data wmy84gzngw).

originals/{benign,malignant}/*.bmp
"""

from __future__ import annotations

from sambench.data.class_folders import ClassFolders, list_classes
from sambench.data.locating import Release
from sambench.data.source import Listing, Request, Source, sources

CLASSES = ("benign", "malignant")
RELEASE = Release(
    name="busc",
    obtain="download it from data.mendeley.com/datasets/wmy84gzngw and unpack it",
    layout="originals/benign/ and originals/malignant/",
    wrappers=("us-dataset", "originals"),
)


def scan(request: Request) -> Listing:
    """List the images.

    Raises:
        DataError: If the folder is not there or not this set's, or files are at fault.
    """
    labels = {label: label for label in CLASSES}
    return list_classes(RELEASE, request, ClassFolders(labels=labels), CLASSES)


sources.register(
    Source(
        name="busc",
        summary="breast ultrasound, BUSC: 250 small images",
        scan=scan,
        image_size=64,
        classes=CLASSES,
        obtain=RELEASE.obtain,
        reference="Rodrigues, Mendeley Data, 2017, doi 10.17632/wmy84gzngw",
        licence="as stated on its Mendeley Data page",
    )
)
