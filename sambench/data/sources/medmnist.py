"""The twelve 2-D sets of MedMNIST (Yang et al., 2023): one npz archive for each set and size.

    breastmnist.npz, breastmnist_64.npz, _128, _224
        {train,val,test}_images   (N, S, S) or (N, S, S, 3) uint8
        {train,val,test}_labels   (N, 1) uint8

The archive taken is the smallest that is no smaller than the prepared images, else the largest.
Archives are read without pickle. BreastMNIST's labels are turned round: the release says 0 for
malignant, every other set here counts malignant as the later class. ChestMNIST has fourteen labels
for each image, which is not supported.

Names, counts and checksums are those of the package medmnist 3.0.2, the names shortened.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.data.download import Remote, digest, fetch
from sambench.data.family import Family, archive_samples
from sambench.data.source import Listing, Request, Sample
from sambench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARTS = {"train": "train", "val": "validation", "test": "test"}
SIZES = (28, 64, 128, 224)
PLACE = "https://zenodo.org/records/10519652/files/"
NOTES = {
    "breastmnist": "made from BUSI: benign holds its normal images too, its duplicates are "
    "inherited, and it is no external test of a network trained on BUSI",
    "pneumoniamnist": "made from the children's chest X-rays of Kermany et al., patients not named",
}


@dataclass(frozen=True, kw_only=True)
class Member(Family):
    """One set of the collection, with the md5 of the published archive of each size."""

    md5: Mapping[int, str]

    def remote(self, size: int) -> Remote:
        """Return the published archive of a size."""
        name = archive_name(self.name, size)
        return Remote(url=f"{PLACE}{name}?download=1", name=name, checksum=f"md5:{self.md5[size]}")


def archive_name(name: str, size: int) -> str:
    """Return what the archive of a set is called at a size."""
    return f"{name}.npz" if size == SIZES[0] else f"{name}_{size}.npz"


TABLE = """
breastmnist | breast ultrasound | 546 78 156
  benign, malignant
    750601b1f35ba3300ea97c75c52ff8f6 742edef2a1fd1524b2efff4bd7ba9364
    363e4b3f8d712e9b5de15470a2aaadf1 b56378a6eefa9fed602bb16d192d4c8b
pneumoniamnist | chest X-rays of children | 4708 524 624
  normal, pneumonia
    28209eda62fecd6e6a2d98b1501bb15f 8f4eceb4ccffa70c672198ea285246c6
    05b46931834c231683c68f40c47b2971 d6a3c71de1b945ea11211b03746c1fe1
pathmnist | tissue of the colon | 89996 10004 7180
  adipose, background, debris, lymphocytes, mucus, smooth muscle, normal mucosa, cancer-associated
    stroma, adenocarcinoma epithelium
    a8b06965200029087d5bd730944a56c1 55aa9c1e0525abe5a6b9d8343a507616
    ac42d08fb904d92c244187169d1fd1d9 2c51a510bcdc9cf8ddb2af93af1eadec
dermamnist | lesions of the skin | 7007 1003 2005
  actinic keratosis, basal cell carcinoma, benign keratosis, dermatofibroma, melanoma, melanocytic
    nevus, vascular lesion
    0744692d530f8e62ec473284d019b0c7 b70a2f5635c6199aeaa28c31d7202e1f
    2defd784463fa5243564e855ed717de1 8974907d8e169bef5f5b96bc506ae45d
octmnist | optical coherence tomography of the retina | 97477 10832 1000
  choroidal neovascularization, diabetic macular edema, drusen, normal
    c68d92d5b585d8d81f7112f81e2d0842 e229e9440236b774d9f0dfef9d07bdaf
    0a97e76651ace45c5d943ee3f65b63ae abc493b6d529d5de7569faaef2773ba3
retinamnist | fundus of the eye, grades of diabetic retinopathy | 1080 120 400
  0, 1, 2, 3, 4
    bd4c0672f1bba3e3a89f0e4e876791e4 afda852cc34dcda56f86ad2b2457dbcc
    e48e916a24454daf90583d4e6efb1a18 eae7e3b6f3fcbda4ae613ebdcbe35348
bloodmnist | blood cells | 11959 1712 3421
  basophil, eosinophil, erythroblast, immature granulocyte, lymphocyte, monocyte, neutrophil,
    platelet
    7053d0359d879ad8a5505303e11de1dc 2b94928a2ae4916078ca51e05b6b800b
    adace1e0ed228fccda1f39692059dd4c b718ff6835fcbdb22ba9eacccd7b2601
tissuemnist | cells of the kidney | 165466 23640 47280
  collecting duct, distal convoluted tubule, glomerular endothelium, interstitial endothelium,
    leukocytes, podocytes, proximal tubule, thick ascending limb
    ebe78ee8b05294063de985d821c1c34b 123ece2eba09d0aa5d698fda57103344
    61b955355d7425a89687b06cca3ce0c2 b077128c4a949f0a4eb01517f9037b9c
organamnist | organs in axial CT | 34561 6491 17778
  bladder, femur-left, femur-right, heart, kidney-left, kidney-right, liver, lung-left,
    lung-right, pancreas, spleen
    68e3f8846a6bd62f0c9bf841c0d9eacc 2dcccc29b88e6da5a01161ef20cda288
    eeae80d0a227a8d099027e1b3cfd3b60 50747347e05c87dd3aaf92c49f9f3170
organcmnist | organs in coronal CT | 12975 2392 8216
  bladder, femur-left, femur-right, heart, kidney-left, kidney-right, liver, lung-left,
    lung-right, pancreas, spleen
    b9ceb9546e10131b32923c5bbeaea2b1 3ce34a8724ea6f548e6db4744d03b6a9
    773c1f009daa3fe5d9a2a201b2a7ed94 050f5e875dc056f6768abf94ec9995d1
organsmnist | organs in sagittal CT | 13932 2452 8827
  bladder, femur-left, femur-right, heart, kidney-left, kidney-right, liver, lung-left,
    lung-right, pancreas, spleen
    9ab87b696fb54e2a387ebe992d6ed5f1 53a6d115339d874c25e309a994ff46d3
    ded0c5fa01a95dc4978b956f613e9b8e b354719e553fbbb2513d5533f52a4cb1
chestmnist | chest X-rays with 14 labels each (not supported) | 78468 11219 22433
  atelectasis, cardiomegaly, effusion, infiltration, mass, nodule, pneumonia, pneumothorax,
    consolidation, edema, emphysema, fibrosis, pleural, hernia
    02c8a6516a18b556561a56cbdd36c4a8 9de6cd0b934ebb5b7426cfba5efbae16
    db107e5590b27930b62dbaf558aebee3 45bd33e6f06c3e8cdb481c74a89152aa
"""
"""Name, what is seen, images of train, validation and test; classes; md5 at each size."""


def _member(entry: str) -> Member:
    head, *lines = entry.splitlines()
    name, what, numbers = head.split(" | ")
    counts = dict(zip(PARTS.values(), map(int, numbers.split()), strict=True))
    return Member(
        name=name,
        summary=f"{what}, MedMNIST: {sum(counts.values()):,} images, 28 to 224 px",
        obtain="Zenodo record 10519652, downloaded where it is missing",
        layout=" or ".join(archive_name(name, size) for size in SIZES),
        classes=tuple(" ".join(" ".join(lines[:-2]).split()).split(", ")),
        image_size=SIZES[0],
        reference="Yang et al., MedMNIST v2, Scientific Data 10, 2023, "
        "doi 10.1038/s41597-022-01721-8",
        licence=f"CC BY{'-NC' * (name == 'dermamnist')} 4.0 (Zenodo record 10519652)",
        releases=(counts,),
        md5=dict(zip(SIZES, " ".join(lines[-2:]).split(), strict=True)),
    )


def scan(member: Member, request: Request) -> Listing:
    """List the images of an archive, which stay in memory until they are prepared."""
    if member.name == "chestmnist" and request.folder is None and request.table is None:
        raise DataError(
            f"dataset 'chestmnist' ({member.obtain}) has fourteen labels for each image: "
            "multi-label sets are not supported; choose another, as pneumoniamnist"
        )
    path, remote = _locate(request, member)
    notes = [NOTES[member.name]] if member.name in NOTES else []
    if not remote.matches(path):
        notes.append(f"{path.name} is not the published file ({remote.checksum})")
    return Listing(
        root=path.parent,
        layout=path.name,
        classes=member.classes,
        samples=tuple(_samples(path, member, _load(path))),
        notes=tuple(notes),
        checksums={path.name: digest(path, "sha256").removeprefix("sha256:")},
    )


def _locate(request: Request, member: Member) -> tuple[Path, Remote]:
    """Return the archive, the user's or downloaded, and what it should be."""
    there, root = {size: member.remote(size) for size in SIZES}, None
    if request.folder is not None and request.folder.is_file():
        named = {remote.name: remote for remote in there.values()}
        return request.folder, named.get(request.folder.name, there[SIZES[0]])
    if request.folder is not None or request.table is not None:
        root = member.given(request)
        there = {size: remote for size, remote in there.items() if (root / remote.name).is_file()}
        if not there:
            raise member.refuse(root, "archive")
    wanted = request.image_size or SIZES[0]
    remote = there[min((size for size in there if size >= wanted), default=max(there))]
    if root is None:
        return fetch(remote, request.raw / member.name, request.progress), remote
    return root / remote.name, remote


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Read the six arrays, none of which may be missing, of objects, or of another shape."""
    import numpy as np

    names = [f"{part}_{kind}" for part in PARTS for kind in ("images", "labels")]
    damaged = f"{path} is no npz archive or cut short; download it again"
    if not zipfile.is_zipfile(path):
        raise DataError(damaged)
    arrays, name = {}, ""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if missing := [name for name in names if name not in archive]:
                there = ", ".join(archive.files)
                raise _refuse(path, f"has no array {', '.join(missing)}, but {there}")
            for name in names:
                arrays[name] = archive[name]
    except ValueError as error:
        why = f"has {name} that cannot be read as plain numbers ({error})"
        raise _refuse(path, f"{why}; pickled objects can run code and are refused") from error
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(damaged) from error
    for part in PARTS:
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        square = images.ndim in (3, 4) and images.shape[3:] in ((), (3,))
        if labels.ndim == 2 and labels.shape[1] > 1:
            many = labels.shape[1]
            why = f"has {many} labels for each image: multi-label sets are not supported"
            raise _refuse(path, why)
        if images.dtype != np.uint8 or not square or labels.size != len(images):
            what = f"{part} images {images.dtype} {images.shape} and labels {labels.shape}"
            raise _refuse(path, f"has {what}, not uint8 (N, S, S) and (N, 1)")
    return arrays


def _refuse(path: Path, why: str) -> DataError:
    return DataError(f"{path} {why}; give the archive of this MedMNIST set")


def _samples(path: Path, member: Member, arrays: Mapping[str, NDArray[Any]]) -> Iterator[Sample]:
    names = dict(enumerate(member.classes[:: -1 if member.name == "breastmnist" else 1]))
    for name, part in PARTS.items():
        labels = arrays[f"{name}_labels"].reshape(-1).tolist()
        if strange := sorted({str(label) for label in labels if label not in names}):
            known = ", ".join(f"{number} ({label})" for number, label in names.items())
            raise _refuse(path, f"has {', '.join(strange)} in {name}_labels, not {known}")
        images, classes = f"{name}_images", [names[label] for label in labels]
        yield from archive_samples(path, part, images, arrays[images], classes, digits=4)


MEMBERS = tuple(_member(entry).register(scan) for entry in re.split(r"\n(?=\w)", TABLE.strip()))
