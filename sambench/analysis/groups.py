"""What comparable runs are: a line of repetitions, a group of lines for one table."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from sambench.analysis.comparison import Comparison
from sambench.analysis.metrics import OF_A_MINIMUM, Metric, collapsed
from sambench.config.run_config import RunConfig
from sambench.config.stop import Stop
from sambench.errors import UnknownNameError
from sambench.optim.base import Setting
from sambench.optim.method import optimizers
from sambench.store.record import COMPLETED, DIVERGED, FAILED, RunRecord

REPEATS = ("split_seed", "fold", "seed")
"""Settings that make runs repetitions of each other (`split_seed` where the split has folds)."""

LOST = (FAILED, DIVERGED)
"""How a run ends without a result of its own making; one that is missing or running is not lost."""

Item = TypeVar("Item")
Key = TypeVar("Key")
Repeat = tuple[int, int | None, int]
"""Seed of the split, fold, and seed of a run."""
Unit = tuple[int | None, ...]
"""A repeat, or the first two of its parts."""


class Reading(NamedTuple):
    """What a completed run has of a metric."""

    record: RunRecord
    value: float  # on the printed scale
    collapsed: bool
    converged: bool  # as far as it says
    comparable: bool


@dataclass(frozen=True, kw_only=True)
class Line:
    """Runs, completed or not, that differ in seed and fold only (and in how folds were drawn).

    The label is the optimizer's name, with the settings that tell others of its name apart in any
    table of a report; the title is how it is printed. Records are in order of split, seed and fold.
    """

    label: str
    title: str
    optimizer: Mapping[str, Setting]
    role: str = ""  # "tuned" or "as given" where a search chose values; these can differ by fold
    records: tuple[RunRecord, ...]
    _numbers: dict[str, tuple[float | None, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    cells: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `units.summarize` has found, by metric."""

    @functools.cached_property
    def completed(self) -> tuple[RunRecord, ...]:
        """The runs that count."""
        return tuple(record for record in self.records if record.status == COMPLETED)

    @property
    def default_note(self) -> str:
        """Where the method's hyperparameters are from, if they are its defaults; else empty."""
        name, base = (str(self.optimizer.get(key)) for key in ("name", "base"))
        with suppress(UnknownNameError):  # a plug-in's that is not loaded
            info = optimizers.get(name)
            own = info.own({}, base).items()
            if all(of.get(key, value) == value for of in self.optimizers for key, value in own):
                return info.default_note(base)
        return ""

    @functools.cached_property
    def optimizers(self) -> tuple[Mapping[str, Setting], ...]:
        """All settings that its runs have: several only where a search chose them by fold."""
        if not self.role:
            return (self.optimizer,)
        return tuple({repr(o): o for r in self.records for o in [r.config.optimizer]}.values())

    def is_called(self, name: str) -> bool:
        """Whether a name fits, alone or with any of the settings, as in "sam (rho=0.05)"."""
        optimizer, *given = label_parts(name)
        if optimizer != self.optimizer["name"]:
            return False
        own = (f"{key}={setting_text(value)}" for key, value in self.optimizer.items())
        return {*label_parts(self.label), *own}.issuperset(given)

    @functools.cached_property
    def _collapsed(self) -> tuple[bool, ...]:
        return tuple(map(collapsed, self.records))

    def numbers(self, metric: Metric) -> tuple[float | None, ...]:
        """Return each run's number on the printed scale, completed or not; each is read once."""
        if metric.name not in self._numbers:
            self._numbers[metric.name] = metric.numbers(self.records)
        return self._numbers[metric.name]

    @functools.cached_property
    def _at_minimum(self) -> tuple[bool, ...]:
        measured = zip(*map(self.numbers, OF_A_MINIMUM), strict=True)
        return tuple(all(v is None or v > 0 for v in values) for values in measured)

    def read(self, metric: Metric) -> Iterator[Reading]:
        """Yield what the completed runs have of a metric; those without a number are passed over.

        Comparable is a positive number, if it is for a ratio, and the curvature of a run that did
        not collapse and is at a minimum: by none of its measures may it be zero or negative.
        """
        of_minima = (self._collapsed, metric.trusted(self.records), self._at_minimum)
        runs = zip(self.records, self.numbers(metric), *of_minima, strict=True)
        for record, value, flat, converged, minimum in runs:
            if value is not None and record.status == COMPLETED:
                whole = not metric.curvature or not flat
                positive = not metric.ratio or (value > 0 and (minimum or not metric.curvature))
                yield Reading(record, value, flat, converged, whole and positive)

    def lost(self) -> Counter[str]:
        """Return how many runs ended in which bad way: failed, diverged or collapsed."""
        bad = [record.status for record in self.records if record.status in LOST]
        return Counter([*bad, *("collapsed" for r in self.completed if collapsed(r))])


@dataclass(frozen=True, kw_only=True)
class Group:
    """Optimizers compared under settings that are otherwise the same."""

    setting: RunConfig  # shared by all runs, seed, fold and optimizer aside
    lines: tuple[Line, ...]  # the baseline first, the others in the suite's order, else by label
    title: str = ""  # model and dataset, and what tells the setting from others of theirs
    baseline: bool = False  # whether the first line is of the baseline
    part: int = 1  # from 2 on for runs of other images than most runs of the same setting
    found: Mapping[str, tuple[Comparison, ...]] = field(default_factory=dict, compare=False)
    """By metric, a comparison of each further line with the first, where a study has made them."""

    @property
    def network(self) -> str:
        """Its network and data set, which other settings may have too."""
        return f"{self.setting.model} on {self.setting.dataset}"

    def by(self, metric: str) -> tuple[Comparison, ...]:
        """Return the comparisons by one metric, in order of lines."""
        return self.found.get(metric, ())

    @functools.cached_property
    def records(self) -> tuple[RunRecord, ...]:
        """All runs, line by line; each once, though two lines may have it (`Role`)."""
        return tuple({id(r): r for line in self.lines for r in line.records}.values())

    @functools.cached_property
    def completed(self) -> tuple[RunRecord, ...]:
        """Those of these that count."""
        return tuple(record for record in self.records if record.status == COMPLETED)

    @functools.cached_property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in order of label; none where no completed run has them."""
        return next((names for r in self.completed if (names := (r.data or {}).get("classes"))), ())

    @functools.cached_property
    def repeats(self) -> tuple[Repeat, ...]:
        """What any of the lines was repeated by, in order."""
        every = set(map(repeat, self.records))
        return tuple(sorted(every, key=lambda found: (found[0], found[1] or 0, found[2])))

    @functools.cached_property
    def folds(self) -> bool:
        """Whether the runs were tested on different parts, folds or resampled splits."""
        return len({found[:2] for found in self.repeats}) > 1

    @functools.cached_property
    def test_over_train(self) -> float:
        """Mean n_test / n_train of the folds, 1 / (k - 1) if unknown; 0 on one test part."""
        if not self.folds:
            return 0.0
        sized = (run.data for run in self.records if run.data and run.data["train"])
        known = [data["test"] / data["train"] for data in sized]
        folds = len({found[1] for found in self.repeats})
        return math.fsum(known) / len(known) if known else 1 / max(folds - 1, 1)

    @functools.cached_property
    def rounding_sd(self) -> float:
        """SD of a unit's share of test images by rounding to whole ones; 0 if they are unknown.

        Steps of 1 / n have the variance 1 / (12 n^2) (Sheppard 1898); the seeds of a unit are
        averaged. Three folds of a dozen images whose shares agree by chance are no certainty.
        """
        sizes = [r.data["test"] for r in self.completed if r.data and r.data["test"]]
        if not sizes:
            return 0.0
        units = len({found[:2] for found in self.repeats} if self.folds else self.repeats)
        return len(sizes) / math.fsum(sizes) / math.sqrt(12 * len(self.repeats) / units)

    def unit(self, record: RunRecord) -> Unit:
        """Return which unit a run is of: its fold, all of whose seeds are one, or its seed."""
        return repeat(record)[:2] if self.folds else repeat(record)

    def line(self, label: str) -> Line:
        """Return the line of a label."""
        return next(line for line in self.lines if line.label == label)

    @property
    def first(self) -> Line | None:
        """The baseline's line, where it has completed runs."""
        return self.lines[0] if self.baseline and self.lines[0].completed else None


def by_key(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Return items by what a function says of them, in their order."""
    found: dict[Key, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def repeat(record: RunRecord) -> Repeat:
    """Return what makes a run a repetition of others."""
    config = record.config
    return config.split_seed, config.fold, config.seed


def setting_text(value: object) -> str:
    """Write the value of a setting: 0.05, (0.9, 0.999), patience=5; of a SHA-256 ten digits."""
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return value[:10]
    if isinstance(value, list | tuple):
        return f"({', '.join(map(setting_text, value))})"
    if isinstance(value, Stop):
        return value.rule if value.value is None else f"{value.rule}={value.value:g}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def label_parts(label: str) -> list[str]:
    """Return an optimizer's name and each of its settings as they stand in a label."""
    return re.split(r" \(|, (?=\w+=)", label.removesuffix(")"))
