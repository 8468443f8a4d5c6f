"""The prepared format on disk, and reading it. Needs neither pandas, Pillow nor a workbook.

<root>/<name>-<size>/
    images.npy      uint8, N x H x W x C, C = 1 where every image is grey and 3 otherwise
    samples.csv     a row for each image: id, file, label, group (of its copies and its patient),
                    the file's sha256, bytes, size and mode, and what the source told
    manifest.json   everything else; written last, so its presence means that all is there
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sambench.data.manifest import FORMAT_VERSION, IMAGES, MANIFEST, SAMPLES, Manifest, fingerprint
from sambench.data.source import Fact, source_of
from sambench.errors import DataError, UnpreparedError, UserError, did_you_mean
from sambench.files.checksums import read_sealed, read_whole, sha256_of
from sambench.files.definition import Definition, decode

FILE_COLUMNS = ("file_bytes", "file_width", "file_height", "file_mode")
FIXED_COLUMNS = ("id", "file", "label", "group", "sha256", *FILE_COLUMNS)
AGAIN = "again, with the options that it was prepared with"
BLOCK_BYTES = 2**22  # the manifest has a checksum of each so many bytes of `images.npy`


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A dataset ready for training; columns hold text, `fold` integers, and None where empty."""

    folder: Path
    name: str
    image_size: int  # side of the square images in pixels
    classes: tuple[str, ...]  # class names in label order
    images: NDArray[np.uint8] = field(repr=False)  # (N, H, W, C) uint8, memory-mapped, read-only
    labels: NDArray[np.int64] = field(repr=False)  # (N,) int64, positions in `classes`
    columns: Mapping[str, tuple[Fact, ...]] = field(repr=False)
    fingerprint: str  # sha256 that stands for the images, labels and columns
    manifest: Manifest = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The id of each image."""
        return tuple(map(str, self.columns["id"]))

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The group of each image; images of one group must not be split apart."""
        return tuple(map(str, self.columns["group"]))

    def column(self, name: str) -> tuple[Fact, ...]:
        """Return one column of `samples.csv`; a `DataError` names those there are."""
        if name not in self.columns:
            raise DataError(
                f"dataset {self.name!r} has no column {name!r}; its columns: "
                f"{', '.join(self.columns)}; choose a split that needs none, such as grouped-5"
            )
        return self.columns[name]

    def count_by(self, name: str) -> dict[Any, dict[str, int]]:
        """Count the images of each class by the values of a column, in order, None last."""
        column = self.columns.get(name, ())
        counted = Counter(zip(column, self.labels.tolist(), strict=False))
        return {
            value: {label: counted[value, place] for place, label in enumerate(self.classes)}
            for value in sorted(set(column), key=lambda value: (value is None, value))
        }


def open_prepared(root: Path, dataset: str, image_size: int) -> Prepared:
    """Open a prepared dataset; no image is read yet (`check_pixels` reads all).

    `UnpreparedError` if it is not prepared at this size, damaged, or of another format version.
    """
    folder = prepared_folder(root, dataset, image_size)
    remedy = f"run `{prepare_command(dataset, image_size)}`"
    if not (folder / MANIFEST).is_file():
        there = prepared_datasets(root)
        sizes, close = there.get(dataset, ()), did_you_mean(dataset, there)
        raise UnpreparedError(
            f"dataset {dataset!r} is not prepared at {image_size} pixels in {root}"
            + (f" ({only_at(sizes)}); or {remedy}" if sizes else f"{close}; {remedy}")
        )
    manifest = _read_manifest(folder, remedy)
    columns = _read_columns(folder, manifest, remedy)
    places = {label: place for place, label in enumerate(manifest.classes)}
    labels = np.array([places[str(label)] for label in columns["label"]], dtype=np.int64)
    path, expected = folder / IMAGES, (len(labels), image_size, image_size, manifest.channels)
    load = partial(np.load, mmap_mode="r", allow_pickle=False)
    try:
        images: NDArray[np.uint8] = _read(path, remedy, load)
    except (ValueError, EOFError) as error:
        raise _unusable(path, "is truncated", remedy) from error
    if images.shape != expected or images.dtype != np.uint8:
        held = f"holds {images.dtype} {images.shape} where {SAMPLES} asks for uint8 {expected}"
        raise _unusable(path, held, remedy)
    return Prepared(
        folder=folder,
        name=dataset,
        image_size=image_size,
        classes=tuple(places),
        images=images,
        labels=labels,
        columns=columns,
        fingerprint=manifest.fingerprint,
        manifest=manifest,
    )


class _Head(Definition, frozen=True):
    """What says how to read the rest of a manifest."""

    format_version: int


def _read_manifest(folder: Path, remedy: str) -> Manifest:
    """Read the manifest of a dataset; `UnpreparedError` if damaged or of another format version."""
    path = folder / MANIFEST
    try:
        data = _read(path, remedy, read_sealed)
        version = decode(_Head, data).format_version
        if version == FORMAT_VERSION:
            manifest = decode(Manifest, data)
    except (UserError, ValueError) as error:
        raise _unusable(path, f"is damaged ({error})", remedy) from error
    if version != FORMAT_VERSION:
        age = "a newer" if version > FORMAT_VERSION else "an older"
        upgrade = "upgrade sambench, or " if version > FORMAT_VERSION else ""
        why = f"was prepared by {age} sambench (format {version}, this one reads {FORMAT_VERSION})"
        raise _unusable(folder, why, f"{upgrade}{remedy}")
    if folder.name != (own := f"{manifest.name}-{manifest.image_size}"):
        why = f"holds {manifest.name} at {manifest.image_size} pixels: rename it to {own}, or"
        raise UnpreparedError(f"{folder} {why} {remedy} again")
    files = manifest.files
    bound = fingerprint(files.get(SAMPLES, ""), files.get(IMAGES, ""), manifest.changed)
    if bound != manifest.fingerprint:
        why = "is damaged: its fingerprint does not follow from its checksums"
        raise _unusable(path, why, remedy)
    order = ",".join(manifest.classes)
    if {order, ",".join(manifest.counts), manifest.changed.get("classes", order)} != {order}:
        raise _unusable(path, "is damaged: its classes are not those that were prepared", remedy)
    return manifest


def _unusable(path: Path, why: str, remedy: str) -> UnpreparedError:
    """Return the error for a prepared file or folder that must be prepared again."""
    return UnpreparedError(f"{path} {why}; {remedy} {AGAIN}")


def _read(path: Path, remedy: str, load: Callable[[Path], Any] = read_whole) -> Any:
    """Return what is in a prepared file; `UnpreparedError` if the system does not give it to us."""
    try:
        return load(path)
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        what_to_do = f"{remedy} {AGAIN}" if gone else "check its permissions and its disk"
        raise UnpreparedError(f"cannot read {path}: {error.strerror}; {what_to_do}") from error


def _read_columns(folder: Path, manifest: Manifest, remedy: str) -> dict[str, tuple[Fact, ...]]:
    path = folder / SAMPLES
    data = _read(path, remedy)
    if sha256_of(data) != manifest.files.get(SAMPLES):
        raise _unusable(path, "was changed after preparation", remedy)
    known: dict[str, str] = {}  # texts that recur are kept once
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8", newline=""))
    columns: dict[str, list[Fact]] = {name: [] for name in next(rows)}
    for row in rows:
        for (name, values), text in zip(columns.items(), row, strict=True):
            shared = text if name in ("file", "sha256") else known.setdefault(text, text)
            values.append((int(text) if name == "fold" else shared) if text else None)
    return {name: tuple(values) for name, values in columns.items()}


def check_pixels(prepared: Prepared) -> None:
    """Compare every byte of the images with the checksums that preparation wrote down.

    Done once in a process for each state of the file (its time, size and number), in blocks by as
    many threads as there are cores. `UnpreparedError` if one differs.
    """
    path = prepared.folder / IMAGES
    if checksums_of(path) != tuple(prepared.manifest.image_blocks):
        raise UnpreparedError(
            f"{path} is damaged: its checksum is not the one that preparation wrote down; run "
            f"`{prepare_command(prepared.name, prepared.image_size)}` {AGAIN}, which mends it"
        )


def checksums_of(path: Path) -> tuple[str, ...]:
    """Return the sha256 of a file's blocks, read once for each state of it."""
    status = path.stat()
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return _checksums(path, state)


@lru_cache(maxsize=64)
def _checksums(path: Path, state: tuple[int, ...]) -> tuple[str, ...]:
    with path.open("rb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        handle, starts = file.fileno(), range(0, state[2], BLOCK_BYTES)
        try:
            return tuple(pool.map(lambda at: sha256_of(os.pread(handle, BLOCK_BYTES, at)), starts))
        except OSError as error:  # it does not say of which file
            raise OSError(error.errno, error.strerror, str(path)) from error


def prepared_folder(root: Path, dataset: str, image_size: int) -> Path:
    """Return where a dataset of this size is kept."""
    return root / f"{dataset}-{image_size}"


def prepared_datasets(root: Path) -> dict[str, tuple[int, ...]]:
    """Return the datasets that are prepared, in order of name, with their sizes, smallest first."""
    folders = (path.parent.name.rpartition("-") for path in root.glob(f"*/{MANIFEST}"))
    found = sorted((name, int(size)) for name, _, size in folders if name and size.isdecimal())
    return {name: tuple(size for other, size in found if other == name) for name, _ in found}


def prepared_fingerprint(root: Path, dataset: str, image_size: int) -> str | None:
    """Return the fingerprint of a prepared dataset; None where it is not prepared."""
    folder = prepared_folder(root, dataset, image_size)
    if not (folder / MANIFEST).is_file():
        return None
    return _read_manifest(folder, f"run `{prepare_command(dataset, image_size)}`").fingerprint


def prepare_command(dataset: str, image_size: int) -> str:
    """Return the command that prepares a dataset at this size, one of one's own by its name."""
    source = source_of(dataset)
    words = ("sambench prepare", source.name, source.asks, f"--size {image_size}")
    name = "" if dataset == source.name else f"--name {dataset}"
    return " ".join(filter(None, (*words, name)))


def only_at(sizes: tuple[int, ...]) -> str:
    """Say at which sizes a dataset is prepared, and how to ask for one of them."""
    listed = ", ".join(map(str, sizes))
    return f"only at {listed}: choose --size {sizes[0]}, or image_size: {sizes[0]} in a suite"
