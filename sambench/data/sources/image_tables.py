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

from sambench.data.download import Remote
from sambench.data.folders import image_id
from sambench.data.source import Option
from sambench.data.tables import Tabled, list_table

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
    obtain="ask Moi Hoon Yap for Dataset B (helward.mmu.ac.uk/STAFF/M.Yap/dataset.php)",
    layout="original/ and DatasetB.xlsx",
    tables=(r"dataset[ _]*b\.xlsx", r"\.\./dataset[ _]*b\.xlsx"),
    ids=("Image", "Image number", "Image_number", "Number", "No", "ID", "Name", "Filename"),
    labels=("Type", "Benign/Malignant", "Label", "Class", "Pathology", "Diagnosis"),
    folder="original",
    id_of=lambda name: image_id(name).removesuffix(".0").lstrip("0") or "0",
    wrappers=("BUS", "Dataset_B", "DatasetB", "Dataset B"),
    takes_table=True,
    classes=("benign", "malignant"),
    reference="Yap et al., IEEE J. Biomedical and Health Informatics 22(4), 2018",
    licence="on request, for research",
    releases=({"benign": 109, "malignant": 54}, {"benign": 110, "malignant": 53}),
).register(list_table)
