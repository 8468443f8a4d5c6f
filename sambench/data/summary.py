"""What a prepared dataset consists of, in numbers; `console` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sambench.data.accounting import grouped_reasons, pages_passed, sentences
from sambench.data.prepared import Prepared
from sambench.data.source import Fact
from sambench.data.splits import Population, leak_warning
from sambench.errors import DataError
from sambench.files.definition import plain

Counts = Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Images whose files are identical byte for byte.

    Attributes:
        groups: Number of groups of two or more.
        images: Number of images in them.
        conflicting: Number of groups whose images differ in label.
        examples: Two ids of different label from each of the first conflicting groups.
    """

    groups: int
    images: int
    conflicting: int
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Smallest, median and largest side in pixels."""

    min: int
    median: int
    max: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A prepared dataset in numbers.

    Attributes:
        name: The dataset.
        layout: How it was found on disk.
        images: Number of images.
        image_size: Their side in pixels.
        channels: 1 for grey, 3 for colour.
        classes: Class names in label order.
        by_class: Images of each class.
        by_centre: Images of each class at each centre; empty if the centre is unknown.
        by_fold: Images of each class in each fold; empty if there are no folds.
        width: Of the files.
        height: Of the files.
        duplicates: Identical files.
        notes: Oddities that the source reported.
        skipped: (image, reason) of each image that was left out because it cannot be used.
        dropped: Of those left out by choice.
        account: What became of every file (`accounting.Account`).
        pages: Number of pages of each file of which the first was read.
        warnings: What should be known before training on it, one line each.
        fingerprint: Of the prepared data.
    """

    name: str
    layout: str
    images: int
    image_size: int
    channels: int
    classes: tuple[str, ...]
    by_class: Counts
    by_centre: Mapping[str, Counts]
    by_fold: Mapping[int, Counts]
    width: Spread
    height: Spread
    duplicates: Duplicates
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    dropped: tuple[tuple[str, str], ...]
    account: Mapping[str, Any]
    pages: Mapping[str, int]
    warnings: tuple[str, ...]
    fingerprint: str


def summarize(prepared: Prepared) -> Summary:
    """Count what there is in a prepared dataset."""
    manifest = prepared.manifest
    labels = [prepared.classes[label] for label in prepared.labels]
    centres = _cross(prepared.columns.get("centre", ()), labels, prepared.classes)
    folds = _cross(prepared.columns.get("fold", ()), labels, prepared.classes)
    return Summary(
        name=prepared.name,
        layout=manifest.layout,
        images=len(prepared),
        image_size=prepared.image_size,
        channels=prepared.images.shape[-1],
        classes=prepared.classes,
        by_class=_count(labels, prepared.classes),
        by_centre={str(centre): counts for centre, counts in centres.items()},
        by_fold={int(fold): counts for fold, counts in folds.items()},
        width=Spread(**manifest.native.width),
        height=Spread(**manifest.native.height),
        duplicates=find_duplicates(prepared.column("sha256"), prepared.ids, labels),
        notes=tuple(manifest.notes),
        skipped=tuple((image.file or image.id, image.reason) for image in manifest.skipped),
        dropped=tuple((image.id, image.reason) for image in manifest.dropped),
        account=manifest.account.to_dict() if manifest.account else {},
        pages=manifest.pages,
        warnings=tuple(_warnings(prepared)),
        fingerprint=prepared.fingerprint,
    )


def _warnings(prepared: Prepared) -> Iterator[str]:
    """Yield what was not read or left out, and whether the usual split would leak."""
    manifest = prepared.manifest
    if manifest.account:
        yield from sentences(manifest.account.to_dict())
    if pages := pages_passed(manifest.pages):
        yield f"passed over: {pages}; `--pages all` reads them"
    yield from grouped_reasons([*map(plain, manifest.skipped), *map(plain, manifest.dropped)])
    if possible := manifest.possible_copies:
        yield (
            f"{possible:,} pairs of images may be copies, too unsure to act on: "
            "`--audit` shows them"
        )
    with suppress(DataError):  # too few images to split
        yield from leak_warning(Population.of(prepared), "holdout", [None], seed=0)


def find_duplicates(
    checksums: Sequence[Fact], ids: Sequence[str], labels: Sequence[str], examples: int = 2
) -> Duplicates:
    """Count groups of equal checksums, and those among them whose labels disagree."""
    members: dict[Fact, list[int]] = {}
    for index, checksum in enumerate(checksums):
        members.setdefault(checksum, []).append(index)
    groups = [group for group in members.values() if len(group) > 1]
    pairs = []
    for first, *others in groups:
        differing = [other for other in others if labels[other] != labels[first]]
        if differing:
            pairs.append((ids[first], ids[differing[0]]))
    return Duplicates(
        groups=len(groups),
        images=sum(map(len, groups)),
        conflicting=len(pairs),
        examples=tuple(pairs[:examples]),
    )


def _cross(
    facts: Sequence[Fact], labels: Sequence[str], classes: Sequence[str]
) -> dict[str | int, Counts]:
    """Return the images of each class for each value of a fact, values in order."""
    of_value: dict[str | int, list[str]] = {}
    for fact, label in zip(facts, labels, strict=False):
        if fact is not None:
            of_value.setdefault(fact, []).append(label)
    return {value: _count(of_value[value], classes) for value in sorted(of_value)}


def _count(labels: Sequence[str], classes: Sequence[str]) -> Counts:
    counts = Counter(labels)
    return {label: counts[label] for label in classes}
