"""UDIAT, "Dataset B": breast ultrasound of Sabadell, Spain (Yap et al., 2018).

    original/000001.png ...   GT/000001.png ...
    DatasetB.xlsx             Image, Type (Benign or Malignant)

The workbook's numbers have no zeros in front; copies differ in the names of its columns.
"""

from __future__ import annotations

from pathlib import Path

from sambench.data.folders import image_id
from sambench.data.image_tables import ImageTable
from sambench.data.locating import Release
from sambench.data.source import Listing, Request, Source, sources
from sambench.data.tables import read_table

RELEASE = Release(
    name="udiat",
    obtain="ask Moi Hoon Yap for Dataset B (helward.mmu.ac.uk/STAFF/M.Yap/dataset.php)",
    layout="original/ and DatasetB.xlsx",
    wrappers=("BUS", "Dataset_B", "DatasetB", "Dataset B"),
    takes_table=True,
)
LAYOUT = ImageTable(
    ids=("Image", "Image number", "Image_number", "Number", "No", "ID", "Name", "Filename"),
    labels=("Type", "Benign/Malignant", "Label", "Class", "Pathology", "Diagnosis"),
    classes=("benign", "malignant"),
    facts={},
    folder="original",
    id_of=lambda name: image_id(name).removesuffix(".0").lstrip("0") or "0",
)


def scan(request: Request) -> Listing:
    """List the images that the workbook names.

    Raises:
        DataError: If the files are not there or at fault.
    """
    root = RELEASE.locate(request)
    return LAYOUT.list(RELEASE, root, read_table(request.table or _workbook(root)))


def _workbook(root: Path) -> Path:
    for place in (root, root.parent):
        for path in sorted(place.glob("*.xlsx")):
            if path.name.casefold().replace("_", "").replace(" ", "") == "datasetb.xlsx":
                return path
    raise RELEASE.refuse(root, "DatasetB.xlsx")


sources.register(
    Source(
        name="udiat",
        summary="breast ultrasound, UDIAT (Dataset B): 163 images, often mislabelled BUSI",
        scan=scan,
        image_size=256,
        classes=LAYOUT.classes,
        obtain=RELEASE.obtain,
        reference="Yap et al., IEEE J. Biomedical and Health Informatics 22(4), 2018",
        licence="on request, for research",
        releases=({"benign": 109, "malignant": 54}, {"benign": 110, "malignant": 53}),
    )
)
