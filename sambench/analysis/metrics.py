"""What is compared: each metric's place in the record, its unit, and which direction is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

from sambench.errors import UnknownNameError
from sambench.store.record import RunRecord


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number of a run that optimizers are compared by.

    Attributes:
        name: How it is asked for.
        title: How it is printed.
        column: Its column in the frame.
        higher_is_better: Direction; for curvature lower is flatter.
        unit: Printed behind differences, e.g. "points" for percentages.
        scale: Printed value over stored value.
        curvature: It describes the minimum, about which a collapsed run says nothing.
        converged: Column that says whether the measurement can be trusted, if there is one.
    """

    name: str
    title: str
    column: str
    higher_is_better: bool
    unit: str = ""
    scale: float = 1.0
    curvature: bool = False
    converged: str | None = None

    def of(self, record: RunRecord) -> float | None:
        """Return a run's number on the printed scale; None where there is no finite one.

        Several numbers, as of the severities of a shift, count by their mean.
        """
        found = value_at(record, self.column)
        if isinstance(found, list | tuple) and found:
            found = math.fsum(found) / len(found)
        if isinstance(found, bool) or not isinstance(found, int | float):
            return None
        return self.scale * float(found) if math.isfinite(found) else None

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
        for key in keys:
            if not isinstance(found, Mapping):
                return None
            found = found.get(key)
        return found

    return read


def _percentage(name: str, title: str, column: str, *, higher: bool = True) -> Metric:
    return Metric(
        name=name,
        title=f"{title} (%)",
        column=column,
        higher_is_better=higher,
        unit="points",
        scale=100.0,
    )


def _lower(name: str, title: str, column: str, unit: str = "", scale: float = 1.0) -> Metric:
    return Metric(
        name=name, title=title, column=column, higher_is_better=False, unit=unit, scale=scale
    )


def _curvature(name: str, title: str, column: str, converged: str) -> Metric:
    return Metric(
        name=name,
        title=title,
        column=f"hessian.{column}",
        higher_is_better=False,
        curvature=True,
        converged=f"hessian.{converged}.converged",
    )


def _study(
    name: str, title: str, column: str, scale: float = 1.0, *, higher: bool = False
) -> Metric:
    return Metric(
        name=name,
        title=title,
        column=f"hessian.{column}",
        higher_is_better=higher,
        unit="points" if scale == 100 else "",
        scale=scale,
        curvature=True,
    )


METRICS = (
    _percentage("accuracy", "Test accuracy", "final.test.accuracy"),
    _percentage("balanced_accuracy", "Balanced accuracy", "final.test.balanced_accuracy"),
    _percentage("auroc", "AUROC", "final.test.auroc"),
    _percentage("sensitivity", "Sensitivity", "final.test.sensitivity"),
    _percentage("specificity", "Specificity", "final.test.specificity"),
    _percentage("f1", "F1", "final.test.f1"),
    _percentage("generalization_gap", "Gap", "final.generalization_gap", higher=False),
    _lower("loss", "Test loss", "final.test.loss"),
    _lower("ece", "Calibration error", "final.test.ece"),
    _lower("brier", "Brier score", "final.test.brier"),
    _lower("train_seconds", "Training time (s)", "cost.train_seconds", "s"),
    _lower("gradient_evaluations", "Gradient evaluations", "cost.gradient_evaluations"),
    _lower("peak_memory", "Peak memory (GB)", "cost.peak_memory_bytes", "GB", 1e-9),
    _lower("energy", "Energy (kJ)", "cost.energy_joules", "kJ", 1e-3),
    _curvature("top", "Top eigenvalue", "top.value", "top"),
    _curvature("median", "Median", "median", "batch_spectrum"),
    _curvature("mean", "Mean", "mean", "batch_spectrum"),
    _curvature("sd", "SD", "std", "batch_spectrum"),
    _curvature("trace", "Trace", "trace.value", "trace"),
    _percentage("robust_accuracy", "Accuracy under shifts", "final.test.robust.mean"),
    *(
        _percentage(f"{name}_accuracy", f"Under {name}", f"final.test.robust.{name}")
        for name in ("speckle", "noise", "gain", "blur", "gamma")
    ),
    _study("zero_mass", "Eigenvalues at zero (%)", "density.zero_mass.value", 100.0, higher=True),
    _study("negative_mass", "Eigenvalues below zero (%)", "density.negative_mass.value", 100.0),
    _study("sam_step", "Rise after SAM's step", "sharpness.measures.sam-step.value"),
    _study("worst_case", "Worst-case rise", "sharpness.measures.worst-case-l2.value"),
    _study(
        "worst_case_adaptive",
        "Adaptive worst-case rise",
        "sharpness.measures.worst-case-adaptive-l2.value",
    ),
    _study("average_case", "Average-case rise", "sharpness.measures.average-case.value"),
    _study(
        "average_case_adaptive",
        "Adaptive average-case rise",
        "sharpness.measures.average-case-adaptive.value",
    ),
    _study("line_loss", "Highest loss on a random line", "landscape.line.highest_loss"),
    _study("plane_loss", "Highest loss on a random plane", "landscape.plane.highest_loss"),
    _study(
        "eigenvector_loss",
        "Highest loss on the eigenvectors' plane",
        "landscape.eigenvectors.highest_loss",
    ),
)
"""Every metric, in the order of tables."""


@cache
def find_metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        UnknownNameError: If there is none; offers the closest.
    """
    for known in METRICS:
        if known.name == name:
            return known
    names = [known.name for known in METRICS]
    raise UnknownNameError("metric", name, names, f"metrics: {', '.join(names)}")


def find_metrics(names: Iterable[str]) -> tuple[Metric, ...]:
    """Return metrics by their names, in the given order.

    Raises:
        UnknownNameError: If there is none of a name; offers the closest.
    """
    return tuple(find_metric(name) for name in names)
