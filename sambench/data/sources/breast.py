"""BrEaST, breast ultrasound of 256 patients from Poland (Pawłowska et al., 2024).

    BrEaST-Lesions_USG-images_and_masks/
        case001.png   case001_tumor.png   case001_other1.png ...
    BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx
        CaseID, Image_filename, Mask_tumor_filename, Mask_other_filename, BIRADS, Classification ...

The images may also lie beside the workbook. What is missing is downloaded.
"""

from __future__ import annotations

from pathlib import Path

from sambench.data.download import Remote, fetch, unpack
from sambench.data.image_tables import ImageTable
from sambench.data.locating import Release
from sambench.data.source import Listing, Option, Request, Source, sources
from sambench.data.tables import read_table

FOLDER = "BrEaST-Lesions_USG-images_and_masks"
_PLACE = "https://www.cancerimagingarchive.net/wp-content/uploads/"
IMAGES = Remote(
    url=f"{_PLACE}BrEaST-Lesions_USG-images_and_masks-Dec-15-2023.zip",
    name=f"{FOLDER}-Dec-15-2023.zip",
    checksum="sha256:c32e49cdfa54042e065582d0cb35978b5fc5e5b5e461b33bf773fb50cfdad355",
)
TABLE = Remote(
    url=f"{_PLACE}BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx",
    name="BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx",
    checksum="sha256:89a8874496a6f1f93960390b963f7369b90f7e72ee08a738f2d17e37f5eff8bf",
)
RELEASE = Release(
    name="breast",
    obtain="cancerimagingarchive.net/collection/breast-lesions-usg, downloaded where it is missing",
    layout="case001.png ... and the clinical-data workbook",
    takes_table=True,
)
LAYOUT = ImageTable(
    ids=("Image_filename",),
    labels=("Classification",),
    classes=("normal", "benign", "malignant"),
    facts={"patient": "CaseID", "birads": "BIRADS"},
    folder=FOLDER.casefold(),
    beside=True,
    mask=r"_(tumor|other\d*)$",
)


def scan(request: Request) -> Listing:
    """List the images that the workbook names, with patient and BI-RADS category.

    Raises:
        DataError: If the files are at fault, or cannot be downloaded.
        StoreError: If the disk refuses.
    """
    root, path = _locate(request)
    keep = LAYOUT.classes if request.options["normal"] == "keep" else LAYOUT.classes[1:]
    return LAYOUT.list(RELEASE, root, read_table(path), keep=keep)


def _locate(request: Request) -> tuple[Path, Path]:
    """Return the folder of the images and the workbook, downloaded where the user names none."""
    if request.folder is None and request.table is None:
        place = request.raw / RELEASE.name
        workbook = fetch(TABLE, place, request.progress)
        if not (place / FOLDER).is_dir():
            unpack(fetch(IMAGES, place, request.progress), place / FOLDER)
        return place, workbook
    root = RELEASE.given(request)
    return root, request.table or RELEASE.workbook(root)


sources.register(
    Source(
        name="breast",
        summary="breast ultrasound, BrEaST-Lesions-USG: 256 images of 256 patients",
        scan=scan,
        image_size=256,
        classes=LAYOUT.classes,
        options={
            "normal": Option(
                default="drop", choices=("drop", "keep"), help="the four images without a lesion"
            )
        },
        obtain=RELEASE.obtain,
        reference="Pawłowska et al., Scientific Data 11, 2024, doi 10.7937/9WKK-Q141",
        licence="CC BY 4.0 (The Cancer Imaging Archive)",
        releases=({"normal": 4, "benign": 154, "malignant": 98},),
    )
)
