"""Which of the decoded images are kept, and which of them belong together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
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
    """What the user chose to leave out; of copies, those that are identical or certain."""

    conflicts: bool = False  # images that have a copy of another label: which is right is unknown
    duplicates: bool = False  # images that have a copy of the same label among those before them


NO_DROPS = Drops()


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The images to write and those left out; `possible` copies are left to the eye.

    The group of an image is the id of the first image that it is a copy of, or shares the patient
    with, through any chain of these, since a chain cut anywhere by a split leaks.
    """

    kept: Decoded
    groups: tuple[str, ...]
    dropped: tuple[tuple[Sample, str], ...]
    possible: int = 0


def select(
    decoded: Decoded,
    partial: Partial,
    drops: Drops,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Selection:
    """Find the copies among the decoded images, leave out what was asked, group the others."""
    samples = [sample for sample, _ in decoded]
    copies = find_copies(
        look(partial.read(entry) for _, entry in decoded),
        [entry.sha256 for _, entry in decoded],
        progress,
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
        possible=len(copies.possible),
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
    """Yield the positions to leave out; only an image's own copies count, never their copies."""
    partners = copies.partners()
    gone: set[int] = set()
    for position in sorted(partners):
        label = samples[position].label
        against = sorted(p for p in partners[position] if samples[p].label != label)
        same = sorted(p for p in partners[position] - gone if samples[p].label == label)
        if drops.conflicts and against:
            them = sorted([position, *against])
            ids = some([f"{samples[i].id} ({samples[i].label})" for i in them], limit=6)
            yield position, f"copies with conflicting labels: {ids}"
        elif drops.duplicates and same and same[0] < position:
            yield position, f"a copy of {samples[same[0]].id}"
        else:
            continue
        gone.add(position)
