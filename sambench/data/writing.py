"""Selects which images are kept, says which belong together, and writes the prepared format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL
from numpy.typing import NDArray

import sambench
from sambench.data.audit.copies import Copies, find_copies, groups_of, join, look
from sambench.data.download import digest
from sambench.data.folders import natural
from sambench.data.manifest import IMAGES, MANIFEST, SAMPLES, LeftOut, Manifest, Native, fingerprint
from sambench.data.partial import Partial
from sambench.data.prepared import FIXED_COLUMNS, checksums_of
from sambench.data.source import PARTS, Fact, Listing, Progress, Sample, Source
from sambench.errors import DataError, some
from sambench.files.arrays import new_pixels
from sambench.files.atomic import csv_text, write_json, write_text
from sambench.files.definition import plain

FIXED = {"part": "of the authors' parts", "fold": "folds"}  # facts that say what trains and tests


@dataclass(frozen=True, kw_only=True)
class Drops:
    """What the user chose to leave out; of copies, those that are identical or certain."""

    conflicts: bool = False  # images that have a copy of another label: which is right is unknown
    duplicates: bool = False  # images that have a copy of the same label among those before them


NO_DROPS = Drops()


def select(
    listing: Listing, partial: Partial, drops: Drops, progress: Progress
) -> tuple[dict[int, str], dict[str, Any]]:
    """Find the copies among the decoded images, leave out what was asked, group the others.

    Return the group of each image to write, by its position in the listing, and what the manifest
    says of the other copies. A group is the id of the first image that an image is a copy of, or
    shares the patient with, through any chain of these, since a chain cut anywhere by a split
    leaks. `DataError` if there is no usable image, or a class has lost all of its images.
    """
    decoded = np.flatnonzero(partial.records["channels"]).tolist()
    if not decoded:
        raise DataError(f"no usable image in {listing.root}; give another folder")
    samples = [listing.samples[position] for position in decoded]
    checksums = partial.records["sha256"][decoded].tolist()
    copies = find_copies(look(partial.images[i] for i in decoded), checksums, progress)
    reasons = dict(_reasons(samples, copies, drops))
    patients = groups_of([sample.facts.get("patient") for sample in samples])
    together = join(len(samples), [*enumerate(copies.family.tolist()), *patients]).tolist()
    kept = [position for position in range(len(samples)) if position not in reasons]
    left = {samples[position].label for position in kept}
    for label in sorted({samples[position].label for position in reasons} - left):
        raise DataError(
            f"no image of class {label!r} in {listing.root} is left without its copies; "
            "leave out `--drop-conflicts` and look at `--audit`"
        )
    names: dict[int, str] = {}
    groups = {decoded[i]: names.setdefault(together[i], samples[i].id) for i in kept}
    gone = [(samples[position], reason) for position, reason in sorted(reasons.items())]
    dropped = [LeftOut(id=s.id, file=s.file, label=s.label, reason=why) for s, why in gone]
    return groups, {"dropped": dropped, "possible_copies": len(copies.possible)}


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


def write_prepared(
    source: Source,
    listing: Listing,
    groups: Mapping[int, str],
    partial: Partial,
    known: Mapping[str, Any],
) -> Path:
    """Write the selected images and samples and, last, the manifest; return their folder.

    The `groups` are of the images to write, by their positions; `known` are fields of the manifest.
    """
    kept = list(groups)
    samples, records = [listing.samples[position] for position in kept], partial.records[kept]
    channels: Literal[1, 3] = 1 if (records["channels"] == 1).all() else 3
    folder = partial.folder  # where the images are, if all of them are kept
    if len(kept) < len(partial.images):
        folder = folder.with_name("finished")
        shape = (len(kept), *partial.images.shape[1:3], channels)
        with new_pixels(folder / IMAGES, shape) as images:
            for place, position in enumerate(kept):
                images[place] = partial.images[position, ..., :channels]
    _write_samples(folder / SAMPLES, listing, groups, records)
    files = {name: digest(folder / name) for name in (SAMPLES, IMAGES)}
    labels = Counter(sample.label for sample in samples)
    changed = partial.recipe.changed | changed_order(source, listing.classes)
    recipe = replace(partial.recipe, depth=int(records["depth"].max()))
    peak, frames = int(records["peak"].max()), zip(samples, records["frames"].tolist(), strict=True)
    deep = (
        f"16-bit images read as {recipe.depth} bits, by their brightest pixel, {peak:,}; "
        "another range: `--set depth=BITS`"
    )
    paged = known["options"].get("pages") == "all"
    manifest = Manifest(
        **{**known, "preprocessing": recipe.in_words},
        name=source.name,
        channels=channels,
        images=len(samples),
        classes=list(listing.classes),
        counts={label: labels[label] for label in listing.classes},
        native=Native.of(records["width"], records["height"]),
        layout=listing.layout,
        groups=["copies", "same patient"],
        reference=source.reference,
        licence=source.licence,
        checksums=dict(listing.checksums),
        notes=[*listing.notes, *notes_on(samples), *([deep] if peak else [])],
        pages={sample.file: n for sample, n in frames if n > 1 and not paged},
        written_by={"sambench": sambench.__version__, "pillow": PIL.__version__},
        files=files,
        image_blocks=list(checksums_of(folder / IMAGES)),
        changed=changed,
        depth=recipe.depth,
        fingerprint=fingerprint(files[SAMPLES], files[IMAGES], changed),
    )
    write_json(folder / MANIFEST, plain(manifest))
    return folder


def changed_order(source: Source, classes: Sequence[str]) -> dict[str, str]:
    """Return the classes as a changed setting, if their order is not the usual one.

    Usual is the order of the source's own classes, or that of their names where it has none.
    """
    own = [label for label in source.classes if label in classes]
    usual = own if len(own) == len(classes) else sorted(classes, key=natural)
    return {} if list(classes) == usual else {"classes": ",".join(classes)}


def notes_on(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield the sizes of parts and folds of the images that are kept, and their patients."""
    there = {(sample.facts.get("part"), sample.label) for sample in samples}
    for part in sorted({str(part) for part, _ in there if part}):
        if lacking := sorted({label for _, label in there if (part, label) not in there}):
            yield f"no image of class {', '.join(lacking)} in the part {part}"
    parts, folds = (Counter(sample.facts.get(fact) for sample in samples) for fact in FIXED)
    if parts.keys() & set(PARTS):
        told = ", ".join(f"{part} ({parts[part]})" for part in PARTS if parts[part])
        yield f"the authors' parts (and images): {told}"
    if known := sorted((f for f in folds if f is not None), key=lambda fold: natural(str(fold))):
        told = some([f"{fold} ({folds[fold]})" for fold in known])
        yield f"numbers of the folds (and images): {told}"
    for fact, name in (FIXED | {"centre": "centres"}).items():
        sides: dict[Fact, set[Fact]] = {}
        for sample in samples:
            if sample.facts.get("patient") is not None:
                sides.setdefault(sample.facts["patient"], set()).add(sample.facts.get(fact))
        torn = [str(patient) for patient, places in sides.items() if len(places) > 1]
        if torn:
            yield f"{len(torn)} of {len(sides):,} patients are in several {name}: {some(torn, 5)}"
    if sides:
        alone = sum(sample.facts.get("patient") is None for sample in samples)
        told = f"; {alone:,} images without one, each for itself" if alone else ""
        yield f"{len(sides):,} patients or groups{told}"


def _write_samples(
    path: Path, listing: Listing, groups: Mapping[int, str], records: NDArray[np.void]
) -> None:
    of_files = records[["sha256", "size", "width", "height", "mode"]].tolist()
    rows: list[tuple[Fact, ...]] = [(*FIXED_COLUMNS, *listing.columns)]
    for (position, group), told in zip(groups.items(), of_files, strict=True):
        sample = listing.samples[position]
        of_file = (one.decode() if isinstance(one, bytes) else one for one in told)
        facts = (sample.facts.get(column) for column in listing.columns)
        rows.append((sample.id, sample.file, sample.label, group, *of_file, *facts))
    write_text(path, csv_text(rows))
