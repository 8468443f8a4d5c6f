"""What a prepared dataset says of itself: `manifest.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import numpy as np
from msgspec import UNSET, Meta, UnsetType
from numpy.typing import NDArray

from sambench.files.checksums import sha256_of
from sambench.files.definition import Count, Name, Section, Whole, unit

FORMAT_VERSION: Final = 2
IMAGES, SAMPLES, MANIFEST = "images.npy", "samples.csv", "manifest.json"


class Sides(Section, frozen=True, kw_only=True):
    """How large the images were before they were prepared."""

    min: Annotated[Count, "Smallest side.", unit("pixels")]
    median: Annotated[Count, "Median side.", unit("pixels")]
    max: Annotated[Count, "Largest side.", unit("pixels")]


class Native(Section, frozen=True, kw_only=True):
    """The images as they were found."""

    width: Annotated[Sides, "Their widths."]
    height: Annotated[Sides, "Their heights."]

    @classmethod
    def of(cls, *sides: NDArray[np.int32]) -> Native:
        """Return what there is to say of widths and heights, each of shape (N,)."""
        spans = (np.quantile(one, (0, 0.5, 1), method="lower").tolist() for one in sides)
        width, height = (Sides(min=low, median=middle, max=high) for low, middle, high in spans)
        return cls(width=width, height=height)


class LeftOut(Section, frozen=True, kw_only=True):
    """An image that was not prepared."""

    id: Annotated[str, "Unique in the dataset."]
    file: Annotated[str, "Where it lies, seen from the listing's root."]
    label: Annotated[str | UnsetType, "Its class, where it could be used."] = UNSET
    reason: Annotated[str, "Why it was left out."]


class Account(Section, frozen=True, kw_only=True):
    """What became of the files below a folder; names are relative to it."""

    found: Annotated[Count, "Files there are, or images in an archive."]
    images: Annotated[Count, "Files that are images of the dataset."]
    tables: Annotated[tuple[str, ...], "Files that told labels or other facts."] = ()
    passed: Annotated[
        dict[str, list[str]],
        'Files that are not read, by the reason: "hidden", ".gif", "in benign/more/".',
    ]
    empty: Annotated[tuple[str, ...], "Folders without any file."] = ()


class Manifest(Section, frozen=True, kw_only=True):
    """What a prepared dataset says of itself: `manifest.json`."""

    format_version: Annotated[Literal[2], "Of the prepared format."]
    name: Annotated[Name, "The dataset's name."]
    image_size: Annotated[Whole, "Side of the square images.", unit("pixels")]
    channels: Annotated[Literal[1, 3], "1 where every image is grey."]
    images: Annotated[Count, "Number of images."]
    classes: Annotated[Annotated[list[str], Meta(min_length=1)], "Class names in label order."]
    counts: Annotated[dict[str, Count], "Images of each class."]
    native: Annotated[Native, "The images as they were found."]
    preprocessing: Annotated[Any, "What was done to each image."] = None
    layout: Annotated[str, "How the images lay on the disk."]
    options: Annotated[dict[str, Any], "The source's settings."]
    groups: Annotated[list[str], "What keeps images together in splits."]
    reference: Annotated[str, "The paper or data release to cite."]
    licence: Annotated[str, "What the release says about use."]
    checksums: Annotated[dict[str, str], "sha256 of each file that is no image."]
    notes: Annotated[list[str], "Oddities that were kept."]
    account: Annotated[Account, "What became of every file."]
    pages: Annotated[dict[str, Whole], "Number of pages of each file of which the first was read."]
    skipped: Annotated[list[LeftOut], "Images that could not be used."]
    possible_copies: Annotated[Count, "Image pairs that may be copies, too unsure to act on."] = 0
    drops: Annotated[dict[str, bool], "What the user chose to leave out."]
    dropped: Annotated[list[LeftOut], "Images left out by that choice."]
    written_by: Annotated[dict[str, str], "Versions of the software."]
    listing: Annotated[str, "sha256 of what was listed and asked for."]
    files: Annotated[dict[str, str], "sha256 of each prepared file."]
    image_blocks: Annotated[list[str], "sha256 of each block of `images.npy`."]
    changed: Annotated[
        dict[str, str | int],
        "Settings of the preprocessing that are not at their default, and the classes where their "
        "order is not the usual one.",
    ]
    depth: Annotated[Count, "Bits of grey by which deep images were scaled, 0 if there are none."]
    fingerprint: Annotated[str, "sha256 that stands for images, labels, columns and classes."]


def fingerprint(
    samples_sha256: str, images_sha256: str, changed: Mapping[str, str | int] | None = None
) -> str:
    """Return the sha256 over two checksums and the settings that a manifest keeps as `changed`."""
    settings = f"{json.dumps(changed, sort_keys=True)}\n" if changed else ""
    return sha256_of(f"{samples_sha256}\n{images_sha256}\n{settings}".encode())
