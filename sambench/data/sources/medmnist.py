"""BreastMNIST and PneumoniaMNIST (Yang et al., 2023): one npz archive for each size.

    breastmnist.npz, breastmnist_64.npz, _128, _224
        {train,val,test}_images   (N, S, S) uint8
        {train,val,test}_labels   (N, 1) uint8

The archive taken is the smallest that is no smaller than the prepared images, else the largest.
Archives are read without pickle. BreastMNIST's labels are turned round: the release says 0 for
malignant, every other set here counts malignant as the later class.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.data.class_folders import part_notes
from sambench.data.download import Remote, digest, fetch
from sambench.data.locating import Release
from sambench.data.source import Listing, Request, Sample, Source, sources
from sambench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARTS = {"train": "train", "val": "validation", "test": "test"}
SIZES = (28, 64, 128, 224)
PLACE = "https://zenodo.org/records/10519652/files/"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One set of the collection.

    Attributes:
        name: As in the names of the archives.
        classes: In label order.
        release_labels: The release's number for each class.
        md5: Of the published archive of each size.
        note: What a user should know.
    """

    name: str
    classes: tuple[str, ...]
    release_labels: tuple[int, ...]
    md5: Mapping[int, str]
    note: str

    def remote(self, size: int) -> Remote:
        """Return the published archive of a size."""
        name = f"{self.name}.npz" if size == SIZES[0] else f"{self.name}_{size}.npz"
        return Remote(url=f"{PLACE}{name}?download=1", name=name, checksum=f"md5:{self.md5[size]}")

    @property
    def release(self) -> Release:
        """What a user can have on disk."""
        return Release(
            name=self.name,
            obtain="Zenodo record 10519652, downloaded where it is missing",
            layout=" or ".join(self.remote(size).name for size in SIZES),
        )


BREAST = Member(
    name="breastmnist",
    classes=("benign", "malignant"),
    release_labels=(1, 0),
    md5={
        28: "750601b1f35ba3300ea97c75c52ff8f6",
        64: "742edef2a1fd1524b2efff4bd7ba9364",
        128: "363e4b3f8d712e9b5de15470a2aaadf1",
        224: "b56378a6eefa9fed602bb16d192d4c8b",
    },
    note="made from BUSI: benign holds its normal images too, its duplicates are inherited, and "
    "it is no external test of a network trained on BUSI",
)
PNEUMONIA = Member(
    name="pneumoniamnist",
    classes=("normal", "pneumonia"),
    release_labels=(0, 1),
    md5={
        28: "28209eda62fecd6e6a2d98b1501bb15f",
        64: "8f4eceb4ccffa70c672198ea285246c6",
        128: "05b46931834c231683c68f40c47b2971",
        224: "d6a3c71de1b945ea11211b03746c1fe1",
    },
    note="made from the children's chest X-rays of Kermany et al., patients not named",
)


def scan(request: Request, member: Member) -> Listing:
    """List the images of an archive, which stay in memory until they are prepared.

    Raises:
        DataError: If the archive cannot be had, is damaged, holds pickled objects, or is not of
            this set.
        StoreError: If the disk refuses.
    """
    path, size = _locate(request, member)
    arrays = _load(path)
    samples = [sample for part in PARTS for sample in _samples(path, member, part, arrays)]
    remote = member.remote(size)
    published = (
        ()
        if remote.matches(path)
        else (f"{path.name} is not the published file ({remote.checksum})",)
    )
    return Listing(
        root=path.parent,
        layout=path.name,
        classes=member.classes,
        samples=tuple(samples),
        columns=("part",),
        notes=(member.note, *part_notes(samples), *published),
        checksums={path.name: digest(path, "sha256").removeprefix("sha256:")},
    )


def _locate(request: Request, member: Member) -> tuple[Path, int]:
    """Return the archive and its size: the user's, or downloaded."""
    wanted = request.image_size or SIZES[0]
    if request.folder is None and request.table is None:
        size = _best(SIZES, wanted)
        return fetch(member.remote(size), request.raw / member.name, request.progress), size
    if request.folder is not None and request.folder.is_file():
        sizes = {member.remote(size).name: size for size in SIZES}
        return request.folder, sizes.get(request.folder.name, SIZES[0])
    root = member.release.given(request)
    there = [size for size in SIZES if (root / member.remote(size).name).is_file()]
    if not there:
        raise member.release.refuse(root, "archive")
    size = _best(there, wanted)
    return root / member.remote(size).name, size


def _best(sizes: Sequence[int], wanted: int) -> int:
    return min((size for size in sizes if size >= wanted), default=max(sizes))


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Read the six arrays.

    Raises:
        DataError: If one is missing, not of numbers, or of the wrong shape.
    """
    import numpy as np

    names = [f"{part}_{kind}" for part in PARTS for kind in ("images", "labels")]
    damaged = f"{path} is no npz archive or cut short; download it again"
    if not zipfile.is_zipfile(path):
        raise DataError(damaged)
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in names if name not in archive]
            if missing:
                raise DataError(
                    f"no array {', '.join(missing)} in {path}, which has "
                    f"{', '.join(archive.files)}; give a MedMNIST archive"
                )
            arrays = {name: _array(path, archive, name) for name in names}
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(damaged) from error
    for part in PARTS:
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        square = images.ndim in (3, 4) and images.shape[3:] in ((), (3,))
        if images.dtype != np.uint8 or not square or labels.size != len(images):
            raise DataError(
                f"{path} has {part} images {images.dtype} {images.shape} and labels "
                f"{labels.shape}, not uint8 (N, S, S) and (N, 1); give a MedMNIST archive"
            )
    return arrays


def _array(path: Path, archive: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    try:
        return archive[name]
    except ValueError as error:
        raise DataError(
            f"{name} in {path} cannot be read as plain numbers ({error}); pickled objects can run "
            "code and are refused: give a MedMNIST archive"
        ) from error


def _samples(
    path: Path, member: Member, part: str, arrays: Mapping[str, NDArray[Any]]
) -> list[Sample]:
    images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"].reshape(-1).tolist()
    names = dict(zip(member.release_labels, member.classes, strict=True))
    strange = sorted({str(label) for label in labels if label not in names})
    if strange:
        raise DataError(
            f"{part}_labels in {path} has {', '.join(strange)}, where the classes are "
            f"{', '.join(f'{number} ({name})' for number, name in sorted(names.items()))}; "
            "give the archive of this set"
        )
    return [
        Sample(
            id=f"{PARTS[part]}-{number:04d}",
            path=path,
            file=f"{path.name}#{part}_images/{number}",
            label=names[label],
            facts={"part": PARTS[part]},
            pixels=images[number],
        )
        for number, label in enumerate(labels)
    ]


for _member, _summary in (
    (BREAST, "breast ultrasound, BreastMNIST: 780 images made from BUSI, 28 to 224 pixels"),
    (PNEUMONIA, "chest X-ray, PneumoniaMNIST: 5,856 images of children, 28 to 224 pixels"),
):
    sources.register(
        Source(
            name=_member.name,
            summary=_summary,
            scan=partial(scan, member=_member),
            image_size=SIZES[0],
            classes=_member.classes,
            obtain=_member.release.obtain,
            reference="Yang et al., MedMNIST v2, Scientific Data 10, 2023, "
            "doi 10.1038/s41597-022-01721-8",
            licence="CC BY 4.0 (Zenodo record 10519652)",
        )
    )
