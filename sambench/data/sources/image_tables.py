"""Releases of breast ultrasound that are one folder of images and a table of facts.

breast      BrEaST-Lesions_USG-images_and_masks/
                case001.png   case001_tumor.png   case001_other1.png ...
            BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx
                CaseID, Image_filename, Mask_tumor_filename, BIRADS, Classification ...
bus-bra     BUSBRA/bus_data.csv              ID, Case, Histology, Pathology, BIRADS, Device, Side
            BUSBRA/5-fold-cv.csv, 10-fold-cv.csv          ID, kFold (from 1)
            BUSBRA/Images/bus_0001-l.png ...    Masks/mask_0001-l.png ...
udiat       original/000001.png ...   GT/000001.png ...
            DatasetB.xlsx                    Image, Type (Benign or Malignant)

The images of BrEaST may also lie beside the workbook. Of the first two, what is missing is
downloaded. UDIAT's numbers have no zeros in front in its workbook, and copies differ in the names
of its columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sambench.data.download import Remote, fetch, unpack
from sambench.data.family import Family, make_listing
from sambench.data.folders import NONE, UNTOLD, find_images, image_id, natural, subfolders
from sambench.data.problems import Problems
from sambench.data.source import Fact, Listing, Option, Request
from sambench.data.tables import Row, Table, labelled_rows, read_fold, read_table


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """The layout of one family; `id_of` makes ids of names of files and of what the table has."""

    ids: tuple[str, ...]  # what the column of the images may be called
    labels: tuple[str, ...]  # what the column of the classes may be called
    facts: Mapping[str, str]  # column of the table by name of the fact; the patient's must be there
    folder: str  # name of the folder of the images, in lower case
    beside: bool = False  # whether the images may also lie beside the table
    masks: str = NONE  # pattern of the names, without suffix, of masks
    id_of: Callable[[str], str] = image_id


def list_images(
    family: Family,
    request: Request,
    layout: ImageTable,
    root: Path,
    table: Table,
    folds: Table | None = None,
) -> Listing:
    """Return the listing of the images that a table names; `folds` has columns ID and kFold."""
    problems = Problems()
    id_column, label_column = table.need(*layout.ids), table.need(*layout.labels)
    if "patient" in layout.facts:
        table.need(layout.facts["patient"])
    columns = {name: found for name, c in layout.facts.items() if (found := table.find(c))}
    folder = subfolders(root, problems).get(layout.folder)
    if folder is None and not layout.beside:
        raise family.refuse(root, f"folder {layout.folder}/")
    rows = labelled_rows(
        table, id_column, label_column, family.classes, problems, id_of=layout.id_of
    )
    fold_of = _folds(folds, rows, table, problems) if folds else {}
    there = find_images(root, {folder or root: UNTOLD}, problems, masks=layout.masks)
    images = {layout.id_of(id): image for id, image in there.items()}
    listed = {layout.id_of(str(row.cells[id_column])) for row in table.rows}
    for id in sorted(images.keys() - listed, key=natural):
        thing = images[id].file
        problems.add(f"image files without a row in {table.path}", thing, "add the rows")
    problems.check()
    if not images:
        raise family.refuse(root)
    ids, wanted = sorted(rows, key=natural), family.wanted(request)
    samples = []
    for id in ids:
        if id in images:
            label, row = rows[id]
            facts: dict[str, Fact] = {"fold": fold_of[id]} if folds else {}
            facts |= {name: row.cells[column] for name, column in columns.items()}
            if facts.get("birads") is not None:
                facts["birads"] = str(facts["birads"]).upper()
            name = images[id].path.stem
            samples.append(replace(images[id], id=name, label=label, facts=facts))
    tables = [table, *([folds] if folds else [])]
    where = f"{folder.name}/" if folder else "images"
    return make_listing(
        root,
        f"{where} with {' and '.join(one.path.name for one in tables)}",
        wanted,
        samples,
        columns=(*(["fold"] if folds else []), *columns),
        checksums={one.path.name: one.sha256 for one in tables},
        missing=tuple(id for id in ids if id not in images and rows[id][0] in wanted),
        unlisted="masks",
    )


def _folds(
    folds: Table, rows: Mapping[str, tuple[str, Row]], table: Table, problems: Problems
) -> dict[str, int | None]:
    id_column, fold_column = folds.need("ID"), folds.need("kFold")
    found = {}
    for row in folds.rows:
        id = str(row.cells[id_column])
        found[id] = read_fold(row, fold_column, id, folds, problems)
    for id in sorted(rows.keys() - found.keys(), key=natural):
        problems.add(f"ids of {table.path} without a fold in {folds.path}", id, "add the rows")
    return found


BREAST_FOLDER = "BrEaST-Lesions_USG-images_and_masks"
_PLACE = "https://www.cancerimagingarchive.net/wp-content/uploads/"
BREAST_IMAGES = Remote(
    url=f"{_PLACE}BrEaST-Lesions_USG-images_and_masks-Dec-15-2023.zip",
    name=f"{BREAST_FOLDER}-Dec-15-2023.zip",
    checksum="sha256:c32e49cdfa54042e065582d0cb35978b5fc5e5b5e461b33bf773fb50cfdad355",
)
BREAST_TABLE = Remote(
    url=f"{_PLACE}BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx",
    name="BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx",
    checksum="sha256:89a8874496a6f1f93960390b963f7369b90f7e72ee08a738f2d17e37f5eff8bf",
)
BREAST = ImageTable(
    ids=("Image_filename",),
    labels=("Classification",),
    facts={"patient": "CaseID", "birads": "BIRADS"},
    folder=BREAST_FOLDER.casefold(),
    beside=True,
    masks=r"_(tumor|other\d*)$",
)


def scan_breast(breast: Family, request: Request) -> Listing:
    """List the images that the workbook of BrEaST names, with patient and BI-RADS category."""
    root = request.raw / breast.name
    if request.folder is None and request.table is None:
        path = fetch(BREAST_TABLE, root, request.progress)
        if not (root / BREAST_FOLDER).is_dir():
            unpack(fetch(BREAST_IMAGES, root, request.progress), root / BREAST_FOLDER)
    else:
        root = breast.given(request)
        found = [one for one in sorted(root.glob("*.xlsx")) if not one.name.startswith("~$")]
        if request.table is None and len(found) != 1:
            raise breast.refuse(root, "single workbook" if found else "workbook")
        path = request.table or found[0]
    return list_images(breast, request, BREAST, root, read_table(path))


Family(
    name="breast",
    summary="breast ultrasound, BrEaST-Lesions-USG: 256 images of 256 patients",
    obtain="cancerimagingarchive.net/collection/breast-lesions-usg, downloaded where it is missing",
    layout="case001.png ... and the clinical-data workbook",
    takes_table=True,
    classes=("normal", "benign", "malignant"),
    options={
        "normal": Option(
            default="drop", choices=("drop", "keep"), help="the four images without a lesion"
        )
    },
    reference="Pawłowska et al., Scientific Data 11, 2024, doi 10.7937/9WKK-Q141",
    licence="CC BY 4.0 (The Cancer Imaging Archive)",
    releases=({"normal": 4, "benign": 154, "malignant": 98},),
).register(scan_breast)

BUS_BRA_ARCHIVE = Remote(
    url="https://zenodo.org/records/8231412/files/BUSBRA.zip?download=1",
    name="BUSBRA.zip",
    checksum="sha256:ba3e6ed19cc37c682d8d39e25435bbf8a555a12cb7e641b5f2117685c95580ff",
)
BUS_BRA = ImageTable(
    ids=("ID",),
    labels=("Pathology",),
    facts={
        "patient": "Case",
        "birads": "BIRADS",
        "device": "Device",
        "side": "Side",
        "histology": "Histology",
    },
    folder="images",
)


def scan_bus_bra(bus_bra: Family, request: Request) -> Listing:
    """List the images of BUS-BRA with patient, fold and what the radiologist wrote."""
    place = request.raw / bus_bra.name
    there = (place / "BUSBRA").is_dir() or (place / "bus_data.csv").is_file()
    if request.folder is None and request.table is None and not there:
        unpack(fetch(BUS_BRA_ARCHIVE, place, request.progress), place / "BUSBRA")
    root = bus_bra.locate(request)
    if not (root / "bus_data.csv").is_file():
        raise bus_bra.refuse(root, "bus_data.csv")
    folds = read_table(root / f"{request.options['folds']}-fold-cv.csv")
    return list_images(bus_bra, request, BUS_BRA, root, read_table(root / "bus_data.csv"), folds)


Family(
    name="bus-bra",
    summary="breast ultrasound, BUS-BRA: 1,875 images of 1,064 patients, patient-level folds",
    obtain="BUSBRA.zip of Zenodo record 8231412, 134 MB, downloaded where it is missing",
    layout="bus_data.csv, 5-fold-cv.csv and Images/",
    wrappers=("BUSBRA",),
    classes=("benign", "malignant"),
    options={"folds": Option(default=5, choices=(5, 10), help="which of the authors' folds")},
    reference="Gómez-Flores et al., BUS-BRA, Medical Physics 51(4), 2024, doi 10.1002/mp.16812",
    licence="its own text: any use is permitted where the paper is cited",
    releases=({"benign": 1268, "malignant": 607},),
).register(scan_bus_bra)

UDIAT = ImageTable(
    ids=("Image", "Image number", "Image_number", "Number", "No", "ID", "Name", "Filename"),
    labels=("Type", "Benign/Malignant", "Label", "Class", "Pathology", "Diagnosis"),
    facts={},
    folder="original",
    id_of=lambda name: image_id(name).removesuffix(".0").lstrip("0") or "0",
)


def scan_udiat(udiat: Family, request: Request) -> Listing:
    """List the images that the workbook of UDIAT names."""
    root = udiat.locate(request)
    beside = [*sorted(root.glob("*.xlsx")), *sorted(root.parent.glob("*.xlsx"))]
    plain = (path.name.casefold().replace("_", "").replace(" ", "") for path in beside)
    found = [path for path, name in zip(beside, plain, strict=True) if name == "datasetb.xlsx"]
    if request.table is None and not found:
        raise udiat.refuse(root, "DatasetB.xlsx")
    return list_images(udiat, request, UDIAT, root, read_table(request.table or found[0]))


Family(
    name="udiat",
    summary="breast ultrasound, UDIAT (Dataset B): 163 images, often mislabelled BUSI",
    obtain="ask Moi Hoon Yap for Dataset B (helward.mmu.ac.uk/STAFF/M.Yap/dataset.php)",
    layout="original/ and DatasetB.xlsx",
    wrappers=("BUS", "Dataset_B", "DatasetB", "Dataset B"),
    takes_table=True,
    classes=("benign", "malignant"),
    reference="Yap et al., IEEE J. Biomedical and Health Informatics 22(4), 2018",
    licence="on request, for research",
    releases=({"benign": 109, "malignant": 54}, {"benign": 110, "malignant": 53}),
).register(scan_udiat)
