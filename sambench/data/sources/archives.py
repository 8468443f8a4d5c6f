"""Releases that pack many images into one file, which stay in memory until they are prepared.

CIFAR (Krizhevsky, 2009) is read by torchvision, which checks the sum of every file before it
unpickles it; many people keep it in class folders instead.

The 2-D sets of MedMNIST (Yang et al., 2023) are an npz archive for each size, breastmnist.npz,
breastmnist_64.npz ..., with `{train,val,test}_images`, (N, S, S) or (N, S, S, 3) uint8, and
`{train,val,test}_labels`, (N, 1) uint8, read without pickle; taken is the smallest that is no
smaller than the prepared images, else the largest. BreastMNIST's labels are turned round: the
release says 0 for malignant, which every other set here counts as the later class. ChestMNIST, with
fourteen labels for each image, is not supported. Names and checksums are those of medmnist 3.0.2.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sambench.data.download import Remote, digest, fetch, unpack
from sambench.data.family import Family, family_of, rows
from sambench.data.source import PARTS, Listing, Request, Sample, sources
from sambench.data.sources.class_folders import list_classes
from sambench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("train", "val", "test")  # of the parts
SIZES = (28, 64, 128, 224)
PLACE = "https://zenodo.org/records/10519652/files/"


def scan_cifar(family: Family, request: Request) -> Listing:
    """List the images of the release, or of class folders."""
    import torchvision
    from torchvision.datasets.utils import check_integrity

    loader = getattr(torchvision.datasets, family.name.upper())
    root = family.locate(request) if request.names_files else request.raw / family.name
    if root.name == loader.base_folder and root.is_dir():
        root = root.parent
    folder = root / loader.base_folder
    if not folder.is_dir():
        if request.names_files:
            return list_classes(family, request)
        remote = Remote(url=loader.url, name=loader.filename, checksum=f"md5:{loader.tgz_md5}")
        unpack(fetch(remote, root, request.progress), folder)
    samples: list[Sample] = []
    for part, train in {"train": True, "test": False}.items():
        try:
            data = loader(root, train=train)
        except RuntimeError as error:
            meta = (loader.meta["filename"], loader.meta["md5"])
            known = (*loader.train_list, *loader.test_list, meta)
            wrong = [name for name, md5 in known if not check_integrity(folder / name, md5)]
            raise DataError(
                f"not as published in {folder}, changed or missing: {', '.join(wrong)}; delete the "
                f"folder and unpack {loader.filename} again"
            ) from error
        labels = [data.classes[label] for label in data.targets]
        samples += _samples(folder, part, part, data.data, labels, digits=5)
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    return Listing(
        root=root,
        layout=f"{loader.base_folder}/",
        classes=family.classes,
        samples=tuple(samples),
        checksums={path.name: digest(path) for path in files},
    )


def scan_medmnist(family: Family, request: Request) -> Listing:
    """List the images of the archive that suits the size that is asked for."""
    if family.name == "chestmnist" and not request.names_files:
        raise DataError(
            f"dataset 'chestmnist' ({family.obtain}) has fourteen labels for each image: "
            "multi-label sets are not supported; choose another, as pneumoniamnist"
        )
    path, remote = _locate(request, family)
    other = f"{path.name} is not the published file ({remote.checksum})"
    notes = family.notes if remote.matches(path) else (*family.notes, other)
    return Listing(
        root=path.parent,
        layout=path.name,
        classes=family.classes,
        samples=tuple(_in_parts(path, family, _load(path))),
        notes=notes,
        checksums={path.name: digest(path)},
    )


def _locate(request: Request, family: Family) -> tuple[Path, Remote]:
    """Return the archive, the user's or downloaded, and what it should be."""
    there, root = dict(zip(SIZES, family.downloads, strict=True)), None
    if request.folder is not None and request.folder.is_file():
        named = (remote for remote in there.values() if remote.name == request.folder.name)
        return request.folder, next(named, there[SIZES[0]])
    if request.names_files:
        root = family.locate(request)
        there = {size: remote for size, remote in there.items() if (root / remote.name).is_file()}
        if not there:
            raise family.refuse(root, "archive")
    wanted = request.image_size or SIZES[0]
    remote = there[min((size for size in there if size >= wanted), default=max(there))]
    place = request.raw / family.name
    return root / remote.name if root else fetch(remote, place, request.progress), remote


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Read the six arrays, none of which may be missing or of objects."""
    import numpy as np

    names = [f"{part}_{kind}" for part in NAMES for kind in ("images", "labels")]
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
    return arrays


def _refuse(path: Path, why: str) -> DataError:
    return DataError(f"{path} {why}; give the archive of this MedMNIST set")


def _in_parts(path: Path, family: Family, arrays: Mapping[str, NDArray[Any]]) -> Iterator[Sample]:
    """Yield the images of arrays that have the right shapes, and one label of the set for each."""
    names = dict(enumerate(family.classes[:: -1 if family.name == "breastmnist" else 1]))
    for name, part in zip(NAMES, PARTS, strict=True):
        images, labels = arrays[f"{name}_images"], arrays[f"{name}_labels"]
        square = images.ndim in (3, 4) and images.shape[3:] in ((), (3,))
        if labels.ndim == 2 and labels.shape[1] > 1:
            many = f"has {labels.shape[1]} labels for each image"
            raise _refuse(path, f"{many}: multi-label sets are not supported")
        if images.dtype != "uint8" or not square or labels.size != len(images):
            what = f"{name} images {images.dtype} {images.shape} and labels {labels.shape}"
            raise _refuse(path, f"has {what}, not uint8 (N, S, S) and (N, 1)")
        numbers = labels.reshape(-1).tolist()
        if strange := sorted({str(number) for number in numbers if number not in names}):
            known = ", ".join(f"{number} ({label})" for number, label in names.items())
            raise _refuse(path, f"has {', '.join(strange)} in {name}_labels, not {known}")
        classes = [names[number] for number in numbers]
        yield from _samples(path, part, f"{name}_images", images, classes, digits=4)


def _samples(
    path: Path, part: str, place: str, images: Iterable[Any], labels: Sequence[str], digits: int
) -> list[Sample]:
    """Return the images of one part of a release, numbered from 0 with so many digits."""
    return [
        Sample(
            id=f"{part}-{number:0{digits}d}",
            path=path,
            file=f"{path.name}#{place}/{number}",
            label=label,
            facts={"part": part},
            pixels=pixels,
        )
        for number, (pixels, label) in enumerate(zip(images, labels, strict=True))
    ]


def _row(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a set of MedMNIST follows from its name, counts and checksums."""
    files = [f"{name}.npz", *(f"{name}_{size}.npz" for size in SIZES[1:])]
    return {
        "summary": f"{told['what']}, MedMNIST: {sum(told['images']):,} images, 28 to 224 px",
        "layout": " or ".join(files),
        "releases": [dict(zip(PARTS, told["images"], strict=True))],
        "downloads": [
            {"url": f"{PLACE}{file}?download=1", "name": file, "checksum": f"md5:{md5}"}
            for file, md5 in zip(files, told["md5"], strict=True)
        ],
    }


_sets = rows()["medmnist"]
for _name, _told in _sets["sets"].items():
    sources.register(family_of(_name, _sets["row"] | _told | _row(_name, _told)))
