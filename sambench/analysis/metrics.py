"""What is compared: each metric's place in the record, its unit, and which direction is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
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
        ratio: Positive and skewed: means are geometric, comparisons are ratios, tests on logs.
        lost: What a run that ended without a result counts as where it must be counted: a column
            of the other runs, or a number on the stored scale; None where there is no such value.
        margin: Two optimizers that differ by less are called equivalent: a difference on the
            printed scale, or for ratios a factor.
        two_classes: Further factor where the data have two classes.
    """

    name: str
    title: str
    column: str
    higher_is_better: bool
    unit: str = ""
    scale: float = 1.0
    curvature: bool = False
    converged: str | None = None
    ratio: bool = False
    lost: str | float | None = None
    margin: float | None = None
    two_classes: float = 1.0

    @cached_property
    def _read(self) -> Callable[[RunRecord], object]:
        return _reader(self.column)

    @property
    def heading(self) -> str:
        """The title without its unit."""
        return self.title.partition(" (")[0]

    def of(self, record: RunRecord) -> float | None:
        """Return a run's number on the printed scale; None where there is no finite one.

        Several numbers, as of the severities of a shift, count by their mean.
        """
        found = self._read(record)
        if type(found) is not float:
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

        A ratio needs a positive number: a curvature of zero or below is of no minimum. Curvature
        of a collapsed run says nothing of the optimizer.
        """
        value = self.of(record) if self.counts(record) else None
        return None if value is None or (self.ratio and value <= 0) else value

    def of_lost(self, others: Iterable[RunRecord]) -> float | None:
        """Return what a run without a result counts as, on the printed scale.

        Args:
            others: Runs under the same setting.
        """
        if self.lost is None or isinstance(self.lost, float):
            return None if self.lost is None else self.scale * self.lost
        found = (value_at(record, self.lost) for record in others)
        known = [value for value in found if isinstance(value, int | float)]
        return self.scale * float(known[0]) if known else None

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
    if len(keys) == 2:  # most of them, read a hundred times for each run of a large report
        first, second = keys

        def read_two(record: RunRecord) -> object:
            try:
                return find(record)[first][second]
            except (KeyError, TypeError, IndexError):
                return None

        return read_two

    def read(record: RunRecord) -> object:
        found = find(record)
        for key in keys:
            if not isinstance(found, Mapping):
                return None
            found = found.get(key)
        return found

    return read


def _share(
    name: str,
    title: str,
    column: str | None = None,
    *,
    higher: bool = True,
    lost: str | float | None = None,
    margin: float | None = None,
) -> Metric:
    return Metric(
        name=name,
        title=f"{title} (%)",
        column=column or f"final.test.{name}",
        higher_is_better=higher,
        unit="points",
        scale=100.0,
        lost=lost,
        margin=margin,
    )


def _error(name: str, title: str, two_classes: float = 1.0) -> Metric:
    return Metric(
        name=name,
        title=title,
        column=f"final.test.{name}",
        higher_is_better=False,
        two_classes=two_classes,
    )


def _cost(name: str, title: str, column: str, unit: str = "", scale: float = 1.0) -> Metric:
    return Metric(
        name=name,
        title=title,
        column=f"cost.{column}",
        higher_is_better=False,
        unit=unit,
        scale=scale,
        ratio=True,
        margin=EQUIVALENT_RATIO,
    )


def _curvature(name: str, title: str, column: str, converged: str) -> Metric:
    return Metric(
        name=name,
        title=title,
        column=f"hessian.{column}",
        higher_is_better=False,
        curvature=True,
        converged=f"hessian.{converged}.converged",
        ratio=True,
        margin=EQUIVALENT_RATIO,
    )


def _study(
    name: str, title: str, column: str, scale: float = 1.0, *, higher: bool = False
) -> Metric:
    return Metric(
        name=name,
        title=title,
        column=f"hessian.{column}",
        higher_is_better=higher,
        curvature=True,
        unit="points" if scale == 100 else "",
        scale=scale,
    )


EQUIVALENT_POINTS, EQUIVALENT_RATIO = 1.0, 1.25
"""Differences of less, in points of accuracy and as a factor, are called equivalent unless a suite
says otherwise."""

SHIFTS = ("speckle", "noise", "gain", "blur", "gamma")

METRICS = (
    _share(
        "accuracy",
        "Test accuracy",
        lost="final.test.majority_accuracy",
        margin=EQUIVALENT_POINTS,
    ),
    _share("balanced_accuracy", "Balanced accuracy", margin=EQUIVALENT_POINTS),
    _share("auroc", "AUROC", lost=0.5, margin=EQUIVALENT_POINTS),
    _share("sensitivity", "Sensitivity"),
    _share("specificity", "Specificity"),
    _share("sensitivity_at_90", "Sensitivity at 90 % specificity"),
    _share("specificity_at_90", "Specificity at 90 % sensitivity"),
    _share("f1", "F1"),
    _share("generalization_gap", "Gap", "final.generalization_gap", higher=False),
    _error("loss", "Test loss"),
    _error("ece", "Calibration error"),
    _error("brier", "Brier score", two_classes=0.5),
    _error("calibration_slope", "Calibration slope"),
    _cost("train_seconds", "Training time (s)", "train_seconds", "s"),
    _cost("gradient_evaluations", "Gradient evaluations", "gradient_evaluations"),
    _cost("peak_memory", "Peak memory (GB)", "peak_memory_bytes", "GB", 1e-9),
    _cost("energy", "Energy (kJ)", "energy_joules", "kJ", 1e-3),
    _curvature("top", "Top eigenvalue", "top.value", "top"),
    _curvature("median", "Hessian median", "median", "batch_spectrum"),
    _curvature("mean", "Hessian mean", "mean", "batch_spectrum"),
    _curvature("sd", "Hessian SD", "std", "batch_spectrum"),
    _curvature("trace", "Hessian trace", "trace.value", "trace"),
    _share("robust_accuracy", "Accuracy under shifts", "final.test.robust.mean"),
    *(
        _share(f"{name}_accuracy", f"Accuracy under {name}", f"final.test.robust.{name}")
        for name in SHIFTS
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


def measured(records: Iterable[RunRecord]) -> tuple[Metric, ...]:
    """Return the metrics of which any of the runs has a value, whatever it is."""
    sections: dict[str, dict[str, Metric]] = {}
    for metric in METRICS:
        parent, _, key = metric.column.rpartition(".")
        sections.setdefault(parent, {})[key] = metric
    there: set[str] = set()
    for record in records:
        for parent, of_section in sections.items():
            found = value_at(record, parent)
            if isinstance(found, Mapping):
                there.update(key_metric.name for key, key_metric in of_section.items()
                             if found.get(key) is not None)  # fmt: skip
    return tuple(metric for metric in METRICS if metric.name in there)
