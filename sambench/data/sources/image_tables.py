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
bus         GDPH/ and SYSUCC/ beside BIRADS&FOLD.xlsx     the release of GDPH&SYSUCC
            img/ beside label.csv                         an older one
            images beside the workbook or CSV             a flat folder

The images of BrEaST may also lie beside the workbook. Of the first two, what is missing is
downloaded. UDIAT's numbers have no zeros in front in its workbook, and copies differ in the names
of its columns. Of GDPH&SYSUCC, the label is the prefix of the id and the centre is the folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sambench.data.download import Remote
from sambench.data.folders import find_images, image_id, natural, subfolders
from sambench.data.problems import Problems, some
from sambench.data.source import Listing, Option, Request, Sample
from sambench.data.tables import GRADES, Row, Tabled, list_table, match, read_table

BREAST_FOLDER = "BrEaST-Lesions_USG-images_and_masks"
_PLACE = "https://www.cancerimagingarchive.net/wp-content/uploads/"

BREAST = Tabled(
    name="breast",
    summary="breast ultrasound, BrEaST-Lesions-USG: 256 images of 256 patients",
    obtain="cancerimagingarchive.net/collection/breast-lesions-usg, downloaded where it is missing",
    layout="case001.png ... and the clinical-data workbook",
    tables=(r"(?!~\$|\.\./).*\.xlsx",),
    ids=("Image_filename",),
    labels=("Classification",),
    facts={"patient": "CaseID", "birads": "BIRADS"},
    folder=BREAST_FOLDER.casefold(),
    beside=True,
    masks=r"_(tumor|other\d*)$",
    classes=("normal", "benign", "malignant"),
    options={
        "normal": Option(
            default="drop", choices=("drop", "keep"), help="the four images without a lesion"
        )
    },
    reference="Pawłowska et al., Scientific Data 11, 2024, doi 10.7937/9WKK-Q141",
    licence="CC BY 4.0 (The Cancer Imaging Archive)",
    releases=({"normal": 4, "benign": 154, "malignant": 98},),
    downloads=(
        Remote(
            url=f"{_PLACE}BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx",
            name="BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx",
            checksum="sha256:89a8874496a6f1f93960390b963f7369b90f7e72ee08a738f2d17e37f5eff8bf",
        ),
        Remote(
            url=f"{_PLACE}{BREAST_FOLDER}-Dec-15-2023.zip",
            name=f"{BREAST_FOLDER}-Dec-15-2023.zip",
            checksum="sha256:c32e49cdfa54042e065582d0cb35978b5fc5e5b5e461b33bf773fb50cfdad355",
        ),
    ),
    unpacked=(BREAST_FOLDER,),
).register(list_table)

BUS_BRA = Tabled(
    name="bus-bra",
    summary="breast ultrasound, BUS-BRA: 1,875 images of 1,064 patients, patient-level folds",
    obtain="BUSBRA.zip of Zenodo record 8231412, 134 MB, downloaded where it is missing",
    layout="bus_data.csv, 5-fold-cv.csv and Images/",
    tables=("bus_data.csv",),
    takes_table=False,
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
    wrappers=("BUSBRA",),
    classes=("benign", "malignant"),
    options={"folds": Option(default=5, choices=(5, 10), help="which of the authors' folds")},
    reference="Gómez-Flores et al., BUS-BRA, Medical Physics 51(4), 2024, doi 10.1002/mp.16812",
    licence="its own text: any use is permitted where the paper is cited",
    releases=({"benign": 1268, "malignant": 607},),
    downloads=(
        Remote(
            url="https://zenodo.org/records/8231412/files/BUSBRA.zip?download=1",
            name="BUSBRA.zip",
            checksum="sha256:ba3e6ed19cc37c682d8d39e25435bbf8a555a12cb7e641b5f2117685c95580ff",
        ),
    ),
    unpacked=("BUSBRA", "bus_data.csv"),
).register(list_table)

Tabled(
    name="udiat",
    summary="breast ultrasound, UDIAT (Dataset B): 163 images, often mislabelled BUSI",
    asks="--source DIR",
    obtain="ask Moi Hoon Yap for Dataset B (helward.mmu.ac.uk/STAFF/M.Yap/dataset.php)",
    layout="original/ and DatasetB.xlsx",
    tables=(r"dataset[ _]*b\.xlsx", r"\.\./dataset[ _]*b\.xlsx"),
    ids=("Image", "Image number", "Image_number", "Number", "No", "ID", "Name", "Filename"),
    labels=("Type", "Benign/Malignant", "Label", "Class", "Pathology", "Diagnosis"),
    folder="original",
    id_of=lambda name: image_id(name).removesuffix(".0").lstrip("0") or "0",
    wrappers=("BUS", "Dataset_B", "DatasetB", "Dataset B"),
    classes=("benign", "malignant"),
    reference="Yap et al., IEEE J. Biomedical and Health Informatics 22(4), 2018",
    licence="on request, for research",
    releases=({"benign": 109, "malignant": 54}, {"benign": 110, "malignant": 53}),
).register(list_table)

CLASSES = ("benign", "malignant")
CENTRES = ("GDPH", "SYSUCC")
READERS = {"birads_reader1": "BIRADS-reader1", "birads_reader2": "BIRADS-reader2"}
RELEASE = {
    f"{label}({number})": centre
    for centre, label, numbers in (
        ("SYSUCC", "benign", range(443)),
        ("GDPH", "benign", range(443, 886)),
        ("SYSUCC", "malignant", range(1116)),
        ("GDPH", "malignant", range(1116, 1519)),
    )
    for number in numbers
}
"""The centre of each of the 2,405 ids of the real release."""


def scan(bus: Tabled, request: Request) -> Listing:
    """List the images that the workbook or CSV names, with centre, fold and readers' grades."""
    root = bus.given(request)
    problems = Problems()
    path = bus.find_table(request, root)
    book = path.suffix.lower() != ".csv"
    read = read_table(path, "prediction" if book else None)
    names = {"id": "ID", "fold": "fold", **READERS} if book else {"id": "name", "label": "label"}
    table = read.select({what: read.need(name) for what, name in names.items()})
    layout, images = _find(bus, root, problems)
    ids = {image_id(row["id"] or "") for row in table.rows.values()}
    if ids == RELEASE.keys() and not any(found.facts["centre"] for found in images.values()):
        images = {
            id: replace(found, facts={"centre": RELEASE.get(id)}) for id, found in images.items()
        }
    rows: dict[int, Row] = {}
    for number, row in table.rows.items():
        label = "".join(re.findall(r"^[A-Za-z]+", row["id"] or "")).lower()
        rows[number] = {**row, "label": label}
        if not book and label in CLASSES and row["label"] != str(CLASSES.index(label)):
            kind = f"labels in {path} that are not the id's (0 benign, 1 malignant)"
            thing = f"{image_id(str(row['id']))} has {row['label']!r} (row {number})"
            problems.add(kind, thing, "correct label or name")
    samples, missing = match(
        replace(table, rows=rows), images, CLASSES, problems, id_of=image_id, complete=True
    )
    absent = tuple(sorted(missing, key=natural))
    if problems:
        for id in absent:
            problems.add(f"ids without an image file in {root}", id, "restore the files")
        problems.check()
    return Listing(
        root=root,
        layout=f"{layout} with {path.name}",
        classes=CLASSES,
        samples=tuple(samples),
        notes=tuple(_notes(samples)),
        checksums={path.name: table.sha256},
        missing=absent,
    )


def _find(bus: Tabled, root: Path, problems: Problems) -> tuple[str, dict[str, Sample]]:
    """Return a phrase for the layout, and the image files by id."""
    present = subfolders(root, problems)
    folders = {present[name.casefold()]: name for name in CENTRES if name.casefold() in present}
    for name in set(CENTRES) - set(folders.values()) if folders else ():
        problems.add(f"no folder in {root} named", f"{name}/", "put it beside the other centre")
    layout = " and ".join(CENTRES) if folders else "img/" if "img" in present else "a flat folder"
    meanings = {path: ("", {"centre": centre}) for path, centre in folders.items()}
    flat = {present.get("img", root): ("", {"centre": None})}
    images = find_images(root, meanings or flat, problems)
    if not images:
        raise bus.refuse(root)
    return layout, images


def _notes(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield what was kept and should be known: odd grades, an unknown centre."""
    for reader in READERS:
        grades = [(sample.id, sample.facts.get(reader)) for sample in samples]
        odd = [f"{id} ({grade!r})" for id, grade in grades if grade and grade not in GRADES]
        empty = [id for id, grade in grades if grade is None]
        if odd:
            yield f"{reader}: grades that are no BI-RADS category, kept as written: {some(odd)}"
        if empty and len(empty) < len(samples):
            yield f"{reader}: no grade for {some(empty)}"
    if any(sample.facts["centre"] is None for sample in samples):
        yield "the centre is unknown: neither the folders nor the ids tell it"


Tabled(
    name="bus",
    summary="breast ultrasound, GDPH&SYSUCC: 2,405 images, benign or malignant, two centres",
    asks='--xlsx "BIRADS&FOLD.xlsx"',
    obtain="manual download, link at github.com/yuhaomo/HoVerTrans",
    layout="GDPH/ and SYSUCC/ beside BIRADS&FOLD.xlsx, or img/ beside label.csv",
    tables=(r"BIRADS&FOLD\.xlsx", r"(?!~\$|\.\./).*\.xlsx", r"label\.csv"),
    classes=CLASSES,
    reference="Mo et al., HoVer-Trans, IEEE Transactions on Medical Imaging 42(6), 2023",
    licence="none accompanies the release; its authors ask to cite the paper",
    releases=({"benign": 886, "malignant": 1519},),
).register(scan)
