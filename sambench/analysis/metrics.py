"""What is compared: each metric's place in the record, its unit, and which direction is better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sambench.errors import UnknownNameError


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
)
"""Every metric, in the order of tables."""


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
