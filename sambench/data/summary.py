"""What a prepared dataset consists of, in numbers; `console` shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from sambench.data.assembling import grouped_reasons, sentences
from sambench.data.audit.copies import groups_of
from sambench.data.manifest import Account, Sides
from sambench.data.prepared import Prepared
from sambench.data.problems import some
from sambench.data.splits import leak_warning
from sambench.errors import DataError
from sambench.files.definition import Definition

Counts = Mapping[str, int]


class Duplicates(Definition, frozen=True, kw_only=True):
    """How many groups of files are identical byte for byte, and how many differ in label.

    `examples` has two ids of different label from each of the first two conflicting groups.
    """

    groups: int
    images: int
    conflicting: int
    examples: tuple[tuple[str, str], ...]


class Summary(Definition, frozen=True, kw_only=True):
    """A prepared dataset in numbers; centres and folds are empty where they are unknown."""

    name: str
    layout: str
    images: int
    image_size: int
    channels: int
    classes: tuple[str, ...]
    by_class: Counts
    by_centre: Mapping[str, Counts]
    by_fold: Mapping[int, Counts]
    width: Sides  # of the files, as `height`
    height: Sides
    duplicates: Duplicates
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]  # (image, reason) of each that cannot be used
    dropped: tuple[tuple[str, str], ...]  # of those left out by choice
    account: Account | dict[str, Any]  # what became of every file; nothing in older sets
    pages: Mapping[str, int]  # number of pages of each file of which the first was read
    warnings: tuple[str, ...]  # what should be known before training on it, one line each
    fingerprint: str


def summarize(prepared: Prepared) -> Summary:
    """Count what there is in a prepared dataset."""
    manifest = prepared.manifest
    return Summary(
        name=prepared.name,
        layout=manifest.layout,
        images=len(prepared),
        image_size=prepared.image_size,
        channels=manifest.channels,
        classes=prepared.classes,
        by_class=manifest.counts,
        by_centre={k: n for k, n in prepared.count_by("centre").items() if k is not None},
        by_fold={k: n for k, n in prepared.count_by("fold").items() if k is not None},
        width=manifest.native.width,
        height=manifest.native.height,
        duplicates=_duplicates(prepared),
        notes=tuple(manifest.notes),
        skipped=tuple((image.file or image.id, image.reason) for image in manifest.skipped),
        dropped=tuple((image.id, image.reason) for image in manifest.dropped),
        account=manifest.account or {},
        pages=manifest.pages,
        warnings=tuple(_warnings(prepared)),
        fingerprint=prepared.fingerprint,
    )


def _warnings(prepared: Prepared) -> Iterator[str]:
    """Yield what was not read or left out, and whether the usual split would leak."""
    manifest = prepared.manifest
    if manifest.account:
        yield from sentences(manifest.account)
    if several := manifest.pages:
        files = "1 file" if len(several) == 1 else f"{len(several)} files"
        pages = f"{sum(several.values()) - len(several)} pages after the first of {files}"
        where = some(sorted(several), limit=3)
        yield f"passed over: {pages} ({where}); `--pages all` reads them"
    yield from grouped_reasons([*manifest.skipped, *manifest.dropped])
    if possible := manifest.possible_copies:
        unsure = "pairs of images may be copies, too unsure to act on: `--audit` shows them"
        yield f"{possible:,} {unsure}"
    with suppress(DataError):  # too few images to split
        yield from leak_warning(prepared, "holdout", [None], seed=0)


def _duplicates(prepared: Prepared) -> Duplicates:
    groups, ids, labels = groups_of(prepared.column("sha256")), prepared.ids, prepared.labels
    pairs = []
    for first, *others in groups:
        differing = [other for other in others if labels[other] != labels[first]]
        pairs += [(ids[first], ids[other]) for other in differing[:1]]
    return Duplicates(
        groups=len(groups),
        images=sum(map(len, groups)),
        conflicting=len(pairs),
        examples=tuple(pairs[:2]),
    )
