"""What is compared: each metric's place in the record, its unit, and which direction is better."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET

from sambench.errors import UnknownNameError
from sambench.files.yaml_text import read_own_yaml
from sambench.store.record import RunRecord


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of a run that optimizers are compared by."""

    name: str  # how it is asked for
    title: str  # how it is printed
    column: str  # its path in a record
    higher_is_better: bool  # for curvature lower is flatter
    unit: str = ""  # printed behind differences, e.g. "points" for percentages
    scale: float = 1.0  # printed value over stored value
    curvature: bool = False  # of the minimum, about which a collapsed run says nothing
    converged: str | None = None  # column that says whether the measurement can be trusted
    range: tuple[float, float] = (-math.inf, math.inf)  # that it can have, on the printed scale
    ratio: bool = False  # positive and skewed: geometric means, ratios, tests on logarithms
    lost: str | float | None = None
    """What a run that ended without a result counts as where it must be counted, that is what
    always naming the largest class has: a column of the other runs, a number on the stored scale,
    or `ONE_CLASS`; None where there is no such value."""
    margin: float | None = None
    """Two optimizers that differ by less are called equivalent: a difference on the printed scale,
    or for ratios a factor."""
    two_classes: float = 1.0  # further factor where the data have two classes
    from_predictions: bool = False  # no record has it: it is computed from predictions beside
    decimals: int | None = None  # digits after the point in print; None for three significant ones
    compared: bool = False  # whether optimizers are compared by it, as always by curvature
    ranked: bool = True  # whether the best is the highest, or the lowest
    table_scale: float = 1.0  # value of a table over the printed value, as in minutes

    @property
    def heading(self) -> str:
        """The title without its unit."""
        return self.title.partition(" (")[0]

    @property
    def in_text(self) -> str:
        """The heading as it stands in a sentence: "test accuracy", "AUROC", "Hessian trace"."""
        first, rest = self.heading[0], self.heading[1:]
        kept = self.heading.isupper() or self.heading.startswith(("Hessian", "Brier"))
        return self.heading if kept else first.lower() + rest

    def of(self, record: RunRecord) -> float | None:
        """Return a run's number on the printed scale; None where there is no finite one."""
        return self.numbers([record])[0]

    def numbers(self, records: Sequence[RunRecord]) -> tuple[float | None, ...]:
        """Return each run's printed number, the mean of several; None where it is not finite."""
        return tuple(map(self._printed, values_at(records, self.column), records))

    def _printed(self, found: object, record: RunRecord) -> float | None:
        if isinstance(found, list | tuple) and found:
            found = math.fsum(found) / len(found)
        if not isinstance(found, int | float) or not math.isfinite(found):
            return None
        if self.two_classes != 1.0 and len((record.data or {}).get("classes") or ()) == 2:
            return self.scale * self.two_classes * found
        return self.scale * found

    def of_lost(self, others: Iterable[RunRecord]) -> float | None:
        """Return what a run without a result counts as, beside others of its setting (printed)."""
        if not isinstance(self.lost, str):
            return None if self.lost is None else self.scale * self.lost
        if self.lost == ONE_CLASS:
            found: Iterable[object] = (
                1 / len(classes) for r in others if (classes := (r.data or {}).get("classes"))
            )
        else:
            found = values_at(others, self.lost)
        known = (value for value in found if isinstance(value, int | float))
        first = next(known, None)
        return None if first is None else self.scale * float(first)

    def trusted(self, records: Iterable[RunRecord]) -> list[bool]:
        """Whether each run's measurement converged, as far as it says."""
        if self.converged is None:
            return [True for _ in records]
        return [said is not False for said in values_at(records, self.converged)]


def collapsed(record: RunRecord) -> bool:
    """Whether a run predicts one class for every test image."""
    return (record.final or {}).get("test", {}).get("collapsed") is True


def value_at(record: RunRecord, path: str) -> object:
    """Return what stands at a path of a record, None where there is nothing."""
    return values_at([record], path)[0]


def values_at(records: Iterable[RunRecord], path: str) -> list[object]:
    """Return what stands at a path in each record, None where there is nothing."""
    runs = list(records)
    try:  # ten times as fast as key by key
        return [None if found is UNSET else found for found in map(_getter(path), runs)]
    except AttributeError:  # a run lacks it, or its section is a mapping
        section, *keys = path.split(".")
        return [_look_up(getattr(run, section), keys) for run in runs]


_getter = functools.cache(attrgetter)


def _look_up(found: Any, keys: Sequence[str]) -> object:
    try:
        for key in keys:
            found = found[key]
    except (KeyError, TypeError, IndexError):
        return None
    return None if found is UNSET else found


ONE_CLASS = "one class of all"
"""A share of 1 / K of K classes, all images of one class being right and no others."""


_TOLD = read_own_yaml("sambench.analysis", "metrics.yaml")

COLUMNS: dict[str, list[str]] = _TOLD["tables"]
"""Names of the metrics in each table of a setting; all but the "main" one are further ones."""


def _metrics() -> Iterator[Metric]:
    for name, own in _TOLD["metrics"].items():
        fields = {**own}
        while (kind := fields.pop("kind", None) or fields.pop("like", None)) is not None:
            fields = {**_TOLD["kinds"][kind], **fields}
        column = fields.pop("section") + fields.pop("at", name)
        yield msgspec.convert({"name": name, "column": column, **fields}, Metric)


METRICS = tuple(_metrics())
"""Every metric, in the order of tables."""

OF_A_MINIMUM = tuple(m for m in METRICS if m.curvature and m.ratio and m.name != "sd")
"""Measures of curvature that are positive at a minimum (the spread between batches may be zero)."""

_BY_NAME = {metric.name: metric for metric in METRICS}


def find_metric(name: str) -> Metric:
    """Return a metric by its name; UnknownNameError, where there is none, offers the closest."""
    if name not in _BY_NAME:
        raise UnknownNameError("metric", name, _BY_NAME, f"metrics: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


MINUTES = replace(find_metric("train_seconds"), title="Training time (min)", table_scale=1 / 60)
"""Training time as tables of long runs have it."""


def measured(records: Iterable[RunRecord]) -> tuple[Metric, ...]:
    """Return the metrics of which any of the runs has a value, whatever it is."""
    sections: dict[str, list[Any]] = {"": list(records)}

    def values(path: str) -> Iterator[Any]:
        """What the runs have at a path; each section is looked up once for all metrics in it."""
        section, _, key = path.rpartition(".")
        if section not in sections:
            sections[section] = list(values(section))
        found = (one.get(key) if section else getattr(one, key) for one in sections[section])
        return (value for value in found if value is not None)

    return tuple(metric for metric in METRICS if next(values(metric.column), None) is not None)
