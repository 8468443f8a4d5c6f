"""BrEaST, breast ultrasound of 256 patients from Poland (Pawłowska et al., 2024).

    BrEaST-Lesions_USG-images_and_masks/
        case001.png   case001_tumor.png   case001_other1.png ...
    BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx
        CaseID, Image_filename, Mask_tumor_filename, Mask_other_filename, BIRADS, Classification ...

The images may also lie beside the workbook. What is missing is downloaded.
"""

from __future__ import annotations

import re
from pathlib import Path

from sambench.data.class_folders import present
from sambench.data.download import Remote, fetch, unpack
from sambench.data.folders import find_images, image_id, natural, subfolders
from sambench.data.locating import Release
from sambench.data.problems import Problems
from sambench.data.source import Fact, Listing, Option, Request, Sample, Source, sources
from sambench.data.tables import Row, labelled_rows, read_workbook

CLASSES = ("normal", "benign", "malignant")
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


def scan(request: Request) -> Listing:
    """List the images that the workbook names, with patient and BI-RADS category.

    Raises:
        DataError: If the files are at fault, or cannot be downloaded.
        StoreError: If the disk refuses.
    """
    root, path = _locate(request)
    problems = Problems()
    table = read_workbook(path, None, ("CaseID", "Image_filename", "Classification"), ("BIRADS",))
    keep = CLASSES if request.options["normal"] == "keep" else CLASSES[1:]
    rows = labelled_rows(
        table, "Image_filename", "Classification", CLASSES, problems, id_of=image_id
    )
    folder = subfolders(root, problems).get(FOLDER.casefold(), root)
    images = find_images(root, {folder: None}, problems, keep=_is_image)
    listed = {image_id(name) for name in table.texts("Image_filename")}
    for id in sorted(images.keys() - listed, key=natural):
        thing = images[id].file
        problems.add(f"image files without a row in {path}", thing, "add the rows")
    problems.check()
    if not images:
        raise RELEASE.refuse(root)
    ids = [id for id in sorted(rows, key=natural) if rows[id][0] in keep]
    samples = tuple(
        Sample(
            id=id,
            path=images[id].path,
            file=images[id].file,
            label=rows[id][0],
            facts=_facts(rows[id][1]),
        )
        for id in ids
        if id in images
    )
    classes, absent = present(keep, samples, root)
    return Listing(
        root=root,
        layout=f"images with {path.name}",
        classes=classes,
        samples=samples,
        columns=("patient", "birads"),
        notes=absent,
        checksums={path.name: table.sha256},
        missing=tuple(id for id in ids if id not in images),
    )


def _locate(request: Request) -> tuple[Path, Path]:
    """Return the folder of the images and the workbook, downloaded where the user names none."""
    if request.folder is None and request.table is None:
        place = request.raw / RELEASE.name
        workbook = fetch(TABLE, place, request.progress)
        if not (place / FOLDER).is_dir():
            unpack(fetch(IMAGES, place, request.progress), place / FOLDER)
        return place, workbook
    root = RELEASE.given(request)
    workbooks = [path for path in sorted(root.glob("*.xlsx")) if not path.name.startswith("~$")]
    if request.table is None and len(workbooks) != 1:
        raise RELEASE.refuse(root, "workbook" if not workbooks else "single workbook")
    return root, request.table or workbooks[0]


def _is_image(stem: str) -> bool:
    return re.search(r"_(tumor|other\d*)$", stem) is None


def _facts(row: Row) -> dict[str, Fact]:
    grade = row.cells.get("BIRADS")
    return {
        "patient": str(row.cells["CaseID"]),
        "birads": None if grade is None else str(grade).removesuffix(".0").upper(),
    }


sources.register(
    Source(
        name="breast",
        summary="breast ultrasound, BrEaST-Lesions-USG: 256 images of 256 patients",
        scan=scan,
        image_size=256,
        classes=CLASSES,
        options={
            "normal": Option(
                default="drop", choices=("drop", "keep"), help="the four images without a lesion"
            )
        },
        obtain=RELEASE.obtain,
        reference="Pawłowska et al., Scientific Data 11, 2024, doi 10.7937/9WKK-Q141",
        licence="CC BY 4.0 (The Cancer Imaging Archive)",
    )
)
