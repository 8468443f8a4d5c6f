"""What a run's spectral density, sharpness and landscape say, as rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

HEADINGS = ("study", "value", "error", "of what")
Row = tuple[str, str, str, str]
Section = Mapping[str, Any]


def study_rows(hessian: Section) -> Iterator[Row]:
    """Yield a row for every number of the studies that a record's hessian section holds."""
    if "density" in hessian:
        yield from _with_data(_density(hessian["density"]), hessian["density"])
    if "sharpness" in hessian:
        measures = hessian["sharpness"]["measures"].items()
        rows = (_sharpness(name, measure) for name, measure in measures)
        yield from _with_data(rows, hessian["sharpness"])
    landscape = hessian.get("landscape", {})
    for name in ("line", "plane", "eigenvectors"):
        if name in landscape:
            yield from _with_data([_landscape(name, landscape[name])], landscape[name])
    for found in landscape.get("interpolations", {}).values():
        what = f"highest loss above the straight line to {found['with']}"
        row = ("interpolation", _number(found["barrier"]), "", what)
        yield from _with_data([row], found)


def _with_data(rows: Iterable[Row], found: Section) -> Iterator[Row]:
    """Say in the last column what was looked at: studies of one run may differ in it."""
    data = f"{found['samples']} images, batch norm {found['batch_norm']}"
    return (
        (study, value, error, f"{what}; {data}" if place == 0 else what)
        for place, (study, value, error, what) in enumerate(rows)
    )


def _density(found: Section) -> Iterator[Row]:
    threshold = f"{found['threshold']:.3g}"
    for share, what in (
        (found["zero_mass"], f"% of eigenvalues within ±{threshold}"),
        (found["negative_mass"], f"% of eigenvalues below -{threshold}"),
    ):
        yield "density", f"{100 * share['value']:.4g}", f"± {100 * share['stderr']:.2g}", what
    trace = found["trace"]
    what = f"trace from {found['probes']} probes of {found['steps']} steps"
    yield "density", f"{trace['value']:.4g}", f"± {trace['stderr']:.2g}", what


def _sharpness(name: str, found: Section) -> Row:
    error = "" if found["stderr"] is None else f"± {found['stderr']:.2g}"
    bound = ", a lower bound" if found["lower_bound"] else ""
    cost = f"{found['gradient_equivalents']:.3g} gradients"
    return (
        "sharpness",
        f"{found['value']:.4g}",
        error,
        f"{name}, rho {found['rho']:g}{bound}, {cost}",
    )


def _landscape(name: str, found: Section) -> Row:
    overflowed = f", {found['overflowed']} points overflow" if found["overflowed"] else ""
    doubt = ", eigenvectors not converged" if found["converged"] is False else ""
    cost = f"{found['gradient_equivalents']:.3g} gradients"
    return (
        "landscape",
        f"{_number(found['loss'])} .. {_number(found['highest_loss'])}",
        "",
        f"{name}: loss at the weights and the highest{overflowed}{doubt}, {cost}",
    )


def _number(value: float | None) -> str:
    return "overflow" if value is None else f"{value:.4g}"
