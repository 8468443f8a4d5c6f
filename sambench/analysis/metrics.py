"""What is compared: each metric's place in the record, its unit, and which direction is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from msgspec import UNSET

from sambench.errors import UnknownNameError
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
    ratio: bool = False  # positive and skewed: geometric means, ratios, tests on logarithms
    lost: str | float | None = None
    """What a run that ended without a result counts as where it must be counted, that is what
    always naming the largest class has: a column of the other runs, a number on the stored scale,
    or `ONE_CLASS`; None where there is no such value."""
    margin: float | None = None
    """Two optimizers that differ by less are called equivalent: a difference on the printed scale,
    or for ratios a factor."""
    two_classes: float = 1.0  # further factor where the data have two classes
    decimals: int | None = None  # digits after the point in print; None for three significant ones
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
        if isinstance(found, bool) or not isinstance(found, int | float):
            return None
        if not math.isfinite(found):
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
    runs, (section, *keys) = list(records), path.split(".")
    try:  # ten times as fast as key by key
        return [None if found is UNSET else found for found in map(attrgetter(path), runs)]
    except AttributeError:  # a run lacks it, or its section is a mapping
        return [_look_up(getattr(run, section), keys) for run in runs]


def _look_up(found: Any, keys: Sequence[str]) -> object:
    try:
        for key in keys:
            found = found[key]
    except (KeyError, TypeError, IndexError):
        return None
    return None if found is UNSET else found


EQUIVALENT_POINTS, EQUIVALENT_RATIO = 1.0, 1.25
"""Differences of less, in points of accuracy and as a factor, are called equivalent unless a suite
says otherwise."""

ONE_CLASS = "one class of all"
"""A share of 1 / K of K classes, all images of one class being right and no others."""

SHIFTS = ("speckle", "noise", "gain", "blur", "gamma")

_Kind = tuple[str, Mapping[str, Any]]
"""Where in a record metrics of a kind are, and what they have in common."""
_PERCENT: Mapping[str, Any] = {"scale": 100.0, "decimals": 1}
_WHOLE: Mapping[str, Any] = {"decimals": 0}
_HIGH: Mapping[str, Any] = {"higher_is_better": True, "unit": "points", **_PERCENT}
_LOW: Mapping[str, Any] = {"higher_is_better": False}
_RATIO: Mapping[str, Any] = {**_LOW, "ratio": True, "margin": EQUIVALENT_RATIO}
_MAJORITY, _ONE_CLASS = ({"lost": of} for of in ("final.test.majority_accuracy", ONE_CLASS))
_SHARE: _Kind = ("final.test.", _HIGH)
_ALIKE: _Kind = ("final.test.", {**_HIGH, "margin": EQUIVALENT_POINTS})
_ERROR: _Kind = ("final.test.", _LOW)
_COST: _Kind = ("cost.", _RATIO)
_TOP, _BATCHES, _TRACE = (
    ("hessian.", {**_RATIO, "curvature": True, "converged": f"hessian.{name}.converged"})
    for name in ("top", "batch_spectrum", "trace")
)
_MASS: _Kind = ("hessian.density.", {**_HIGH, "curvature": True})
_RISE: _Kind = ("hessian.sharpness.measures.", {**_LOW, "curvature": True})
_PICTURE: _Kind = ("hessian.landscape.", {**_LOW, "curvature": True})

_ROWS: tuple[tuple[Any, ...], ...] = (
    ("accuracy", "Test accuracy (%)", "accuracy", _ALIKE, _MAJORITY),
    ("balanced_accuracy", "Balanced accuracy (%)", "balanced_accuracy", _ALIKE, _ONE_CLASS),
    ("auroc", "AUROC (%)", "auroc", _ALIKE, {"lost": 0.5}),
    ("sensitivity", "Sensitivity (%)", "sensitivity", _SHARE),
    ("specificity", "Specificity (%)", "specificity", _SHARE),
    ("sensitivity_at_90", "Sensitivity at 90 % specificity (%)", "sensitivity_at_90", _SHARE),
    ("specificity_at_90", "Specificity at 90 % sensitivity (%)", "specificity_at_90", _SHARE),
    ("f1", "F1 (%)", "f1", _SHARE),
    ("generalization_gap", "Gap (%)", "generalization_gap", ("final.", _HIGH), _LOW),
    ("loss", "Test loss", "loss", _ERROR),
    ("ece", "Calibration error", "ece", _ERROR),
    ("brier", "Brier score", "brier", _ERROR, {"two_classes": 0.5}),
    ("calibration_slope", "Calibration slope", "calibration_slope", _ERROR),
    ("train_seconds", "Training time (s)", "train_seconds", _COST, {"unit": "s", "decimals": 1}),
    ("gradient_evaluations", "Gradient evaluations", "gradient_evaluations", _COST, _WHOLE),
    ("peak_memory", "Peak memory (GB)", "peak_memory_bytes", _COST, {"unit": "GB", "scale": 1e-9}),
    ("energy", "Energy (kJ)", "energy_joules", _COST, {"unit": "kJ", "scale": 1e-3}),
    ("top", "Top eigenvalue", "top.value", _TOP),
    ("median", "Hessian median", "median", _BATCHES),
    ("mean", "Hessian mean", "mean", _BATCHES),
    ("sd", "Hessian SD", "std", _BATCHES),
    ("trace", "Hessian trace", "trace.value", _TRACE),
    ("robust_accuracy", "Accuracy under shifts (%)", "robust.mean", _SHARE, _MAJORITY),
    *(
        (f"{s}_accuracy", f"Accuracy under {s} (%)", f"robust.{s}", _SHARE, _MAJORITY)
        for s in SHIFTS
    ),
    ("zero_mass", "Eigenvalues at zero (%)", "zero_mass.value", _MASS),
    ("negative_mass", "Eigenvalues below zero (%)", "negative_mass.value", _MASS, _LOW),
    ("sam_step", "Rise after SAM's step", "sam-step.value", _RISE),
    ("worst_case", "Worst-case rise", "worst-case-l2.value", _RISE),
    ("worst_case_adaptive", "Adaptive worst-case rise", "worst-case-adaptive-l2.value", _RISE),
    ("average_case", "Average-case rise", "average-case.value", _RISE),
    ("average_case_adaptive", "Adaptive average-case rise", "average-case-adaptive.value", _RISE),
    ("line_loss", "Highest loss on a random line", "line.highest_loss", _PICTURE),
    ("plane_loss", "Highest loss on a random plane", "plane.highest_loss", _PICTURE),
    (
        *("eigenvector_loss", "Highest loss on the eigenvectors' plane"),
        *("eigenvectors.highest_loss", _PICTURE),
    ),
)
"""Name, title, place, kind, and what is its own, if anything."""

METRICS = tuple(
    Metric(name=name, title=title, column=section + place, **{**shared, **dict(*own)})
    for name, title, place, (section, shared), *own in _ROWS
)
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
