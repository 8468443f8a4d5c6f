"""What a prepared dataset consists of, in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from sambench.data.audit.copies import MOST_POSSIBLE, groups_of
from sambench.data.audit.tears import leak_warning
from sambench.data.manifest import Account, LeftOut
from sambench.data.prepared import Prepared
from sambench.errors import DataError, some
from sambench.files.definition import plain

MOST_GROUPS = 8


def summarize(prepared: Prepared) -> dict[str, Any]:
    """Count what there is in a prepared dataset, in plain values, empty where nothing is known."""
    manifest = prepared.manifest
    by_centre, by_fold = (prepared.count_by(name) for name in ("centre", "fold"))
    return {
        "name": prepared.name,
        "layout": manifest.layout,
        "images": len(prepared),
        "image_size": prepared.image_size,
        "channels": manifest.channels,
        "classes": prepared.classes,
        "by_class": manifest.counts,
        "by_centre": {name: counts for name, counts in by_centre.items() if name is not None},
        "by_fold": {number: counts for number, counts in by_fold.items() if number is not None},
        **plain(manifest.native),  # width and height of the files
        "duplicates": _duplicates(prepared),
        "notes": tuple(manifest.notes),
        "skipped": tuple((image.file or image.id, image.reason) for image in manifest.skipped),
        "dropped": tuple((image.id, image.reason) for image in manifest.dropped),
        "account": plain(manifest.account),
        "pages": manifest.pages,
        "warnings": tuple(_warnings(prepared)),  # what should be known before training on it
        "fingerprint": prepared.fingerprint,
    }


def _warnings(prepared: Prepared) -> Iterator[str]:
    """Yield what was not read or left out, and whether the usual split would leak."""
    manifest = prepared.manifest
    yield from sentences(manifest.account)
    if several := manifest.pages:
        files = "1 file" if len(several) == 1 else f"{len(several)} files"
        pages = f"{sum(several.values()) - len(several)} pages after the first of {files}"
        yield f"passed over: {pages} ({some(sorted(several), limit=3)}); `--pages all` reads them"
    yield from grouped_reasons([*manifest.skipped, *manifest.dropped])
    if possible := manifest.possible_copies:
        unsure = "pairs of images that may be copies, too unsure to act on"
        more = " or more" * (possible == MOST_POSSIBLE)
        yield f"{unsure}: {possible:,}{more}; `--audit` shows them"
    with suppress(DataError):  # too few images to split
        yield from leak_warning(prepared, "holdout", [None], seed=0)


def sentences(account: Account) -> Iterator[str]:
    """Yield what was passed over in a line or two."""
    groups = [f"{len(files):,} {reason}" for reason, files in account.passed.items()]
    if groups:
        yield f"passed over: {some(groups, limit=MOST_GROUPS)}"
    if account.empty:
        yield f"empty folders: {some(account.empty, limit=MOST_GROUPS)}"


def grouped_reasons(images: Sequence[LeftOut]) -> Iterator[str]:
    """Yield one line for each kind of reason for which images were left out."""
    kinds: dict[str, list[str]] = {}
    for image in images:
        kinds.setdefault(image.reason.partition(":")[0], []).append(image.file or image.id)
    for kind, names in sorted(kinds.items(), key=lambda item: -len(item[1])):
        yield f"left out, {kind}: {len(names):,} ({some(names, limit=3)})"


def _duplicates(prepared: Prepared) -> dict[str, Any]:
    """Count groups of identical files and those that differ in label; two pairs are examples."""
    groups, ids, labels = groups_of(prepared.column("sha256")), prepared.ids, prepared.labels
    pairs = []
    for first, *others in groups:
        differing = [other for other in others if labels[other] != labels[first]]
        pairs += [(ids[first], ids[other]) for other in differing[:1]]
    count = {"groups": len(groups), "images": sum(map(len, groups)), "conflicting": len(pairs)}
    return {**count, "examples": tuple(pairs[:2])}
