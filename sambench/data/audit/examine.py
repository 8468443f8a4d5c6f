"""Asks all questions of the audit and keeps the answers beside the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sambench.data.audit.copies import Copies, Groups, Pair, find_copies
from sambench.data.audit.facts import file_facts, find_leaks
from sambench.data.audit.findings import (
    NEAR,
    POSSIBLE,
    SAME_FILE,
    SAME_PIXELS,
    Audit,
    Burned,
    Link,
    Tear,
)
from sambench.data.audit.looks import look
from sambench.data.audit.pages import in_markdown
from sambench.data.audit.pictures import write_pairs
from sambench.data.audit.shortcuts import find_shortcuts
from sambench.data.prepared import Prepared
from sambench.data.splits import Population, find_leak
from sambench.files.atomic import write_json, write_text

BORDER, MARGIN, MARKS = 0.02, 0.05, 2e-4
GROUPED = 5


def examine(
    prepared: Prepared, progress: Callable[[int, int, str], None] = lambda done, total, what: None
) -> Audit:
    """Audit a prepared dataset; every image is read twice, nothing is written.

    Args:
        prepared: The dataset.
        progress: Called with (done, total, what).
    """
    looks = look(_counted(prepared.images, "looking at images", progress))
    copies = find_copies(looks, prepared.column("sha256"), progress)
    labels = [prepared.classes[label] for label in prepared.labels]
    links = sorted(_links(prepared, copies, labels), key=lambda link: link.correlation)
    facts = file_facts(prepared, _counted(prepared.images, "measuring images", progress))
    counted = Counter(labels)
    return Audit(
        name=prepared.name,
        image_size=prepared.image_size,
        fingerprint=prepared.fingerprint,
        counts={label: counted[label] for label in prepared.classes},
        same_file=_ids(prepared, copies.same_file),
        same_pixels=_ids(prepared, copies.same_pixels),
        links=tuple(link for link in links if link.kind == NEAR),
        possible=tuple(_near(prepared, pair, labels, POSSIBLE) for pair in copies.possible),
        bars=tuple(round(bar, 4) for bar in copies.bars),
        families=_ids(prepared, copies.families()),
        conflicts=tuple(link for link in reversed(links) if len(set(link.labels)) > 1),
        tears=tuple(_tears(prepared)),
        shortcuts=find_shortcuts(prepared),
        leaks=find_leaks(prepared, facts),
        burned=tuple(_burned(prepared, facts)),
        dropped=tuple(
            (image["id"], image["label"], image["reason"]) for image in prepared.manifest["dropped"]
        ),
    )


def write_audit(prepared: Prepared, audit: Audit) -> list[Path]:
    """Write audit.json, audit.md and pictures of pairs; return their paths.

    Raises:
        StoreError: If the disk refuses.
    """
    folder = prepared.folder
    numbers, page = folder / "audit.json", folder / "audit.md"
    write_json(numbers, audit.to_dict())
    write_text(page, in_markdown(audit))
    conflicts, copies, possible = (
        folder / f"{name}.png" for name in ("conflicts", "copies", "possible_copies")
    )
    write_pairs(prepared, audit.conflicts, "copies with different labels", conflicts)
    write_pairs(prepared, audit.links, "near-duplicates, the least alike first", copies)
    write_pairs(prepared, audit.possible, "possible copies, the most alike first", possible)
    return [path for path in (page, numbers, conflicts, copies, possible) if path.exists()]


def _counted(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    what: str,
    progress: Callable[[int, int, str], None],
) -> Iterator[NDArray[np.uint8]]:
    """Yield images, telling how many have been taken."""
    for done, image in enumerate(images):
        progress(done, len(images), what)
        yield image
    progress(len(images), len(images), what)


def _ids(prepared: Prepared, groups: Groups) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(prepared.ids[i] for i in group) for group in groups)


def _links(prepared: Prepared, copies: Copies, labels: Sequence[str]) -> Iterator[Link]:
    """Yield what makes two images copies, each pair once, as the strongest kind it is of."""
    seen = set()
    for kind, groups in ((SAME_FILE, copies.same_file), (SAME_PIXELS, copies.same_pixels)):
        for first, *others in groups:
            for other in others:
                if (first, other) not in seen:
                    yield _link(prepared, first, other, labels, kind)
                seen.add((first, other))
    for pair in copies.certain:
        yield _near(prepared, pair, labels, NEAR)


def _link(prepared: Prepared, first: int, second: int, labels: Sequence[str], kind: str) -> Link:
    return Link(
        first=prepared.ids[first],
        second=prepared.ids[second],
        labels=(labels[first], labels[second]),
        kind=kind,
    )


def _near(prepared: Prepared, pair: Pair, labels: Sequence[str], kind: str) -> Link:
    link = _link(prepared, pair.first, pair.second, labels, kind)
    return replace(link, distance=pair.distance, correlation=pair.correlation)


def _tears(prepared: Prepared) -> Iterator[Tear]:
    """Yield how many tested images have a copy or their patient in training, for some splits."""
    population = Population.of(prepared)
    splits: list[tuple[str, Sequence[int | None]]] = [("holdout", [None])]
    if None not in prepared.columns.get("fold", (None,)):
        splits.append(("folds", sorted({int(fold or 0) for fold in prepared.column("fold")})))
    if {"train", "test"} <= set(prepared.columns.get("part", ())):
        splits.append(("authors", [None]))
    if len(set(prepared.groups)) >= GROUPED:
        splits.append((f"grouped-{GROUPED}", range(1, GROUPED + 1)))
    for name, folds in splits:
        leak = find_leak(population, name, folds, seed=0)
        yield Tear(split=name, test=leak.test, leaked=leak.group)


def _burned(prepared: Prepared, facts: dict[str, NDArray[np.float64]]) -> Iterator[Burned]:
    nothing = np.zeros(len(prepared))
    for label, name in enumerate(prepared.classes):
        members = prepared.labels == label
        if members.any():
            yield Burned(
                label=name,
                border=float((facts.get("border", nothing)[members] >= BORDER).mean()),
                margin=float((facts.get("margin", nothing)[members] >= MARGIN).mean()),
                marks=float((facts.get("marks", nothing)[members] >= MARKS).mean()),
            )
