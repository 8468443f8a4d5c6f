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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sambench.data.source import Fact
from sambench.errors import DataError, UnpreparedError, did_you_mean
from sambench.files.checksums import sha256_of

FORMAT_VERSION = 2
IMAGES, SAMPLES, MANIFEST = "images.npy", "samples.csv", "manifest.json"
BLOCKS, BLOCK_BYTES = "image_blocks", 2**22
"""Name in the manifest of the checksums of each so many bytes of `images.npy`."""

FILE_COLUMNS = ("file_bytes", "file_width", "file_height", "file_mode")
FIXED_COLUMNS = ("id", "file", "label", "group", "sha256", *FILE_COLUMNS)


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
        manifest: All of `manifest.json`.
    """

    folder: Path
    name: str
    image_size: int
    classes: tuple[str, ...]
    images: NDArray[np.uint8] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    columns: Mapping[str, tuple[Fact, ...]] = field(repr=False)
    fingerprint: str
    manifest: Mapping[str, Any] = field(repr=False)

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
            f"{f' (only at {_listed(sizes)})' if sizes else close}; {remedy}"
        )
    manifest = _read_manifest(folder, remedy)
    columns = _read_columns(folder, manifest, remedy)
    classes = tuple(manifest["classes"])
    labels = np.array([classes.index(str(label)) for label in columns["label"]], dtype=np.int64)
    return Prepared(
        folder=folder,
        name=dataset,
        image_size=image_size,
        classes=classes,
        images=_open_images(folder, (len(labels), manifest["channels"]), image_size, remedy),
        labels=labels,
        columns=columns,
        fingerprint=manifest["fingerprint"],
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
    blocks = tuple(manifest.get(BLOCKS) or ())
    if _pixels_sha256(path, state, in_blocks=bool(blocks)) != (
        blocks or (manifest["files"][IMAGES],)
    ):
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
    return str(manifest["fingerprint"])


def prepare_command(dataset: str, image_size: int) -> str:
    """Return the command that prepares a dataset at this size."""
    return f"sambench prepare {dataset} --size {image_size}"


def fingerprint(
    samples_sha256: str, images_sha256: str, changed: Mapping[str, str | int] | None = None
) -> str:
    """Return the sha256 over the checksums of `samples.csv` and `images.npy`.

    Settings of the preprocessing that are not at their default are part of it.
    """
    settings = f"{json.dumps(changed, sort_keys=True)}\n" if changed else ""
    return sha256_of(f"{samples_sha256}\n{images_sha256}\n{settings}".encode())


def _read_manifest(folder: Path, remedy: str) -> dict[str, Any]:
    try:
        manifest = json.loads(_read(folder / MANIFEST))
        version, files = int(manifest["format_version"]), manifest["files"]
        told = fingerprint(files[SAMPLES], files[IMAGES], manifest.get("changed"))
        bound = told == manifest["fingerprint"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UnpreparedError(f"{folder / MANIFEST} is damaged; {remedy} again") from error
    if version > FORMAT_VERSION:
        raise UnpreparedError(
            f"{folder} was prepared by a newer sambench (format {version}, this one reads "
            f"{FORMAT_VERSION}); upgrade sambench, or {remedy} again"
        )
    if version < FORMAT_VERSION:
        raise UnpreparedError(
            f"{folder} was prepared by an older sambench (format {version}, this one reads "
            f"{FORMAT_VERSION}); {remedy} again"
        )
    if not bound:
        raise UnpreparedError(
            f"{folder / MANIFEST} is damaged: its fingerprint does not follow from its checksums; "
            f"{remedy} again"
        )
    return dict(manifest)


def _read_columns(
    folder: Path, manifest: Mapping[str, Any], remedy: str
) -> dict[str, tuple[Fact, ...]]:
    data = _read(folder / SAMPLES)
    if sha256_of(data) != manifest["files"][SAMPLES]:
        raise UnpreparedError(f"{folder / SAMPLES} was changed after preparation; {remedy} again")
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8", newline=""))
    columns: dict[str, list[Fact]] = {name: [] for name in next(rows)}
    known: dict[str, str] = {}  # texts that recur are kept once
    for row in rows:
        for (name, values), text in zip(columns.items(), row, strict=True):
            shared = text if name in ("file", "sha256") else known.setdefault(text, text)
            values.append(_value(name, shared))
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


def _listed(sizes: tuple[int, ...]) -> str:
    return ", ".join(map(str, sizes))
