"""Measurements as plain values of a record, and what their budgets have cost them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from sambench.curvature.result import BatchSpectrum, Eigenpairs, TraceEstimate

BUDGETS = {
    "max_matvecs": "the budget of products",
    "minutes": "the budget of minutes",
    "memory": "the memory for Lanczos vectors",
}


def describe_top(found: Eigenpairs) -> dict[str, Any]:
    """Return a record's account of the extreme eigenvalues."""
    return {
        "value": float(found.values[0]),
        "residual": float(found.residuals[0]),
        "upper_bound": found.upper_bound,
        "values": found.values.tolist(),
        "residuals": found.residuals.tolist(),
        "upper_bounds": found.intervals[:, 1].tolist(),
        "certified": list(found.certified),
        "lowest": found.lowest,
        "lowest_residual": found.lowest_residual,
        "lowest_converged": found.lowest_certified,
        "lower_bound": found.lower_bound,
        "matvecs": found.matvecs,
        "converged": found.converged,
        "ended_by": found.ended_by,
    }


def describe_trace(found: TraceEstimate) -> dict[str, Any]:
    """Return a record's account of the trace."""
    return {
        "value": found.estimate,
        "stderr": found.stderr,
        "interval": list(found.interval),
        "samples": len(found.samples),
        "method": "hutchinson",
        "matvecs": found.matvecs,
        "converged": found.converged,
        "ended_by": found.ended_by,
    }


def describe_spectrum(found: BatchSpectrum) -> dict[str, Any]:
    """Return a record's account of the batches: statistics at the top, the list one level below."""
    return {
        "definition": found.definition,
        "batch_matvecs": found.matvecs,
        "median": found.median,
        "mean": found.mean,
        "std": found.std if math.isfinite(found.std) else None,
        "min": found.min,
        "max": found.max,
        "fraction_negative": found.fraction_negative,
        "batch_spectrum": {
            "values": list(found.values),
            "residuals": list(found.residuals),
            "measured_batches": len(found.batches),
            "wanted_batches": found.num_batches,
            "batch_sizes": list(found.batch_sizes),
            "not_converged": sum(not batch.converged for batch in found.batches),
            "median_interval": _listed(found.median_interval),
            "mean_interval": _listed(found.mean_interval),
            "certified": sum(batch.converged for batch in found.batches),
            "converged": found.all_converged and len(found.batches) == found.num_batches,
            "ended_by": found.ended_by,
        },
    }


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def budget_notes(section: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each quantity that a budget ended: what it cost in accuracy."""
    notes = list(_extremes_notes(section, ""))
    spectrum = section.get("batch_spectrum")
    if spectrum is not None and not spectrum["converged"]:
        interval = spectrum["median_interval"]
        notes.append(
            f"batches: stopped by {_budget(spectrum)}: "
            f"{spectrum['measured_batches']} of {spectrum['wanted_batches']} batches measured, "
            f"{spectrum['not_converged']} of them not certified; "
            + (
                "95 % interval of the median is {:.4g} .. {:.4g}".format(*interval)
                if interval
                else "too few for an interval of the median"
            )
        )
    if "adaptive" in section:
        notes += _extremes_notes(section["adaptive"], " of relative changes")
    for layer, found in section.get("layers", {}).items():
        notes += _extremes_notes(found, f" of {layer}")
    return notes


def _extremes_notes(section: Mapping[str, Any], of: str) -> Iterator[str]:
    top, trace = section["top"], section["trace"]
    if not top["converged"] and len(top["values"]) > 1:
        yield (
            f"top {len(top['values'])} eigenvalues{of}: stopped by {_budget(top)}: intervals are "
            + ", ".join(
                f"{value:.4g} .. {bound:.4g}"
                for value, bound in zip(top["values"], top["upper_bounds"], strict=True)
            )
            + f" (wanted: {100 * top['tol']:g} %)"
        )
    elif not top["converged"]:
        yield (
            f"top eigenvalue{of}: stopped by {_budget(top)}: interval is "
            f"{top['value']:.4g} .. {top['upper_bound']:.4g} "
            f"(wanted: {100 * top['tol']:g} %)"
        )
    if not trace["converged"]:
        low, high = trace["interval"]
        size = abs(trace["value"])
        share = f", ± {50 * (high - low) / size:.3g} %" if size else ""
        yield (
            f"trace{of}: stopped by {_budget(trace)}: 95 % interval is {low:.4g} .. {high:.4g}"
            f"{share} (wanted: {100 * trace['tol']:g} %)"
        )


def _budget(found: Mapping[str, Any]) -> str:
    # a run that ended by itself and failed its final check has met the limit of its arithmetic
    return BUDGETS.get(str(found["ended_by"]), "the rounding of its arithmetic")
