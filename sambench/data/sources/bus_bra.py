"""BUS-BRA, breast ultrasound of 1,064 patients, folds by patient (Gómez-Flores et al., 2024).

    BUSBRA/bus_data.csv                 ID, Case, Histology, Pathology, BIRADS, Device, Side ...
    BUSBRA/5-fold-cv.csv, 10-fold-cv.csv            ID, kFold (from 1)
    BUSBRA/Images/bus_0001-l.png ...    Masks/mask_0001-l.png ...

`Case` is the patient. A missing folder is downloaded.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sambench.data.download import Remote, fetch, unpack
from sambench.data.folders import Found, find_images, natural, subfolders
from sambench.data.locating import Release
from sambench.data.problems import Problems
from sambench.data.source import Fact, Listing, Option, Request, Sample, Source, sources
from sambench.data.tables import Row, Table, labelled_rows, read_csv, whole_number

CLASSES = ("benign", "malignant")
REMOTE = Remote(
    url="https://zenodo.org/records/8231412/files/BUSBRA.zip?download=1",
    name="BUSBRA.zip",
    checksum="sha256:ba3e6ed19cc37c682d8d39e25435bbf8a555a12cb7e641b5f2117685c95580ff",
)
RELEASE = Release(
    name="bus-bra",
    obtain="BUSBRA.zip of Zenodo record 8231412, 134 MB, downloaded where it is missing",
    layout="bus_data.csv, 5-fold-cv.csv and Images/",
    wrappers=("BUSBRA",),
)
FACTS = {
    "patient": "Case",
    "birads": "BIRADS",
    "device": "Device",
    "side": "Side",
    "histology": "Histology",
}
"""Columns of `samples.csv` by column of the release; only the patient must be there."""


def scan(request: Request) -> Listing:
    """List the images with patient, fold and what the radiologist wrote.

    Raises:
        DataError: If the files are at fault, or cannot be downloaded.
        StoreError: If the disk refuses.
    """
    root = _locate(request)
    problems = Problems()
    table = read_csv(root / "bus_data.csv", ("ID", "Pathology", "Case"), tuple(FACTS.values())[1:])
    folds_path = root / f"{request.options['folds']}-fold-cv.csv"
    folds = read_csv(folds_path, ("ID", "kFold"))
    rows = labelled_rows(table, "ID", "Pathology", CLASSES, problems)
    fold_of = _folds(folds, problems)
    images = _images(root, problems)
    for id in sorted(rows.keys() - fold_of.keys(), key=natural):
        problems.add(f"ids of {table.path} without a fold in {folds.path}", id, "add the rows")
    for id in sorted(images.keys() - table.texts("ID"), key=natural):
        thing = images[id].file
        problems.add(f"image files without a row in {table.path}", thing, "add the rows")
    problems.check()
    ids = sorted(rows, key=natural)
    samples = tuple(
        Sample(
            id=id,
            path=images[id].path,
            file=images[id].file,
            label=rows[id][0],
            facts={"fold": fold_of[id], **_facts(rows[id][1])},
        )
        for id in ids
        if id in images
    )
    present = [name for name, column in FACTS.items() if column in table.rows[0].cells]
    return Listing(
        root=root,
        layout=f"Images/ with bus_data.csv and {folds.path.name}",
        classes=CLASSES,
        samples=samples,
        columns=("fold", *present),
        notes=(_note(samples),),
        checksums={table.path.name: table.sha256, folds.path.name: folds.sha256},
        missing=tuple(id for id in ids if id not in images),
    )


def _locate(request: Request) -> Path:
    """Return the folder with bus_data.csv, downloaded where the user names none."""
    place = request.raw / RELEASE.name
    there = (place / "BUSBRA").is_dir() or (place / "bus_data.csv").is_file()
    if request.folder is None and request.table is None and not there:
        unpack(fetch(REMOTE, place, request.progress), place / "BUSBRA")
    root = RELEASE.locate(request)
    if not (root / "bus_data.csv").is_file():
        raise RELEASE.refuse(root, "bus_data.csv")
    return root


def _images(root: Path, problems: Problems) -> dict[str, Found[None]]:
    folder = subfolders(root, problems).get("images")
    if folder is None:
        raise RELEASE.refuse(root, "folder Images/")
    return find_images(root, {folder: None}, problems)


def _folds(table: Table, problems: Problems) -> dict[str, int]:
    folds = {}
    for row in table.rows:
        fold = whole_number(row.cells["kFold"])
        if fold is None:
            thing = f"{row.cells['ID']} has {row.cells['kFold']!r} (row {row.number})"
            problems.add(f"folds in {table.path} that are no integer", thing, "correct them")
        else:
            folds[str(row.cells["ID"])] = fold
    return folds


def _facts(row: Row) -> dict[str, Fact]:
    return {
        name: None if row.cells[column] is None else str(row.cells[column])
        for name, column in FACTS.items()
        if column in row.cells
    }


def _note(samples: tuple[Sample, ...]) -> str:
    folds_of: dict[Fact, set[Fact]] = {}
    for sample in samples:
        folds_of.setdefault(sample.facts["patient"], set()).add(sample.facts["fold"])
    sizes = Counter(sample.facts["fold"] for sample in samples)
    told = ", ".join(f"{fold} ({sizes[fold]})" for fold in sorted(sizes, key=str))
    split = sum(len(folds) > 1 for folds in folds_of.values())
    ending = f"{split} of them in several folds" if split else "none in two folds"
    return f"folds (and images): {told}; {len(folds_of)} patients, {ending}"


sources.register(
    Source(
        name="bus-bra",
        summary="breast ultrasound, BUS-BRA: 1,875 images of 1,064 patients, patient-level folds",
        scan=scan,
        image_size=256,
        classes=CLASSES,
        options={"folds": Option(default=5, choices=(5, 10), help="which of the authors' folds")},
        obtain=RELEASE.obtain,
        reference="Gómez-Flores et al., BUS-BRA, Medical Physics 51(4), 2024, doi 10.1002/mp.16812",
        licence="CC BY 4.0 (Zenodo record 8231412)",
    )
)
