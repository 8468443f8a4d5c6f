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

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.data.download import Remote, digest, fetch
from sambench.data.family import Family, archive_samples, rows
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


def scan(family: Family, request: Request) -> Listing:
    """List the images of an archive, which stay in memory until they are prepared."""
    if family.name == "chestmnist" and request.folder is None and request.table is None:
        raise DataError(
            f"dataset 'chestmnist' ({family.obtain}) has fourteen labels for each image: "
            "multi-label sets are not supported; choose another, as pneumoniamnist"
        )
    path, remote = _locate(request, family)
    notes = [NOTES[family.name]] if family.name in NOTES else []
    if not remote.matches(path):
        notes.append(f"{path.name} is not the published file ({remote.checksum})")
    return Listing(
        root=path.parent,
        layout=path.name,
        classes=family.classes,
        samples=tuple(_samples(path, family, _load(path))),
        notes=tuple(notes),
        checksums={path.name: digest(path, "sha256").removeprefix("sha256:")},
    )


def _locate(request: Request, family: Family) -> tuple[Path, Remote]:
    """Return the archive, the user's or downloaded, and what it should be."""
    there, root = dict(zip(SIZES, family.downloads, strict=True)), None
    if request.folder is not None and request.folder.is_file():
        named = (remote for remote in there.values() if remote.name == request.folder.name)
        return request.folder, next(named, there[SIZES[0]])
    if request.folder is not None or request.table is not None:
        root = family.given(request)
        there = {size: remote for size, remote in there.items() if (root / remote.name).is_file()}
        if not there:
            raise family.refuse(root, "archive")
    wanted = request.image_size or SIZES[0]
    remote = there[min((size for size in there if size >= wanted), default=max(there))]
    if root is None:
        return fetch(remote, request.raw / family.name, request.progress), remote
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


def _samples(path: Path, family: Family, arrays: Mapping[str, NDArray[Any]]) -> Iterator[Sample]:
    names = dict(enumerate(family.classes[:: -1 if family.name == "breastmnist" else 1]))
    for name, part in PARTS.items():
        labels = arrays[f"{name}_labels"].reshape(-1).tolist()
        if strange := sorted({str(label) for label in labels if label not in names}):
            known = ", ".join(f"{number} ({label})" for number, label in names.items())
            raise _refuse(path, f"has {', '.join(strange)} in {name}_labels, not {known}")
        images, classes = f"{name}_images", [names[label] for label in labels]
        yield from archive_samples(path, part, images, arrays[images], classes, digits=4)


def _register(name: str, what: str, images: list[int], classes: list[str], md5: list[str]) -> None:
    files = [f"{name}.npz", *(f"{name}_{size}.npz" for size in SIZES[1:])]
    Family(
        name=name,
        summary=f"{what}, MedMNIST: {sum(images):,} images, 28 to 224 px",
        asks="",
        obtain="Zenodo record 10519652, downloaded where it is missing",
        layout=" or ".join(files),
        classes=tuple(classes),
        image_size=SIZES[0],
        reference="Yang et al., MedMNIST v2, Scientific Data 10, 2023, "
        "doi 10.1038/s41597-022-01721-8",
        licence=f"CC BY{'-NC' * (name == 'dermamnist')} 4.0 (Zenodo record 10519652)",
        releases=(dict(zip(PARTS.values(), images, strict=True)),),
        downloads=tuple(
            Remote(url=f"{PLACE}{file}?download=1", name=file, checksum=f"md5:{sum_}")
            for file, sum_ in zip(files, md5, strict=True)
        ),
    ).register(scan)


for _name, _row in rows()["medmnist"].items():
    _register(_name, **_row)
