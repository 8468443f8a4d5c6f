"""What is compared: each metric's place in the record, its unit, and which direction is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any

from sambench.errors import UnknownNameError
from sambench.store.record import RunRecord


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of a run that optimizers are compared by."""

    name: str  # how it is asked for
    title: str  # how it is printed
    column: str  # of the frame
    higher_is_better: bool  # for curvature lower is flatter
    unit: str = ""  # printed behind differences, e.g. "points" for percentages
    scale: float = 1.0  # printed value over stored value
    curvature: bool = False  # of the minimum, about which a collapsed run says nothing
    converged: str | None = None  # column that says whether the measurement can be trusted
    ratio: bool = False  # positive and skewed: geometric means, ratios, tests on logarithms
    lost: str | float | None = None
    """What a run that ended without a result counts as where it must be counted: a column of the
    other runs, or a number on the stored scale; None where there is no such value."""
    margin: float | None = None
    """Two optimizers that differ by less are called equivalent: a difference on the printed scale,
    or for ratios a factor."""
    two_classes: float = 1.0  # further factor where the data have two classes

    @property
    def heading(self) -> str:
        """The title without its unit."""
        return self.title.partition(" (")[0]

    def of(self, record: RunRecord) -> float | None:
        """Return a run's number on the printed scale; None where there is no finite one.

        Several numbers, as of the severities of a shift, count by their mean.
        """
        found = value_at(record, self.column)
        if isinstance(found, list | tuple) and found:
            found = math.fsum(found) / len(found)
        if isinstance(found, bool) or not isinstance(found, int | float):
            return None
        if not math.isfinite(found):
            return None
        if self.two_classes != 1.0 and len((record.data or {}).get("classes") or ()) == 2:
            return self.scale * self.two_classes * found
        return self.scale * found

    def comparable(self, record: RunRecord) -> float | None:
        """Return a run's number where it can be compared.

        A ratio needs a positive number: a curvature of zero or below is of no minimum.
        """
        value = self.of(record) if self.counts(record) else None
        return None if value is None or (self.ratio and value <= 0) else value

    def of_lost(self, others: Iterable[RunRecord]) -> float | None:
        """Return what a run without a result counts as, beside others of its setting (printed)."""
        if not isinstance(self.lost, str):
            return None if self.lost is None else self.scale * self.lost
        found = (value_at(record, self.lost) for record in others)
        known = (value for value in found if isinstance(value, int | float))
        first = next(known, None)
        return None if first is None else self.scale * float(first)

    def counts(self, record: RunRecord) -> bool:
        """Whether a run's number speaks of the optimizer: curvature of a collapsed run does not."""
        return not (self.curvature and collapsed(record))

    def trusted(self, record: RunRecord) -> bool:
        """Whether a run's measurement converged, as far as it says."""
        return self.converged is None or value_at(record, self.converged) is not False


def collapsed(record: RunRecord) -> bool:
    """Whether a run predicts one class for every test image."""
    return (record.final or {}).get("test", {}).get("collapsed") is True


def value_at(record: RunRecord, path: str) -> object:
    """Return what stands at a path of the frame's columns, None where there is nothing."""
    return _reader(path)(record)


@cache
def _reader(path: str) -> Callable[[RunRecord], object]:
    section, *keys = path.split(".")
    find = attrgetter(section)

    def read(record: RunRecord) -> object:
        found = find(record)
        try:
            for key in keys:
                found = found[key]
        except (KeyError, TypeError, IndexError):
            return None
        return found

    return read


EQUIVALENT_POINTS, EQUIVALENT_RATIO = 1.0, 1.25
"""Differences of less, in points of accuracy and as a factor, are called equivalent unless a suite
says otherwise."""

SHIFTS = ("speckle", "noise", "gain", "blur", "gamma")

_Kind = Mapping[str, Any]
_SHARE: _Kind = {"higher_is_better": True, "unit": "points", "scale": 100.0}
_LOW_SHARE: _Kind = {**_SHARE, "higher_is_better": False}
_ALIKE: _Kind = {**_SHARE, "margin": EQUIVALENT_POINTS}
_ERROR: _Kind = {"higher_is_better": False}
_COST: _Kind = {"higher_is_better": False, "ratio": True, "margin": EQUIVALENT_RATIO}
_SHAPE: _Kind = {"higher_is_better": False, "curvature": True}
_TOP, _BATCHES, _TRACE = (
    {**_COST, "curvature": True, "converged": f"hessian.{name}.converged"}
    for name in ("top", "batch_spectrum", "trace")
)
_TEST, _MEASURES = "final.test", "hessian.sharpness.measures"

METRICS = tuple(
    Metric(name=name, title=title, column=column, **kind)
    for name, title, column, kind in (
        (
            *("accuracy", "Test accuracy (%)", f"{_TEST}.accuracy"),
            {**_ALIKE, "lost": f"{_TEST}.majority_accuracy"},
        ),
        ("balanced_accuracy", "Balanced accuracy (%)", f"{_TEST}.balanced_accuracy", _ALIKE),
        ("auroc", "AUROC (%)", f"{_TEST}.auroc", {**_ALIKE, "lost": 0.5}),
        ("sensitivity", "Sensitivity (%)", f"{_TEST}.sensitivity", _SHARE),
        ("specificity", "Specificity (%)", f"{_TEST}.specificity", _SHARE),
        (
            *("sensitivity_at_90", "Sensitivity at 90 % specificity (%)"),
            *(f"{_TEST}.sensitivity_at_90", _SHARE),
        ),
        (
            *("specificity_at_90", "Specificity at 90 % sensitivity (%)"),
            *(f"{_TEST}.specificity_at_90", _SHARE),
        ),
        ("f1", "F1 (%)", f"{_TEST}.f1", _SHARE),
        ("generalization_gap", "Gap (%)", "final.generalization_gap", _LOW_SHARE),
        ("loss", "Test loss", f"{_TEST}.loss", _ERROR),
        ("ece", "Calibration error", f"{_TEST}.ece", _ERROR),
        ("brier", "Brier score", f"{_TEST}.brier", {**_ERROR, "two_classes": 0.5}),
        ("calibration_slope", "Calibration slope", f"{_TEST}.calibration_slope", _ERROR),
        ("train_seconds", "Training time (s)", "cost.train_seconds", {**_COST, "unit": "s"}),
        ("gradient_evaluations", "Gradient evaluations", "cost.gradient_evaluations", _COST),
        (
            *("peak_memory", "Peak memory (GB)", "cost.peak_memory_bytes"),
            {**_COST, "unit": "GB", "scale": 1e-9},
        ),
        (*("energy", "Energy (kJ)", "cost.energy_joules"), {**_COST, "unit": "kJ", "scale": 1e-3}),
        ("top", "Top eigenvalue", "hessian.top.value", _TOP),
        ("median", "Hessian median", "hessian.median", _BATCHES),
        ("mean", "Hessian mean", "hessian.mean", _BATCHES),
        ("sd", "Hessian SD", "hessian.std", _BATCHES),
        ("trace", "Hessian trace", "hessian.trace.value", _TRACE),
        ("robust_accuracy", "Accuracy under shifts (%)", f"{_TEST}.robust.mean", _SHARE),
        *(
            (f"{name}_accuracy", f"Accuracy under {name} (%)", f"{_TEST}.robust.{name}", _SHARE)
            for name in SHIFTS
        ),
        (
            *("zero_mass", "Eigenvalues at zero (%)", "hessian.density.zero_mass.value"),
            {**_SHARE, "curvature": True},
        ),
        (
            *("negative_mass", "Eigenvalues below zero (%)"),
            *("hessian.density.negative_mass.value", {**_LOW_SHARE, "curvature": True}),
        ),
        ("sam_step", "Rise after SAM's step", f"{_MEASURES}.sam-step.value", _SHAPE),
        ("worst_case", "Worst-case rise", f"{_MEASURES}.worst-case-l2.value", _SHAPE),
        (
            *("worst_case_adaptive", "Adaptive worst-case rise"),
            *(f"{_MEASURES}.worst-case-adaptive-l2.value", _SHAPE),
        ),
        ("average_case", "Average-case rise", f"{_MEASURES}.average-case.value", _SHAPE),
        (
            *("average_case_adaptive", "Adaptive average-case rise"),
            *(f"{_MEASURES}.average-case-adaptive.value", _SHAPE),
        ),
        (
            *("line_loss", "Highest loss on a random line"),
            *("hessian.landscape.line.highest_loss", _SHAPE),
        ),
        (
            *("plane_loss", "Highest loss on a random plane"),
            *("hessian.landscape.plane.highest_loss", _SHAPE),
        ),
        (
            *("eigenvector_loss", "Highest loss on the eigenvectors' plane"),
            *("hessian.landscape.eigenvectors.highest_loss", _SHAPE),
        ),
    )
)
"""Every metric, in the order of tables."""

_BY_NAME = {metric.name: metric for metric in METRICS}


def find_metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        UnknownNameError: If there is none; offers the closest.
    """
    if name not in _BY_NAME:
        raise UnknownNameError("metric", name, _BY_NAME, f"metrics: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def find_metrics(names: Iterable[str]) -> tuple[Metric, ...]:
    """Return metrics by their names, in the given order, as `find_metric` does each."""
    return tuple(map(find_metric, names))


def measured(records: Iterable[RunRecord]) -> tuple[Metric, ...]:
    """Return the metrics of which any of the runs has a value, whatever it is."""
    runs = list(records)
    return tuple(
        metric
        for metric in METRICS
        if any(value_at(record, metric.column) is not None for record in runs)
    )
