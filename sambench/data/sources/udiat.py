"""UDIAT, "Dataset B": breast ultrasound of Sabadell, Spain (Yap et al., 2018).

    original/000001.png ...   GT/000001.png ...
    DatasetB.xlsx             Image, Type (Benign or Malignant)

The workbook's numbers have no zeros in front; copies differ in the names of its columns.
"""

from __future__ import annotations

from pathlib import Path

from sambench.data.folders import Found, find_images, image_id, natural, subfolders
from sambench.data.locating import Release
from sambench.data.problems import Problems
from sambench.data.source import Listing, Request, Sample, Source, sources
from sambench.data.tables import Table, column_names, labelled_rows, read_table

CLASSES = ("benign", "malignant")
IDS = ("Image", "Image number", "Image_number", "Number", "No", "ID", "Name", "Filename")
LABELS = ("Type", "Benign/Malignant", "Label", "Class", "Pathology", "Diagnosis")
RELEASE = Release(
    name="udiat",
    obtain="ask Moi Hoon Yap for Dataset B (helward.mmu.ac.uk/STAFF/M.Yap/dataset.php)",
    layout="original/ and DatasetB.xlsx",
    wrappers=("BUS", "Dataset_B", "DatasetB", "Dataset B"),
    takes_table=True,
)


def scan(request: Request) -> Listing:
    """List the images that the workbook names.

    Raises:
        DataError: If the files are not there or at fault.
    """
    root = RELEASE.locate(request)
    problems = Problems()
    folder = subfolders(root, problems).get("original")
    if folder is None:
        raise RELEASE.refuse(root, "folder original/")
    path = request.table or _workbook(root)
    images = {
        _number(id): found for id, found in find_images(root, {folder: None}, problems).items()
    }
    table, id_column, label_column = _read(path)
    rows = labelled_rows(table, id_column, label_column, CLASSES, problems, id_of=_number)
    listed = {_number(name) for name in table.texts(id_column)}
    for number in sorted(images.keys() - listed, key=natural):
        thing = images[number].file
        problems.add(f"image files without a row in {path}", thing, "add the rows")
    problems.check()
    ids = sorted(rows, key=natural)
    return Listing(
        root=root,
        layout=f"original/ with {path.name}",
        classes=CLASSES,
        samples=tuple(_sample(images[id], rows[id][0]) for id in ids if id in images),
        checksums={path.name: table.sha256},
        missing=tuple(id for id in ids if id not in images),
    )


def _workbook(root: Path) -> Path:
    for place in (root, root.parent):
        for path in sorted(place.glob("*.xlsx")):
            if path.name.casefold().replace("_", "").replace(" ", "") == "datasetb.xlsx":
                return path
    raise RELEASE.refuse(root, "DatasetB.xlsx")


def _read(path: Path) -> tuple[Table, str, str]:
    """Return the table, and which of its columns holds the images and which the labels."""
    names = {name.casefold(): name for name in column_names(path)}
    ids = [name for name in IDS if name.casefold() in names]
    labels = [name for name in LABELS if name.casefold() in names]
    chosen = ((ids or IDS)[0], (labels or LABELS)[0])
    return read_table(path, chosen), *chosen


def _number(name: str) -> str:
    """Return "1" for "000001.png", "1" and "1.0"."""
    return image_id(name).removesuffix(".0").lstrip("0") or "0"


def _sample(found: Found[None], label: str) -> Sample:
    return Sample(id=found.path.stem, path=found.path, file=found.file, label=label)


sources.register(
    Source(
        name="udiat",
        summary="breast ultrasound, UDIAT (Dataset B): 163 images, often mislabelled BUSI",
        scan=scan,
        image_size=256,
        classes=CLASSES,
        obtain=RELEASE.obtain,
        reference="Yap et al., IEEE J. Biomedical and Health Informatics 22(4), 2018",
        licence="on request, for research",
    )
)
