"""The prepared format on disk, and reading it. Needs neither pandas, Pillow nor a workbook.

<root>/<name>-<size>/
    images.npy      uint8, N x H x W x C, C = 1 where every image is grey and 3 otherwise
    samples.csv     a row for each image: id, file, label, group (of its copies and its patient),
                    the file's sha256, bytes, size and mode, and what the source told
    manifest.json   everything else; written last, so its presence means that all is there
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType
from numpy.typing import NDArray

from sambench.data.accounting import Account
from sambench.data.source import Fact
from sambench.errors import DataError, UnpreparedError, UserError, did_you_mean
from sambench.files.checksums import sha256_of
from sambench.files.definition import Count, Definition, Name, Section, Whole, about, decode

FORMAT_VERSION = 2
IMAGES, SAMPLES, MANIFEST = "images.npy", "samples.csv", "manifest.json"
BLOCK_BYTES = 2**22
"""The manifest has a checksum of each so many bytes of `images.npy`."""

FILE_COLUMNS = ("file_bytes", "file_width", "file_height", "file_mode")
FIXED_COLUMNS = ("id", "file", "label", "group", "sha256", *FILE_COLUMNS)


class Sides(Section, frozen=True, kw_only=True):
    """How large the images were before they were prepared."""

    min: Annotated[Count, about("Smallest side.", unit="pixels")]
    median: Annotated[Count, about("Median side.", unit="pixels")]
    max: Annotated[Count, about("Largest side.", unit="pixels")]


class Native(Section, frozen=True, kw_only=True):
    """The images as they were found."""

    width: Annotated[Sides, about("Their widths.")]
    height: Annotated[Sides, about("Their heights.")]


class LeftOut(Section, frozen=True, kw_only=True):
    """An image that was not prepared."""

    id: Annotated[str, about("Unique in the dataset.")]
    file: Annotated[str, about("Where it lies, seen from the listing's root.")]
    label: Annotated[str | UnsetType, about("Its class, where it could be used.")] = UNSET
    reason: Annotated[str, about("Why it was left out.")]


class Manifest(Section, frozen=True, kw_only=True):
    """What a prepared dataset says of itself: `manifest.json`."""

    format_version: Annotated[Literal[2], about("Of the prepared format.")]
    name: Annotated[Name, about("The dataset's name.")]
    image_size: Annotated[Whole, about("Side of the square images.", unit="pixels")]
    channels: Annotated[Literal[1, 3], about("1 where every image is grey.")]
    images: Annotated[Count, about("Number of images.")]
    classes: Annotated[
        Annotated[list[str], Meta(min_length=1)], about("Class names in label order.")
    ]
    counts: Annotated[dict[str, Count], about("Images of each class.")]
    native: Annotated[Native, about("The images as they were found.")]
    preprocessing: Annotated[Any, about("What was done to each image.")] = None
    layout: Annotated[str, about("How the images lay on the disk.")]
    options: Annotated[dict[str, Any], about("The source's settings.")]
    groups: Annotated[list[str], about("What keeps images together in splits.")]
    reference: Annotated[str, about("The paper or data release to cite.")]
    licence: Annotated[str, about("What the release says about use.")]
    checksums: Annotated[dict[str, str], about("sha256 of each file that is no image.")]
    notes: Annotated[list[str], about("Oddities that were kept.")]
    account: Annotated[
        Account | UnsetType, about("What became of every file; not in older sets.")
    ] = UNSET
    pages: Annotated[
        dict[str, Whole], about("Number of pages of each file of which the first was read.")
    ] = msgspec.field(default_factory=dict)
    skipped: Annotated[list[LeftOut], about("Images that could not be used.")]
    possible_copies: Annotated[
        Count, about("Pairs of images that may be copies, too unsure to act on.")
    ] = 0
    drops: Annotated[dict[str, bool], about("What the user chose to leave out.")]
    dropped: Annotated[list[LeftOut], about("Images left out by that choice.")]
    written_by: Annotated[dict[str, str], about("Versions of the software.")]
    listing: Annotated[str, about("sha256 of what was listed and asked for.")]
    files: Annotated[dict[str, str], about("sha256 of each prepared file.")]
    image_blocks: Annotated[
        list[str], about("sha256 of each block of `images.npy`; none in older sets.")
    ] = msgspec.field(default_factory=list)
    changed: Annotated[
        dict[str, str | int], about("Settings of the preprocessing that are not at their default.")
    ] = msgspec.field(default_factory=dict)
    fingerprint: Annotated[str, about("sha256 that stands for images, labels and columns.")]


class _Head(Definition, frozen=True):
    """What says how to read the rest of a manifest."""

    format_version: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A dataset that is ready for training.

    Attributes:
        folder: Where it lies.
        name: The dataset's name.
        image_size: Side of the square images in pixels.
        classes: Class names in label order.
        images: (N, H, W, C) uint8, memory-mapped, read-only.
        labels: (N,) int64, positions in `classes`.
        columns: The columns of `samples.csv`: text, but `fold` as integers; None where empty.
        fingerprint: sha256 that stands for the images, labels and columns.
        manifest: What it says of itself.
    """

    folder: Path
    name: str
    image_size: int
    classes: tuple[str, ...]
    images: NDArray[np.uint8] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    columns: Mapping[str, tuple[Fact, ...]] = field(repr=False)
    fingerprint: str
    manifest: Manifest = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def ids(self) -> tuple[str, ...]:
        """The id of each image."""
        return tuple(map(str, self.columns["id"]))

    @property
    def groups(self) -> tuple[str, ...]:
        """The group of each image; images of one group must not be split apart."""
        return tuple(map(str, self.columns["group"]))

    def column(self, name: str) -> tuple[Fact, ...]:
        """Return one column of `samples.csv`, a value for each image.

        Raises:
            DataError: If the dataset has no such column; names those it has.
        """
        if name not in self.columns:
            raise DataError(
                f"dataset {self.name!r} has no column {name!r}; its columns: "
                f"{', '.join(self.columns)}"
            )
        return self.columns[name]


def open_prepared(root: Path, dataset: str, image_size: int) -> Prepared:
    """Open a prepared dataset; no image is read yet (`check_pixels` reads all).

    Args:
        root: Folder of the prepared datasets.
        dataset: Its name.
        image_size: Side of the images in pixels.

    Raises:
        UnpreparedError: If it is not prepared at this size, damaged, or of another format version.
    """
    folder = prepared_folder(root, dataset, image_size)
    remedy = f"run `{prepare_command(dataset, image_size)}`"
    if not (folder / MANIFEST).is_file():
        sizes, close = prepared_sizes(root, dataset), did_you_mean(dataset, prepared_datasets(root))
        raise UnpreparedError(
            f"dataset {dataset!r} is not prepared at {image_size} pixels in {root}"
            + (f" ({only_at(sizes)}); or {remedy}" if sizes else f"{close}; {remedy}")
        )
    manifest = _read_manifest(folder, remedy)
    columns = _read_columns(folder, manifest, remedy)
    classes = tuple(manifest.classes)
    labels = np.array([classes.index(str(label)) for label in columns["label"]], dtype=np.int64)
    return Prepared(
        folder=folder,
        name=dataset,
        image_size=image_size,
        classes=classes,
        images=_open_images(folder, (len(labels), manifest.channels), image_size, remedy),
        labels=labels,
        columns=columns,
        fingerprint=manifest.fingerprint,
        manifest=manifest,
    )


def check_pixels(prepared: Prepared) -> None:
    """Compare every byte of the images with the checksums that preparation wrote down.

    Done once in a process for each state of the file (its time, size and number), in blocks by as
    many threads as there are cores. Sets that were prepared before blocks were written down have
    one checksum for the whole file, which takes one thread.

    Raises:
        UnpreparedError: If one differs.
    """
    path, manifest = prepared.folder / IMAGES, prepared.manifest
    status = path.stat()
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    blocks = tuple(manifest.image_blocks)
    if _pixels_sha256(path, state, in_blocks=bool(blocks)) != (blocks or (manifest.files[IMAGES],)):
        raise UnpreparedError(
            f"{path} is damaged: its checksum is not the one that preparation wrote down; run "
            f"`{prepare_command(prepared.name, prepared.image_size)}` again, with the options that "
            "it was prepared with, which mends it"
        )


@lru_cache(maxsize=64)
def _pixels_sha256(path: Path, state: tuple[int, ...], *, in_blocks: bool) -> tuple[str, ...]:
    """Return the checksums of a file's blocks, or of the whole; `state` names what was read."""
    with path.open("rb") as file:
        if not in_blocks:
            return (hashlib.file_digest(file, "sha256").hexdigest(),)
        handle, size = file.fileno(), state[2]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            starts = range(0, size, BLOCK_BYTES)
            return tuple(pool.map(lambda at: sha256_of(os.pread(handle, BLOCK_BYTES, at)), starts))


def prepared_folder(root: Path, dataset: str, image_size: int) -> Path:
    """Return where a dataset of this size is kept."""
    return root / f"{dataset}-{image_size}"


def prepared_sizes(root: Path, dataset: str) -> tuple[int, ...]:
    """Return the image sizes at which a dataset is prepared, smallest first."""
    pattern = re.compile(rf"{re.escape(dataset)}-(\d+)")
    found = (pattern.fullmatch(path.parent.name) for path in root.glob(f"*/{MANIFEST}"))
    return tuple(sorted(int(match[1]) for match in found if match))


def prepared_datasets(root: Path) -> dict[str, tuple[int, ...]]:
    """Return the datasets that are prepared, in order of name, with their image sizes."""
    folders = (path.parent.name.rpartition("-") for path in root.glob(f"*/{MANIFEST}"))
    names = sorted({name for name, _, size in folders if name and size.isdecimal()})
    return {name: prepared_sizes(root, name) for name in names}


def prepared_fingerprint(root: Path, dataset: str, image_size: int) -> str | None:
    """Return the fingerprint of a prepared dataset; None where it is not prepared.

    Raises:
        UnpreparedError: If it is damaged or of another format version.
    """
    folder = prepared_folder(root, dataset, image_size)
    if not (folder / MANIFEST).is_file():
        return None
    manifest = _read_manifest(folder, f"run `{prepare_command(dataset, image_size)}`")
    return manifest.fingerprint


def prepare_command(dataset: str, image_size: int) -> str:
    """Return the command that prepares a dataset at this size."""
    return f"sambench prepare {dataset} --size {image_size}"


def fingerprint(
    samples_sha256: str, images_sha256: str, changed: Mapping[str, str | int] | None = None
) -> str:
    """Return the sha256 over the checksums of `samples.csv` and `images.npy`.

    Settings of the preprocessing that are not at their default are part of it; the manifest has
    them under `changed`.
    """
    settings = f"{json.dumps(changed, sort_keys=True)}\n" if changed else ""
    return sha256_of(f"{samples_sha256}\n{images_sha256}\n{settings}".encode())


def _read_manifest(folder: Path, remedy: str) -> Manifest:
    path, data = folder / MANIFEST, _read(folder / MANIFEST)
    try:
        version = decode(_Head, data).format_version
        if version == FORMAT_VERSION:
            manifest = decode(Manifest, data)
    except (UserError, ValueError) as error:
        raise UnpreparedError(f"{path} is damaged ({error}); {remedy} again") from error
    if version != FORMAT_VERSION:
        age = "a newer" if version > FORMAT_VERSION else "an older"
        upgrade = "upgrade sambench, or " if version > FORMAT_VERSION else ""
        raise UnpreparedError(
            f"{folder} was prepared by {age} sambench (format {version}, this one reads "
            f"{FORMAT_VERSION}); {upgrade}{remedy} again"
        )
    files = manifest.files
    bound = fingerprint(files.get(SAMPLES, ""), files.get(IMAGES, ""), manifest.changed)
    if bound != manifest.fingerprint:
        raise UnpreparedError(
            f"{path} is damaged: its fingerprint does not follow from its checksums; {remedy} again"
        )
    return manifest


def _read_columns(folder: Path, manifest: Manifest, remedy: str) -> dict[str, tuple[Fact, ...]]:
    data = _read(folder / SAMPLES)
    if sha256_of(data) != manifest.files.get(SAMPLES):
        raise UnpreparedError(f"{folder / SAMPLES} was changed after preparation; {remedy} again")
    columns: dict[str, list[Fact]] = {}
    known: dict[str, str] = {}  # texts that recur are kept once
    try:
        rows = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8", newline=""))
        columns = {name: [] for name in next(rows)}
        for row in rows:
            for (name, values), text in zip(columns.items(), row, strict=True):
                shared = text if name in ("file", "sha256") else known.setdefault(text, text)
                values.append(_value(name, shared))
        if not {*FIXED_COLUMNS} <= {*columns} or not {*columns["label"]} <= {*manifest.classes}:
            raise ValueError("a column is missing, or a label is no class")
    except (ValueError, StopIteration, csv.Error) as error:
        raise UnpreparedError(f"{folder / SAMPLES} is damaged ({error}); {remedy} again") from error
    return {name: tuple(values) for name, values in columns.items()}


def _value(column: str, text: str) -> Fact:
    if text == "":
        return None
    return int(text) if column == "fold" else text


def _open_images(
    folder: Path, images_and_channels: tuple[int, int], image_size: int, remedy: str
) -> NDArray[np.uint8]:
    path = folder / IMAGES
    count, channels = images_and_channels
    try:
        images: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UnpreparedError(f"{path} is missing or truncated; {remedy} again") from error
    expected = (count, image_size, image_size, channels)
    if images.shape != expected or images.dtype != np.uint8:
        raise UnpreparedError(
            f"{path} holds {images.dtype} {images.shape} where {SAMPLES} asks for uint8 "
            f"{expected}; {remedy} again"
        )
    return images


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnpreparedError(
            f"cannot read {path}: {error.strerror}; check its permissions"
        ) from error


def only_at(sizes: tuple[int, ...]) -> str:
    """Say at which sizes a dataset is prepared, and how to ask for one of them."""
    listed = ", ".join(map(str, sizes))
    return f"only at {listed}: choose --size {sizes[0]}, or image_size: {sizes[0]} in a suite"
