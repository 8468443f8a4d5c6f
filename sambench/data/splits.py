"""Which images train, select and test: named, seeded, and the same on every machine.

Images are ordered by a hash of seed and id, not by a random generator, so a split depends neither
on the order of the files nor on a library's version. What was trained on is kept beside the data:
`splits/<name>.csv` in the folder of a prepared dataset has the part of each image. It is written
when a split is first used; whoever uses it again gets the same, or is told that it has changed.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from sambench.data.prepared import Prepared
from sambench.data.source import PARTS
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
LONGEST = 180  # name of a split, quoted, that its file has; systems allow 255 letters
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
    if validation and not theirs.any() and not test.all():
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
            fewer = ", or choose a split of fewer folds" if part == "test" and fold else ""
            share = ", or set another validation" if part != "test" and validation else ""
            raise DataError(f"split {name} {lack}; prepare more images{fewer}{share}")
    return Split(**parts)


def trained_though_apart(prepared: Prepared, train: Indices) -> int:
    """Count the images of a training part that the source sets apart for testing."""
    parts = prepared.columns.get("part", ())
    apart = [position for position, part in enumerate(parts) if part == "test"]
    return int(np.isin(apart, train).sum())


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
    parts = np.full(len(prepared), "", dtype=object)
    for part in PARTS:
        parts[getattr(split, part)] = part
    data = csv_text([("id", "part"), *zip(prepared.ids, parts, strict=True)]).encode()
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
    """Return the file of a split: each setting that decides it is in the name, if only as a sha256.

    Names of centres in other letters than Latin ones, quoted, may be longer than a file's may be.
    """
    kept = quote(name, safe="")
    kept = kept if len(kept) <= LONGEST else f"{kept[:100]}-{sha256_of(name.encode())[:16]}"
    parts = [kept, f"s{seed}"]
    parts += [f"f{fold}"] if fold is not None else []
    parts += [f"v{validation}"] if validation else []
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
    if known and fold not in known:
        said = "none was given" if fold is None else f"{fold} does not exist"
        example = f", as `--set fold={known[0]}`" if fold is None else ""
        raise ConfigError(
            f"split {name} needs a fold and {said}; folds: {some([*map(str, known)])}{example}"
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
