"""Which images train, select and test: named, seeded, and the same on every machine.

Images are ordered by a hash of seed and id, not by a random generator, so a split depends neither
on the order of the files nor on a library's version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sambench.data.prepared import Prepared
from sambench.errors import ConfigError, DataError, did_you_mean, shown

Indices = NDArray[np.int64]

TEST_FRACTION = 0.2
"""The papers' 80/20 hold-out."""

NAMES = ("holdout", "folds", "authors", "kfold-K", "grouped-K", "patient-K", "centre:NAME")
DEALT = ("kfold", "grouped", "patient")
MOST_FOLDS = 1000
"""Far more than anybody trains on."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Sorted indices of the three parts; validation may be empty."""

    train: Indices
    validation: Indices
    test: Indices


@dataclass(frozen=True, kw_only=True)
class Population:
    """What a split needs to know of the images.

    Attributes:
        ids: Unique id of each image.
        labels: Class of each image.
        groups: Images of one group are kept together where the split respects groups.
        facts: Further columns of `samples.csv`, e.g. centre and fold.
    """

    ids: Sequence[str]
    labels: NDArray[np.int64]
    groups: Sequence[str]
    facts: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, prepared: Prepared) -> Population:
        """Return what splits need to know of prepared images."""
        facts = {
            name: ["" if value is None else str(value) for value in values]
            for name, values in prepared.columns.items()
        }
        return cls(ids=prepared.ids, labels=prepared.labels, groups=prepared.groups, facts=facts)

    def __len__(self) -> int:
        return len(self.ids)


def make_split(
    population: Population, name: str, *, fold: int | None, seed: int, validation: float
) -> Split:
    """Split the images.

    Args:
        population: The images.
        name: "holdout" (stratified, 20 % test), "folds" (the source's own), "authors" (the
            source's own parts: trained on theirs, tested on theirs), "kfold-K" (stratified),
            "grouped-K" (stratified as far as whole groups allow), "patient-K" (the same, and
            refused where no patients are known) or "centre:NAME" (that centre is the test part;
            any other column in place of `centre` likewise).
        fold: Which fold is the test part: the source's own number, or 1..K.
        seed: Changes all parts but those the source fixes.
        validation: Fraction of the training part to set aside, whole groups at a time; where
            "authors" have a validation part, that is taken instead. Unasked, theirs is left out.

    Raises:
        ConfigError: If the name is unknown or the fold does not exist.
        DataError: If the data lack what the split needs, or a part would be empty.
    """
    test = _test_mask(population, name, fold, seed)
    theirs = _theirs(population, "validation" if name == "authors" else "")
    held = theirs if validation else np.zeros_like(theirs)
    if validation and not theirs.any():
        rest = np.flatnonzero(~test)
        shares = (validation, 1 - validation)
        held[rest] = _grouped(population, rest, shares, seed, "validation") == 1
    parts = Split(
        train=np.flatnonzero(~test & ~held & ~theirs),
        validation=np.flatnonzero(held),
        test=np.flatnonzero(test),
    )
    _refuse_empty(parts, name, validation)
    return parts


def deal(population: Population, folds: int, seed: int) -> Indices:
    """Return the fold 1..K that "grouped-K" tests each image in, shape (N,)."""
    everything = np.arange(len(population))
    return _grouped(population, everything, [1 / folds] * folds, seed, "test")


@dataclass(frozen=True, kw_only=True)
class Leak:
    """What a split tears apart, counted over some of its folds.

    Attributes:
        test: Images tested.
        group: Those of them of whose group (a patient, or copies) others train.
    """

    test: int
    group: int


def find_leak(population: Population, name: str, folds: Sequence[int | None], *, seed: int) -> Leak:
    """Count the images of a split that are tested while others of their group train.

    Raises:
        ConfigError: If the name is unknown or a fold does not exist.
        DataError: If the data lack what the split needs.
    """
    _, group = np.unique(population.groups, return_inverse=True)
    test = leaked = 0
    for fold in folds:
        parts = make_split(population, name, fold=fold, seed=seed, validation=0)
        test += len(parts.test)
        leaked += int(np.isin(group[parts.test], group[parts.train]).sum())
    return Leak(test=test, group=leaked)


def leak_warning(
    population: Population, name: str, folds: Sequence[int | None], *, seed: int
) -> Iterator[str]:
    """Yield one line if a split leaks, with the split that does not.

    Raises:
        ConfigError: If the name is unknown or a fold does not exist.
        DataError: If the data lack what the split needs.
    """
    leak = find_leak(population, name, folds, seed=seed)
    if not leak.group:
        return
    patients = any(population.facts.get("patient", ()))
    remedy = "patient-5" if all(population.facts.get("patient", [""])) else "grouped-5"
    what = "a patient or a copy" if patients else "a copy"
    if len(set(population.groups)) < 5:
        remedy = f"grouped-{max(2, len(set(population.groups)))}"
    yield (
        f"split {name}: {leak.group:,} of {leak.test:,} test images "
        f"({leak.group / leak.test:.1%}) share {what} with training, so its accuracy is too "
        f"good; `--set split={remedy}` keeps them together"
    )


def folds_of(name: str) -> tuple[int, ...] | None:
    """Return the folds of a split: () where it has none, None where the data bring their own.

    Raises:
        ConfigError: If there is no such split.
    """
    kind, _, number = name.partition("-")
    if name == "folds":
        return None
    if f"{kind}-K" in NAMES and number.isdecimal() and 2 <= int(number) <= MOST_FOLDS:
        return tuple(range(1, int(number) + 1))
    if name in NAMES or all(name.partition(":")):
        return ()
    raise ConfigError(
        f"unknown split {shown(name)}{did_you_mean(name, NAMES)}; splits: {', '.join(NAMES)}"
    )


def _test_mask(population: Population, name: str, fold: int | None, seed: int) -> NDArray[np.bool_]:
    kind, _, argument = name.partition(":" if ":" in name else "-")
    if name == "holdout":
        _refuse_fold(name, fold)
        return _stratified(population, seed, TEST_FRACTION)
    if name == "authors":
        _refuse_fold(name, fold)
        _column(population, "part")
        return _theirs(population, "test")
    if ":" in name and kind and argument:
        _refuse_fold(name, fold)
        return _equals(population, kind, argument)
    if name == "folds":
        known = sorted({int(value) for value in _column(population, "fold")})
        return _equals(population, "fold", str(_checked_fold(name, fold, known)))
    if kind in DEALT and argument.isdecimal() and 2 <= int(argument) <= MOST_FOLDS:
        chosen = _checked_fold(name, fold, range(1, int(argument) + 1))
        if kind == "patient":
            _column(population, "patient")
        grouped = _ungrouped(population) if kind == "kfold" else population
        return np.equal(deal(grouped, int(argument), seed), chosen)
    raise ConfigError(
        f"unknown split {shown(name)}{did_you_mean(name, NAMES)}; splits: {', '.join(NAMES)}"
    )


def _stratified(population: Population, seed: int, fraction: float) -> NDArray[np.bool_]:
    """Mark `round(fraction n)` images, each class in proportion (largest remainders)."""
    order = _order(population.ids, seed, "test")
    classes, counts = np.unique(population.labels, return_counts=True)
    exact = fraction * counts
    quota = np.floor(exact).astype(int)
    missing = round(fraction * len(population)) - quota.sum()
    quota[np.argsort(-(exact - quota), kind="stable")[:missing]] += 1
    mask = np.zeros(len(population), dtype=bool)
    for label, number in zip(classes, quota, strict=True):
        mask[order[population.labels[order] == label][:number]] = True
    return mask


def _grouped(
    population: Population, indices: Indices, shares: Sequence[float], seed: int, axis: str
) -> NDArray[np.int64]:
    """Deal whole groups to parts 1..K so that each part gets its share of each class.

    Largest groups first, each to the part that it fills least.
    """
    groups = np.array([population.groups[i] for i in indices])
    labels = population.labels[indices]
    names, inverse = np.unique(groups, return_inverse=True)
    table = np.zeros((len(names), int(population.labels.max()) + 1))
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


def _ungrouped(population: Population) -> Population:
    return Population(
        ids=population.ids,
        labels=population.labels,
        groups=population.ids,
        facts=population.facts,
    )


def _order(keys: Sequence[str], seed: int, axis: str) -> Indices:
    digests = [hashlib.sha256(f"{axis}:{seed}:{key}".encode()).hexdigest() for key in keys]
    return np.array(sorted(range(len(keys)), key=digests.__getitem__), dtype=np.int64)


def _column(population: Population, name: str) -> Sequence[str]:
    column = population.facts.get(name, ())
    if not column or any(value == "" for value in column):
        raise DataError(
            f"the data have no complete {name!r} column, which this split needs; "
            "choose another split, e.g. holdout or grouped-5"
        )
    return column


def _theirs(population: Population, part: str) -> NDArray[np.bool_]:
    """Mark the images that the source's authors meant for a part."""
    parts = np.array(population.facts.get("part", [""] * len(population)))
    return np.asarray(parts == part, dtype=bool) if part else np.zeros(len(parts), dtype=bool)


def _equals(population: Population, column: str, value: str) -> NDArray[np.bool_]:
    values = np.array(_column(population, column))
    mask = np.asarray(values == value, dtype=bool)
    if not mask.any():
        raise ConfigError(
            f"no image has {column} {value!r}; there are: {', '.join(np.unique(values))}"
        )
    return mask


def _checked_fold(name: str, fold: int | None, known: Sequence[int]) -> int:
    if fold is None or fold not in known:
        said = "none was given" if fold is None else f"{fold} does not exist"
        raise ConfigError(
            f"split {name} needs a fold and {said}; folds: {', '.join(map(str, known))}"
        )
    return fold


def _refuse_fold(name: str, fold: int | None) -> None:
    if fold is not None:
        raise ConfigError(f"split {name} has no folds, but fold={fold} was given; leave it out")


def _refuse_empty(split: Split, name: str, validation: float) -> None:
    wanted = ("train", "test", "validation") if validation else ("train", "test")
    for part in wanted:
        if not len(getattr(split, part)):
            raise DataError(
                f"split {name} leaves no image for the {part} part; prepare more images"
            )
