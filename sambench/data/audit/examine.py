"""Asks all questions of the audit and keeps the answers beside the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sambench.data.audit.copies import Pair, Pixels, find_copies, find_turned, groups_of, look
from sambench.data.audit.facts import Facts, Leak, Shortcut, file_facts, find_leaks, find_shortcuts
from sambench.data.audit.tears import Tear, find_tears
from sambench.data.prepared import Prepared
from sambench.data.source import Progress

VERSION = 3
SAME_FILE, SAME_PIXELS, NEAR = "same file", "same pixels", "nearly the same"
POSSIBLE, TURNED = "possibly the same", "mirrored or turned"
BORDER, MARGIN, MARKS = 0.02, 0.05, 2e-4


@dataclass(frozen=True)
class Link:
    """Two images, by their ids, of which one is a copy of the other."""

    first: str
    second: str
    labels: tuple[str, str]
    kind: str  # SAME_FILE, SAME_PIXELS, NEAR (certain), POSSIBLE or TURNED
    distance: int = 0  # bits of the perceptual hash that differ
    correlation: float = 1.0  # of their fine structure


@dataclass(frozen=True, kw_only=True)
class Burned:
    """Images of one class with something at their edges, as shares of the class."""

    label: str  # the class
    border: float  # with a flat border of 2 % of the side or more
    margin: float  # with a dark margin of 5 % of the side or more
    marks: float  # with bright marks, such as text, in a dark margin


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found in a prepared dataset, in plain values: ids, numbers, words."""

    name: str
    image_size: int
    fingerprint: str
    counts: Mapping[str, int]  # images of each class
    same_file: tuple[tuple[str, ...], ...]  # groups of byte-identical files
    same_pixels: tuple[tuple[str, ...], ...]  # groups of images with the same pixels
    links: tuple[Link, ...]  # certain near-duplicates, the least alike first
    possible: tuple[Link, ...]  # pairs that may be copies, the most alike first
    turned: tuple[Link, ...]  # certain copies that are mirrored or turned, the most alike first
    bars: tuple[float, ...]  # correlation of fine structure that is certain, by bits that differ
    families: tuple[tuple[str, ...], ...]  # images that are copies of each other through any chain
    conflicts: tuple[Link, ...]  # copies with different labels, the surest first
    tears: tuple[Tear, ...]  # copies and patients that splits put on both sides
    shortcuts: tuple[Shortcut, ...]  # columns, the one that tells most of the class first
    leaks: tuple[Leak, ...]  # facts of files: all together, then each alone, the best first
    burned: tuple[Burned, ...]  # what is at the edges
    dropped: tuple[tuple[str, str, str], ...]  # (id, label, reason) left out by choice

    @property
    def images(self) -> int:
        """How many images there are."""
        return sum(self.counts.values())

    @property
    def majority(self) -> float:
        """Accuracy of always naming the most frequent class."""
        return max(self.counts.values()) / self.images


def examine(prepared: Prepared, progress: Progress = lambda done, total, what: None) -> Audit:
    """Audit a prepared dataset; every image is read some times, nothing is written."""
    looks = look(_counted(prepared.images, "looking at images", progress))
    copies = find_copies(looks, prepared.column("sha256"), progress)
    names, labels = prepared.ids, [prepared.classes[label] for label in prepared.labels]

    def ids(groups: Iterable[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(names[i] for i in group) for group in groups)

    def link(pair: Pair, kind: str) -> Link:
        one, other = pair.first, pair.second
        theirs = (labels[one], labels[other])
        return Link(names[one], names[other], theirs, kind, pair.distance, pair.correlation)

    kinds: dict[Pair, str] = {}  # each pair once, as the strongest kind that it is of
    for kind, groups in ((SAME_FILE, copies.same_file), (SAME_PIXELS, copies.same_pixels)):
        for first, *others in groups:
            for other in others:
                kinds.setdefault(Pair(first, other, distance=0, correlation=1.0), kind)
    kinds |= dict.fromkeys(copies.certain, NEAR)
    links = [link(pair, kind) for pair, kind in kinds.items()]
    links.sort(key=lambda one: one.correlation)
    facts = file_facts(prepared, _counted(prepared.images, "measuring images", progress))
    return Audit(
        name=prepared.name,
        image_size=prepared.image_size,
        fingerprint=prepared.fingerprint,
        counts=prepared.manifest.counts,
        same_file=ids(copies.same_file),
        same_pixels=ids(copies.same_pixels),
        links=tuple(one for one in links if one.kind == NEAR),
        possible=tuple(link(pair, POSSIBLE) for pair in copies.possible),
        turned=tuple(
            link(pair, TURNED) for pair in find_turned(prepared.images, looks, copies, progress)
        ),
        bars=tuple(round(bar, 4) for bar in copies.bars),
        families=ids(groups_of(copies.family.tolist())),
        conflicts=tuple(one for one in reversed(links) if len(set(one.labels)) > 1),
        tears=tuple(find_tears(prepared)),
        shortcuts=find_shortcuts(prepared),
        leaks=find_leaks(prepared, facts),
        burned=tuple(_burned(prepared, facts)),
        dropped=tuple((one.id, str(one.label), one.reason) for one in prepared.manifest.dropped),
    )


def _counted(images: Pixels, what: str, progress: Progress) -> Iterator[Pixels]:
    """Yield images, telling how many have been taken."""
    for done, image in enumerate(images, start=1):
        yield image
        progress(done, len(images), what)


def _burned(prepared: Prepared, facts: Facts) -> Iterator[Burned]:
    nothing = np.zeros(len(prepared))
    least = {"border": BORDER, "margin": MARGIN, "marks": MARKS}
    for label, name in enumerate(prepared.classes):
        members = prepared.labels == label
        if members.any():
            found = {k: facts.get(k, nothing)[members] >= bar for k, bar in least.items()}
            yield Burned(label=name, **{k: float(there.mean()) for k, there in found.items()})
