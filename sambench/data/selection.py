"""Which of the decoded images are kept, and which of them belong together."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from sambench.data.audit.copies import Copies, find_copies, join
from sambench.data.audit.looks import look
from sambench.data.partial import Entry, Partial
from sambench.data.problems import some
from sambench.data.source import Sample

Decoded = Sequence[tuple[Sample, Entry]]

TOGETHER = ("patient",)
"""Facts whose images belong together, besides copies."""


@dataclass(frozen=True, kw_only=True)
class Drops:
    """What the user chose to leave out.

    Attributes:
        conflicts: All images of a family of copies whose labels differ: which is right is unknown.
        duplicates: All but the first of each label in a family of copies.
    """

    conflicts: bool = False
    duplicates: bool = False


NO_DROPS = Drops()


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The images to write.

    Attributes:
        kept: In their order.
        groups: The group of each: the id of the first image that it is a copy of, or shares the
            patient with, through any chain of these.
        dropped: (sample, reason) of the others.
    """

    kept: Decoded
    groups: tuple[str, ...]
    dropped: tuple[tuple[Sample, str], ...]


def select(decoded: Decoded, partial: Partial, drops: Drops) -> Selection:
    """Find the copies among the decoded images, leave out what was asked, group the others."""
    samples = [sample for sample, _ in decoded]
    copies = find_copies(
        look(partial.read(entry) for _, entry in decoded), [entry.sha256 for _, entry in decoded]
    )
    reasons = dict(_reasons(samples, copies, drops))
    together = join(len(samples), [*_links(samples, copies)])
    kept = [position for position in range(len(samples)) if position not in reasons]
    names: dict[int, str] = {}
    for position in kept:
        names.setdefault(int(together[position]), samples[position].id)
    return Selection(
        kept=[decoded[position] for position in kept],
        groups=tuple(names[int(together[position])] for position in kept),
        dropped=tuple((samples[position], reason) for position, reason in sorted(reasons.items())),
    )


def _links(samples: Sequence[Sample], copies: Copies) -> Iterator[tuple[int, int]]:
    for position, first in enumerate(copies.family.tolist()):
        yield first, position
    for fact in TOGETHER:
        firsts: dict[Hashable, int] = {}
        for position, sample in enumerate(samples):
            if sample.facts.get(fact) is not None:
                yield firsts.setdefault(sample.facts[fact], position), position


def _reasons(samples: Sequence[Sample], copies: Copies, drops: Drops) -> Iterator[tuple[int, str]]:
    """Yield the positions to leave out."""
    conflicts = set(copies.conflicts([sample.label for sample in samples]))
    for family in copies.families():
        if drops.conflicts and family in conflicts:
            ids = some([f"{samples[i].id} ({samples[i].label})" for i in family], limit=6)
            yield from ((position, f"copies with conflicting labels: {ids}") for position in family)
        elif drops.duplicates:
            first: dict[str, int] = {}
            for position in family:
                kept = first.setdefault(samples[position].label, position)
                if kept != position:
                    yield position, f"a copy of {samples[kept].id}"
