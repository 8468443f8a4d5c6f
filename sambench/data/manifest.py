"""What a prepared dataset says of itself: `manifest.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sambench.errors import UnpreparedError, UserError
from sambench.files.checksums import sha256_of
from sambench.files.definition import Count, Definition, Name, Section, Whole, about, decode

FORMAT_VERSION: Final = 2
IMAGES, SAMPLES, MANIFEST = "images.npy", "samples.csv", "manifest.json"
BLOCK_BYTES = 2**22  # the manifest has a checksum of each so many bytes of `images.npy`


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


class Account(Section, frozen=True, kw_only=True):
    """What became of the files below a folder; names are relative to it."""

    found: Annotated[Count, about("Files there are, or images in an archive.")]
    images: Annotated[Count, about("Files that are images of the dataset.")]
    tables: Annotated[tuple[str, ...], about("Files that told labels or other facts.")] = ()
    passed: Annotated[
        dict[str, list[str]],
        about('Files that are not read, by the reason: "hidden", ".gif", "in benign/more/".'),
    ]
    empty: Annotated[tuple[str, ...], about("Folders without any file.")] = ()


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


def read_manifest(folder: Path, remedy: str) -> Manifest:
    """Read the manifest of a prepared dataset.

    Raises:
        UnpreparedError: If it is damaged or of another format version.
    """
    path, data = folder / MANIFEST, read_file(folder / MANIFEST)
    try:
        version = decode(_Head, data).format_version
        if version == FORMAT_VERSION:
            manifest = decode(Manifest, data)
    except (UserError, ValueError) as error:
        raise unusable(path, f"is damaged ({error})", remedy) from error
    if version != FORMAT_VERSION:
        age = "a newer" if version > FORMAT_VERSION else "an older"
        upgrade = "upgrade sambench, or " if version > FORMAT_VERSION else ""
        why = f"was prepared by {age} sambench (format {version}, this one reads {FORMAT_VERSION})"
        raise unusable(folder, why, f"{upgrade}{remedy}")
    files = manifest.files
    bound = fingerprint(files.get(SAMPLES, ""), files.get(IMAGES, ""), manifest.changed)
    if bound != manifest.fingerprint:
        why = "is damaged: its fingerprint does not follow from its checksums"
        raise unusable(path, why, remedy)
    return manifest


def unusable(path: Path, why: str, remedy: str) -> UnpreparedError:
    """Return the error for a prepared file or folder that must be prepared again."""
    return UnpreparedError(f"{path} {why}; {remedy} again")


def fingerprint(
    samples_sha256: str, images_sha256: str, changed: Mapping[str, str | int] | None = None
) -> str:
    """Return the sha256 over the checksums of `samples.csv` and `images.npy`.

    Settings of the preprocessing that are not at their default are part of it; the manifest has
    them under `changed`.
    """
    settings = f"{json.dumps(changed, sort_keys=True)}\n" if changed else ""
    return sha256_of(f"{samples_sha256}\n{images_sha256}\n{settings}".encode())


def read_file(path: Path) -> bytes:
    """Return the content of a prepared file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnpreparedError(
            f"cannot read {path}: {error.strerror}; check its permissions"
        ) from error
