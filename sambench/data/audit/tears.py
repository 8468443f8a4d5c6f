"""What splits tear apart: copies, patients, and the parts and folds that the images come with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sambench.data.prepared import Prepared
from sambench.data.source import source_of
from sambench.data.splits import Split, make_split, trained_though_apart
from sambench.errors import some

GROUPED = 5


@dataclass(frozen=True, kw_only=True)
class Tear:
    """How many images a split tests over its folds, and how many of them are `leaked`."""

    split: str
    test: int
    leaked: int  # of their group (a copy, or their patient) others are in the training part


def find_tears(prepared: Prepared) -> Iterator[Tear]:
    """Yield how many tested images have a copy or their patient in training, for some splits."""
    splits: list[tuple[str, Sequence[int | None]]] = [("holdout", [None])]
    if None not in prepared.columns.get("fold", (None,)):
        splits.append(("folds", sorted({int(fold or 0) for fold in prepared.column("fold")})))
    if {"train", "test"} <= set(prepared.columns.get("part", ())):
        splits.append(("authors", [None]))
    if len(set(prepared.groups)) >= GROUPED:
        splits.append((f"grouped-{GROUPED}", range(1, GROUPED + 1)))
    for name, folds in splits:
        made = [make_split(prepared, name, fold=fold, seed=0, validation=0) for fold in folds]
        yield _tear(prepared, name, made)


def leak_warning(
    prepared: Prepared,
    name: str,
    folds: Sequence[int | None],
    *,
    seed: int,
    validation: float = 0,
) -> Iterator[str]:
    """Yield a line if a split trains on images that the source sets apart, and one if it leaks.

    Each names the split that does not, where there is one; see `make_split`. Another says of which
    classes a part has no image.
    """
    made = [
        make_split(prepared, name, fold=fold, seed=seed, validation=validation) for fold in folds
    ]
    yield from _lacking(prepared, name, made)
    yield from _mixed(prepared, name, made)
    tear = _tear(prepared, name, made)
    if tear.leaked:
        what = "a patient or a copy" if any(prepared.columns.get("patient", ())) else "a copy"
        yield (
            f"split {name}: {tear.leaked:,} of {tear.test:,} test images "
            f"({100 * tear.leaked / tear.test:.1f} %) share {what} with training, so its accuracy "
            f"is too good; {_remedy(prepared, seed)}"
        )


def _tear(prepared: Prepared, name: str, made: Sequence[Split]) -> Tear:
    _, group = np.unique(prepared.groups, return_inverse=True)
    leaked = sum(one.leaked(group) for one in made)
    return Tear(split=name, test=sum(len(one.test) for one in made), leaked=leaked)


def _lacking(prepared: Prepared, name: str, made: Sequence[Split]) -> Iterator[str]:
    """Yield a line if some training, and one if some test parts lack a class."""
    for part in ("training", "test"):
        kept = [one.test if part == "test" else one.train for one in made]
        there = [np.isin(np.arange(len(prepared.classes)), prepared.labels[own]) for own in kept]
        lacking = np.flatnonzero(~np.all(there, axis=0))
        if len(lacking):
            number = f"{sum(not own.all() for own in there)} of the {len(made)} {part} parts"
            classes = some([prepared.classes[place] for place in lacking])
            lack = f"no image of {classes} is in {number if len(made) > 1 else f'the {part} part'}"
            if len(lacking) > 1 and len(made) > 1:
                lack = f"{number} have no image of some class ({classes})"
            remedy = f"prepare more images of {'it' if len(lacking) == 1 else 'them'}"
            yield f"split {name}: {lack}; {remedy}, or choose another split"


def _mixed(prepared: Prepared, name: str, made: Sequence[Split]) -> Iterator[str]:
    """Yield a line if the source's own test images are trained on, or one's own folds are mixed."""
    parts, folds = (prepared.columns.get(fact, ()) for fact in ("part", "fold"))
    own = source_of(prepared.name).name == "folder"  # published folds are one choice of many
    if mixed := trained_though_apart(prepared, np.concatenate([one.train for one in made])):
        all_told = "" if all(parts) else "give each image a part, then "
        apart = list(parts).count("test")
        yield (
            f"split {name}: {mixed:,} of the {apart:,} images that the source sets apart for "
            f"testing are trained on; {all_told}{_asked('authors', 'keeps them apart')}"
        )
    elif name == "holdout" and folds and None not in folds and own:
        yield (
            f"split holdout mixes the {len(set(folds))} folds that the images come with; "
            f"{_asked('folds', 'keeps to them')}"
        )


def _asked(split: str, does: str = "keeps them together") -> str:
    """Say what another split does, and how a command and a suite ask for it."""
    return f"`--split {split}` {does} (in a suite `split: {split}`)"


def _remedy(prepared: Prepared, seed: int) -> str:
    """Return what keeps images of a group together, where that is possible, in a clause."""
    number, groups = len(prepared), Counter(prepared.groups)
    told = [patient for patient in prepared.columns.get("patient", ()) if patient is not None]
    patient, images = Counter(told).most_common(1)[0] if told else ("", 0)
    if 2 * images > number:
        return (
            f"{images:,} of the {number:,} images are of one patient ({patient}), which is "
            "probably no patient's id: prepare them by a table (`--xlsx`) that names the patients"
        )
    mixed = len({*zip(prepared.groups, prepared.labels.tolist(), strict=True)}) > len(groups)
    drops = ("duplicates", *(["conflicts"] if mixed else []))
    dropping = f"`{' '.join(f'--drop-{what}' for what in drops)}`"
    # groups of patients stay joined by the copies that are dropped, and so do chains of copies
    helps = not told and not all(prepared.manifest.drops.get(what) for what in drops)
    if 2 * max(groups.values()) > number:
        advice = f"prepare them with {dropping}" if helps else "`--audit` names the copies in it"
        return (
            f"{max(groups.values()):,} of the {number:,} images are in one group, so no split "
            f"keeps them together: {advice}"
        )
    kind = "patient" if len(told) == number else "grouped"
    remedy = _asked(f"{kind}-5" if len(groups) >= 5 else f"grouped-{len(groups)}")
    parts = prepared.columns.get("part", ())
    if not {"train", "test"} <= {*parts} or None in parts:
        return remedy
    theirs = make_split(prepared, "authors", fold=None, seed=seed, validation=0)
    if not _tear(prepared, "authors", [theirs]).leaked:
        return _asked("authors")
    if helps:
        return f"prepare with {dropping}, then {_asked('authors')}"
    return f"{remedy}, but trains on images that the source sets apart for testing"
