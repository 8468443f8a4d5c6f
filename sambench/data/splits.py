"""Which images train, select and test: named, seeded, and the same on every machine.

Images are ordered by a hash of seed and id, not by a random generator, so a split depends neither
on the order of the files nor on a library's version. What was trained on is kept beside the data:
`splits/<name>.csv` in the folder of a prepared dataset has the part of each image. It is written
when a split is first used; whoever uses it again gets the same, or is told that it has changed.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from sambench.data.prepared import Prepared
from sambench.data.source import PARTS, source_of
from sambench.errors import (
    ConfigError,
    DataError,
    SambenchWarning,
    StoreError,
    did_you_mean,
    shown,
    some,
)
from sambench.files.atomic import csv_text, write_bytes
from sambench.files.checksums import sha256_of

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

TEST_FRACTION = 0.2  # the papers' 80/20 hold-out
NAMES = ("holdout", "folds", "authors", "kfold-K", "grouped-K", "patient-K", "centre:NAME")
MOST_FOLDS = 1000  # far more than anybody trains on


@dataclass(frozen=True, kw_only=True)
class Split:
    """Sorted indices of the three parts; validation may be empty."""

    train: Indices
    validation: Indices
    test: Indices

    def leaked(self, groups: NDArray[Any]) -> int:
        """Count the test images of whose group, by image of shape (N,), others train."""
        return int(np.isin(groups[self.test], groups[self.train]).sum())


def make_split(
    prepared: Prepared, name: str, *, fold: int | None, seed: int, validation: float
) -> Split:
    """Split the images.

    The name is "holdout" (stratified, 20 % test), "folds" (the source's own), "authors" (the
    source's own parts: trained on theirs, tested on theirs), "kfold-K" (stratified), "grouped-K"
    (stratified as far as whole groups allow), "patient-K" (the same, and refused where no patients
    are known) or "centre:NAME" (that centre is the test part; any other column in place of `centre`
    likewise). The fold is the test part: the source's own number, or 1..K. The seed changes all
    parts but those the source fixes. `validation` is the fraction of the training part to set
    aside, whole groups at a time; where "authors" have a validation part, that is taken instead.
    Unasked, theirs is left out. `ConfigError` if the name is unknown or the fold does not exist;
    `DataError` if the data lack what the split needs, or a part would be empty.
    """
    test = _test_mask(prepared, name, fold, seed)
    theirs = np.zeros_like(test)
    if name == "authors":
        theirs = np.array(_complete(prepared, "part")) == "validation"
    held = theirs & (validation > 0)
    if validation and not theirs.any():
        rest = np.flatnonzero(~test)
        shares = (validation, 1 - validation)
        groups = np.array(prepared.groups)[rest].tolist()
        held[rest] = deal(prepared.labels[rest], groups, shares, seed, "validation") == 1
    parts = {
        "train": np.flatnonzero(~test & ~held & ~theirs),
        "test": np.flatnonzero(test),
        "validation": np.flatnonzero(held),
    }
    for part, indices in parts.items():
        if not len(indices) and (part != "validation" or validation):
            lack = f"leaves no image for the {part} part"
            raise DataError(f"split {name} {lack}; prepare more images")
    return Split(**parts)


@dataclass(frozen=True, kw_only=True)
class Tear:
    """How many images a split tests over its folds, and how many of them are `leaked`."""

    split: str
    test: int
    leaked: int  # of their group (a copy, or their patient) others are in the training part


def over_folds(
    prepared: Prepared, name: str, folds: Sequence[int | None], *, seed: int
) -> list[Split]:
    """Return the split of each fold, without validation; see `make_split`."""
    return [make_split(prepared, name, fold=fold, seed=seed, validation=0) for fold in folds]


def find_tear(prepared: Prepared, name: str, made: Sequence[Split]) -> Tear:
    """Count the images that are tested while others of their group train."""
    _, group = np.unique(prepared.groups, return_inverse=True)
    leaked = sum(one.leaked(group) for one in made)
    return Tear(split=name, test=sum(len(one.test) for one in made), leaked=leaked)


def leak_warning(
    prepared: Prepared, name: str, folds: Sequence[int | None], *, seed: int
) -> Iterator[str]:
    """Yield a line if a split trains on images that the source sets apart, and one if it leaks.

    Each names the split that does not, where there is one; see `make_split`. Another says of which
    classes a part has no image.
    """
    made = over_folds(prepared, name, folds, seed=seed)
    yield from _lacking(prepared, name, made)
    yield from _mixed(prepared, name, made)
    tear = find_tear(prepared, name, made)
    if tear.leaked:
        what = "a patient or a copy" if any(prepared.columns.get("patient", ())) else "a copy"
        yield (
            f"split {name}: {tear.leaked:,} of {tear.test:,} test images "
            f"({tear.leaked / tear.test:.1%}) share {what} with training, so its accuracy is too "
            f"good; {_remedy(prepared, seed)}"
        )


def _lacking(prepared: Prepared, name: str, made: Sequence[Split]) -> Iterator[str]:
    """Yield a line if some training, and one if some test parts lack a class."""
    for part in ("training", "test"):
        kept = [one.test if part == "test" else one.train for one in made]
        there = [np.isin(np.arange(len(prepared.classes)), prepared.labels[own]) for own in kept]
        lacking = np.flatnonzero(~np.all(there, axis=0))
        if len(lacking):
            number = f"{sum(not own.all() for own in there)} of the {len(made)}"
            parts = f"{number} {part} parts" if len(made) > 1 else f"the {part} part"
            classes = some([prepared.classes[place] for place in lacking])
            remedy = "prepare more images of it, or choose another split"
            yield f"split {name}: no image of {classes} is in {parts}; {remedy}"


def trained_though_apart(prepared: Prepared, train: Indices) -> int:
    """Count the images of a training part that the source sets apart for testing."""
    parts = prepared.columns.get("part", ())
    apart = [position for position, part in enumerate(parts) if part == "test"]
    return int(np.isin(apart, train).sum())


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
    if 2 * max(groups.values()) > number:
        return (
            f"{max(groups.values()):,} of the {number:,} images are in one group, so no split "
            "keeps them together: prepare them with `--drop-duplicates`"
        )
    kind = "patient" if len(told) == number else "grouped"
    remedy = _asked(f"{kind}-5" if len(groups) >= 5 else f"grouped-{len(groups)}")
    parts = prepared.columns.get("part", ())
    if not {"train", "test"} <= {*parts} or None in parts:
        return remedy
    made = over_folds(prepared, "authors", [None], seed=seed)
    if not find_tear(prepared, "authors", made).leaked:
        return _asked("authors")
    if not told:
        return f"prepare with `--drop-duplicates`, then {_asked('authors')}"
    return f"{remedy}, but trains on images that the source sets apart for testing"


def folds_of(name: str) -> tuple[int, ...] | None:
    """Return a split's folds, () if none, None if the data bring them; `ConfigError` if unknown."""
    kind, _, number = name.partition("-")
    if name == "folds":
        return None
    if f"{kind}-K" in NAMES and number.isdecimal() and 2 <= int(number) <= MOST_FOLDS:
        return tuple(range(1, int(number) + 1))
    if name in ("holdout", "authors") or all(name.partition(":")):
        return ()
    raise ConfigError(
        f"unknown split {shown(name)}{did_you_mean(name, NAMES)}; splits: {', '.join(NAMES)}"
    )


def stored_split(
    prepared: Prepared, name: str, *, fold: int | None, seed: int, validation: float
) -> tuple[Split, str]:
    """Return a split (`make_split`) and the sha256 of its file, which is written if there is none.

    `ConfigError` if there is no such split or fold; `DataError` if the data lack what it needs, or
    the file says otherwise.
    """
    split = make_split(prepared, name, fold=fold, seed=seed, validation=validation)
    path = split_path(prepared.folder, name, fold=fold, seed=seed, validation=validation)
    data = _as_csv(prepared, split)
    if not path.exists():
        try:
            write_bytes(path, data)
        except StoreError as error:  # data that many share are often read-only, and can be used so
            warnings.warn(f"the split is not kept: {error}", SambenchWarning, stacklevel=2)
    elif path.read_bytes() != data:
        raise DataError(
            f"{path} says otherwise than split {name} of these data: it was changed, or another "
            "version of sambench made it; move it away to go on with the split as it is now"
        )
    return split, sha256_of(data)


def split_path(folder: Path, name: str, *, fold: int | None, seed: int, validation: float) -> Path:
    """Return the file of a split: each setting that decides it is in the name."""
    parts = [quote(name, safe=""), f"s{seed}"]
    parts += [f"f{fold}"] if fold is not None else []
    parts += [f"v{validation:g}"] if validation else []
    return folder / "splits" / f"{'-'.join(parts)}.csv"


def _complete(prepared: Prepared, name: str) -> list[str]:
    """Return a column that has a value for each image; `DataError` if there is none."""
    column = ["" if value is None else str(value) for value in prepared.columns.get(name, ())]
    if not column or "" in column:
        raise DataError(
            f"the data have no complete {name!r} column, which this split needs; "
            "choose another split, e.g. holdout or grouped-5"
        )
    return column


def _test_mask(prepared: Prepared, name: str, fold: int | None, seed: int) -> Mask:
    known = folds_of(name)
    if known is None:
        known = tuple(sorted({int(value) for value in _complete(prepared, "fold")}))
    if known and (fold is None or fold not in known):
        said = "none was given" if fold is None else f"{fold} does not exist"
        example = f", as `--set fold={known[0]}`" if fold is None else ""
        raise ConfigError(
            f"split {name} needs a fold and {said}; folds: {', '.join(map(str, known))}{example}"
        )
    if not known and fold is not None:
        raise ConfigError(f"split {name} has no folds, but fold={fold} was given; leave it out")
    if name == "holdout":
        return _stratified(prepared.ids, prepared.labels, seed, TEST_FRACTION)
    fixed = {"authors": ("part", "", "test"), "folds": ("fold", "", str(fold))}
    if name in fixed or ":" in name:
        column, _, value = fixed.get(name) or name.partition(":")
        values = np.array(_complete(prepared, column))
        mask = np.asarray(values == value, dtype=bool)
        if not mask.any():
            there = ", ".join(np.unique(values))
            raise ConfigError(f"no image has {column} {value!r}; there are: {there}")
        return mask
    kind = name.partition("-")[0]
    if kind == "patient":
        _complete(prepared, "patient")
    return np.equal(_dealt(prepared, kind, len(known), seed), int(fold or 0))


@lru_cache(maxsize=1)
def _dealt(prepared: Prepared, kind: str, number: int, seed: int) -> Indices:
    """Return the fold of each image, (N,): dealt once for all folds, which may take seconds."""
    groups = prepared.ids if kind == "kfold" else prepared.groups
    return deal(prepared.labels, groups, [1 / number] * number, seed)


def _stratified(ids: Sequence[str], labels: Indices, seed: int, fraction: float) -> Mask:
    """Mark `round(fraction n)` images, each class in proportion (largest remainders)."""
    order = _order(ids, seed, "test")
    classes, counts = np.unique(labels, return_counts=True)
    exact = fraction * counts
    quota = np.floor(exact).astype(int)
    missing = round(fraction * len(ids)) - quota.sum()
    quota[np.argsort(-(exact - quota), kind="stable")[:missing]] += 1
    mask = np.zeros(len(ids), dtype=bool)
    for label, number in zip(classes, quota, strict=True):
        mask[order[labels[order] == label][:number]] = True
    return mask


def deal(
    labels: Indices, groups: Sequence[str], shares: Sequence[float], seed: int, axis: str = "test"
) -> Indices:
    """Deal whole groups to parts 1..K so that each part gets its share of each class.

    Largest groups first, each to the part that it fills least. Return the part of each image, (N,).
    """
    names, inverse = np.unique(groups, return_inverse=True)
    table = np.zeros((len(names), int(labels.max()) + 1))
    np.add.at(table, (inverse, labels), 1)
    order = _order(names.tolist(), seed, axis)
    order = order[np.argsort(-table[order].sum(axis=1), kind="stable")]
    wanted = np.maximum(np.outer(shares, table.sum(axis=0)), 1e-9)
    filled = np.zeros_like(wanted)
    part_of = np.zeros(len(names), dtype=np.int64)
    for group in order:
        present = table[group] > 0
        load = ((filled + table[group]) / wanted)[:, present].max(axis=1)
        part = int(np.lexsort((filled.sum(axis=1), load))[0])
        filled[part] += table[group]
        part_of[group] = part + 1
    return part_of[inverse]


def _order(keys: Sequence[str], seed: int, axis: str) -> Indices:
    digests = [hashlib.sha256(f"{axis}:{seed}:{key}".encode()).hexdigest() for key in keys]
    return np.array(sorted(range(len(keys)), key=digests.__getitem__), dtype=np.int64)


def _as_csv(prepared: Prepared, split: Split) -> bytes:
    part_of = dict.fromkeys(range(len(prepared)), "")
    for part in PARTS:
        part_of.update(dict.fromkeys(getattr(split, part).tolist(), part))
    return csv_text([("id", "part"), *zip(prepared.ids, part_of.values(), strict=True)]).encode()
