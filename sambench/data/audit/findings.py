"""What an audit found, in plain values: ids, numbers, words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sambench.data.audit.facts import Leak
from sambench.data.audit.shortcuts import Shortcut

VERSION = 2

SAME_FILE, SAME_PIXELS, NEAR = "same file", "same pixels", "nearly the same"
POSSIBLE = "possibly the same"


@dataclass(frozen=True, kw_only=True)
class Link:
    """Two images of which one is a copy of the other.

    Attributes:
        first: Id.
        second: Id.
        labels: Of both.
        kind: SAME_FILE, SAME_PIXELS, NEAR (certain) or POSSIBLE.
        distance: Bits of the perceptual hash that differ.
        correlation: Of their fine structure.
    """

    first: str
    second: str
    labels: tuple[str, str]
    kind: str
    distance: int = 0
    correlation: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Tear:
    """What one split does with the copies, and with the images of a patient.

    Attributes:
        split: Its name.
        test: Images that it tests, over all its folds.
        leaked: Those of them that have a copy or their patient in the training part.
    """

    split: str
    test: int
    leaked: int


@dataclass(frozen=True, kw_only=True)
class Burned:
    """Images of one class with something at their edges, as shares of the class.

    Attributes:
        label: The class.
        border: With a flat border of 2 % of the side or more.
        margin: With a dark margin of 5 % of the side or more.
        marks: With bright marks, such as text, in a dark margin.
    """

    label: str
    border: float
    margin: float
    marks: float


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found in a prepared dataset.

    Attributes:
        name: The dataset.
        image_size: Side of its images in pixels.
        fingerprint: Of the prepared data.
        counts: Images of each class.
        same_file: Groups of byte-identical files.
        same_pixels: Groups of images with the same pixels.
        links: Certain near-duplicates, the least alike first.
        possible: Pairs that may be copies, the most alike first; nothing is done with them.
        bars: Correlation of the fine structure from which a pair is certain in this set, by how
            many bits of the perceptual hashes differ.
        families: Images that are copies of each other through any chain.
        conflicts: Copies with different labels, the surest first.
        tears: Copies and patients that splits put on both sides.
        shortcuts: Columns, the one that tells most of the class first.
        leaks: Facts of files: all together, then each alone, the best first.
        burned: What is at the edges.
        dropped: (id, label, reason) of images left out by choice when the data were prepared.
    """

    name: str
    image_size: int
    fingerprint: str
    counts: Mapping[str, int]
    same_file: tuple[tuple[str, ...], ...]
    same_pixels: tuple[tuple[str, ...], ...]
    links: tuple[Link, ...]
    possible: tuple[Link, ...]
    bars: tuple[float, ...]
    families: tuple[tuple[str, ...], ...]
    conflicts: tuple[Link, ...]
    tears: tuple[Tear, ...]
    shortcuts: tuple[Shortcut, ...]
    leaks: tuple[Leak, ...]
    burned: tuple[Burned, ...]
    dropped: tuple[tuple[str, str, str], ...]

    @property
    def images(self) -> int:
        """How many images there are."""
        return sum(self.counts.values())

    @property
    def majority(self) -> float:
        """Accuracy of always naming the most frequent class."""
        return max(self.counts.values()) / self.images

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"version": VERSION, **asdict(self), "majority": self.majority}
