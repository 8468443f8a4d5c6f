"""BUS-BRA, breast ultrasound of 1,064 patients, folds by patient (Gómez-Flores et al., 2024).

    BUSBRA/bus_data.csv                 ID, Case, Histology, Pathology, BIRADS, Device, Side ...
    BUSBRA/5-fold-cv.csv, 10-fold-cv.csv            ID, kFold (from 1)
    BUSBRA/Images/bus_0001-l.png ...    Masks/mask_0001-l.png ...

`Case` is the patient. A missing folder is downloaded.
"""

from __future__ import annotations

from sambench.data.download import Remote, fetch, unpack
from sambench.data.image_tables import ImageTable
from sambench.data.locating import Release
from sambench.data.source import Listing, Option, Request, Source, sources
from sambench.data.tables import read_table

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
LAYOUT = ImageTable(
    ids=("ID",),
    labels=("Pathology",),
    classes=("benign", "malignant"),
    facts={
        "patient": "Case",
        "birads": "BIRADS",
        "device": "Device",
        "side": "Side",
        "histology": "Histology",
    },
    folder="images",
)


def scan(request: Request) -> Listing:
    """List the images with patient, fold and what the radiologist wrote.

    Raises:
        DataError: If the files are at fault, or cannot be downloaded.
        StoreError: If the disk refuses.
    """
    place = request.raw / RELEASE.name
    there = (place / "BUSBRA").is_dir() or (place / "bus_data.csv").is_file()
    if request.folder is None and request.table is None and not there:
        unpack(fetch(REMOTE, place, request.progress), place / "BUSBRA")
    root = RELEASE.locate(request)
    if not (root / "bus_data.csv").is_file():
        raise RELEASE.refuse(root, "bus_data.csv")
    folds = read_table(root / f"{request.options['folds']}-fold-cv.csv")
    return LAYOUT.list(RELEASE, root, read_table(root / "bus_data.csv"), folds=folds)


sources.register(
    Source(
        name="bus-bra",
        summary="breast ultrasound, BUS-BRA: 1,875 images of 1,064 patients, patient-level folds",
        scan=scan,
        image_size=256,
        classes=LAYOUT.classes,
        options={"folds": Option(default=5, choices=(5, 10), help="which of the authors' folds")},
        obtain=RELEASE.obtain,
        reference="Gómez-Flores et al., BUS-BRA, Medical Physics 51(4), 2024, doi 10.1002/mp.16812",
        licence="its own text: any use is permitted where the paper is cited",
        releases=({"benign": 1268, "malignant": 607},),
    )
)
