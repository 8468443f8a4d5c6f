"""What was measured and studied of a minimum, as it is shown: no number without its error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sambench.cli.screen import Screen
from sambench.config.curvature_settings import PICTURES
from sambench.store.record import RunRecord, Section
from sambench.store.tree import Store

RUN_HEADINGS = ("run", "top eigenvalue", "trace", "median", "mean", "SD over batches", "certified")
LAYERS_SHOWN = 10
CHANCE = " (99.9999 %)"  # that a bound holds
Row = tuple[str, str, str, str]


def show_curvature(
    screen: Screen, store: Store, damaged: list[str], record: RunRecord, *, verbose: bool
) -> None:
    """Show what was measured of a run, or what papers report of it, and draw it into its folder.

    A message for each file that it cannot be drawn from is shown, and added to those `damaged`.
    """
    if found := record.hessian:
        rows = (curvature_rows if verbose else summary_rows)(found)
        screen.listing(("quantity", "value", "error", "certified"), rows, record.name)
        screen.show(curvature_method(found), *found["notes"], "")
        screen.listing(("study", "value", "error", "of what"), study_rows(found), "")
    if {"density", "landscape"} & {*(found or ())}:  # what is drawn; matplotlib takes its time
        from sambench.report.curvature_plots import write_figures

        figures, unread = write_figures(record, store.folder(record.config))
        screen.show(*(f"wrote {figure}" for figure in figures))
        screen.warn(*(f"{said}: --again beside --density, or the like, does" for said in unread))
        damaged += unread


def summary_rows(found: Section) -> list[Row]:
    """Return (quantity, value, error, certified) of what papers report."""
    top, trace = found["top"], found["trace"]
    above = _error(top["value"], (top["value"], top["upper_bound"]))
    around = _error(trace["value"], trace["interval"])
    rows = [
        ("top eigenvalue", _number(top["value"]), above, _yes(top["certified"][0])),
        ("trace", _number(trace["value"]), around, _yes(trace["converged"])),
    ]
    if "batch_spectrum" in found:
        spectrum, verdict = found["batch_spectrum"], _batches(found["batch_spectrum"])
        for name in ("median", "mean"):
            interval = spectrum[f"{name}_interval"]
            error = _error(found[name], interval) if interval else _no_interval(name, spectrum)
            rows.append((f"{name} over batches", _number(found[name]), error, verdict))
        if found["std"] is not None:
            rows.append(("SD over batches", _number(found["std"]), "", verdict))
    return rows


def run_row(record: RunRecord) -> tuple[str, ...]:
    """Return a run's summary on one line of a table of several runs."""
    if record.hessian is None:
        return (record.name, *[""] * 5, "not measured")
    rows = summary_rows(record.hessian)
    cells = [value + f" {error}" * error.startswith("±") for _, value, error, _ in rows]
    unsure = [name.removesuffix(" over batches") for name, *_, verdict in rows if verdict != "yes"]
    doubts = ", ".join(f"not {name}" for name in unsure)
    return (record.name, *(cells + [""] * 5)[:5], doubts or "yes")


def curvature_rows(found: Section) -> list[Row]:
    """Return (quantity, value, error, certified) for all that was measured."""
    rows = list(_extremes(found))
    if "gradient_norm" in found:
        cosine = found["gradient_top_cosine"]
        along = "" if cosine is None else f"|cos| with the top eigenvector {cosine:.2g}"
        rows.append(("loss", _number(found["loss"]), "", ""))
        rows.append(("gradient norm", _number(found["gradient_norm"]), along, ""))
    if "batch_spectrum" in found:
        rows += _batch_rows(found)
    if "adaptive" in found:
        rows += [(f"relative: {row[0]}", *row[1:]) for row in _extremes(found["adaptive"])]
    layers = found.get("layers", {})
    sharpest = sorted(layers, key=lambda name: -float(layers[name]["top"]["value"]))
    for name in sharpest[:LAYERS_SHOWN]:
        rows += [(f"{name}: {row[0]}", *row[1:]) for row in _extremes(layers[name], lowest=False)]
    if (more := len(layers) - LAYERS_SHOWN) > 0:
        rows.append((f"{more} flatter layers", "", "in the run's record", ""))
    return rows


def curvature_method(found: Section) -> str:
    """Return one line: what the batches' numbers are, of how many images, at what cost."""
    available = found["available_samples"]
    share = "" if available == found["samples"] else f" of {available}"
    how = [f"batch norm {found['batch_norm']}"] if found["batch_norm"] != "eval" else []
    if found["l2"]:
        how.append(f"with L2 penalty {found['l2']:g}")
    if found.get("perturbations"):
        how.append(f"{found['perturbations']} perturbations of {found['sigma']:g} a batch")
    if found.get("derivative_error") is not None:
        how.append(
            "second derivatives checked at the cost of some 15 gradients of 8 images in float64"
        )
    definition = "" if found["definition"] == "none" else f"{found['definition']}; "
    batches = "1 batch" if found["batches"] == 1 else f"{found['batches']} batches"
    return (
        f"{definition}{found['samples']}{share} training images in {batches}, "
        f"{found['matvecs']} + {found.get('batch_matvecs', 0)} products, {found['dtype']}, "
        + "".join(f"{part}, " for part in how)
        + f"{found['seconds']:.1f} s"
    )


def _extremes(found: Mapping[str, Any], *, lowest: bool = True) -> Iterator[Row]:
    top, trace = found["top"], found["trace"]
    for place, value in enumerate(top["values"]):
        name = f"eigenvalue {place + 1}" if place else "top eigenvalue"
        bound = f"{'at most' if place else 'none above'} {top['upper_bounds'][place]:.4g}"
        error = bound + CHANCE * (not place) + f", residual {top['residuals'][place]:.2g}"
        yield name, _number(value), error, _yes(top["certified"][place])
    if lowest:
        bound = f"none below {top['lower_bound']:.4g}{CHANCE}"
        error = f"{bound}, residual {top['lowest_residual']:.2g}"
        yield "lowest eigenvalue", _number(top["lowest"]), error, _yes(top["lowest_converged"])
    yield "trace", _number(trace["value"]), _interval(trace["interval"]), _yes(trace["converged"])


def _batch_rows(found: Section) -> Iterator[Row]:
    spectrum = found["batch_spectrum"]
    verdict = _batches(spectrum)
    spread = "" if found["std"] is None else f" ± {found['std']:.4g}"
    for name, title, tail in (("median", "median", ""), ("mean", "mean ± SD", spread)):
        interval = spectrum[f"{name}_interval"]
        error = _interval(interval) if interval else _no_interval(name, spectrum)
        yield f"batches: {title}", f"{found[name]:.4g}{tail}", error, verdict
    share = f"{100 * found['fraction_negative']:.0f} % negative"
    yield "batches: range", f"{found['min']:.4g} .. {found['max']:.4g}", share, ""


def _no_interval(name: str, spectrum: Mapping[str, Any]) -> str:
    few = name == "median" or spectrum["median_interval"] is None
    flips = not few and not spectrum.get("one_sign", True)
    return "none: its sign may flip" if flips else "too few batches"


def _number(value: float | None) -> str:
    """Return a number; a loss that is null in the record overflowed."""
    return "overflow" if value is None else f"{value:.4g}"


def _interval(ends: Sequence[float]) -> str:
    return "95 % interval {:.4g} .. {:.4g}".format(*ends)


def _error(value: float, interval: Sequence[float]) -> str:
    """Return how far the farther end of an interval is."""
    farther = max(interval[1] - value, value - interval[0])
    return f"± {float(f'{farther:.2g}'):g}"


def _batches(spectrum: Mapping[str, Any]) -> str:
    """Return whether each batch's value is certified, or how many are."""
    if spectrum["converged"]:
        return "yes"
    return f"{_yes(False)}: {spectrum['certified']} of {spectrum['measured_batches']} are"


def _yes(certified: bool) -> str:
    return "yes" if certified else "not certified"


def study_rows(hessian: Section) -> Iterator[Row]:
    """Yield a row for every number of a record's studies; the first of each says of what it is."""
    pictures = hessian.get("landscape", {})
    studies: list[tuple[Section | None, Callable[[Section], Iterator[Row]]]] = [
        (hessian.get("density"), _density),
        (hessian.get("sharpness"), _sharpness),
        *((pictures.get(name), partial(_landscape, name)) for name in PICTURES),
        *((found, _interpolation) for found in pictures.get("interpolations", {}).values()),
    ]
    for found, rows in studies:
        if found is not None:
            data = f"; {found['samples']} images, batch norm {found['batch_norm']}"
            for place, (study, value, error, what) in enumerate(rows(found)):
                yield study, value, error, what + data * (place == 0)


def _density(found: Section) -> Iterator[Row]:
    threshold = f"{found['threshold']:.3g}"
    for share, what in (
        (found["zero_mass"], f"within ±{threshold}"),
        (found["negative_mass"], f"below -{threshold}"),
    ):
        value, error = f"{100 * share['value']:.4g}", f"± {100 * share['stderr']:.2g}"
        yield "density", value, error, f"% of eigenvalues {what}"
    trace = found["trace"]
    what = f"trace from {found['probes']} probes of {found['steps']} steps"
    yield "density", _number(trace["value"]), f"± {trace['stderr']:.2g}", what


def _sharpness(found: Section) -> Iterator[Row]:
    for name, one in found["measures"].items():
        error = "" if one["stderr"] is None else f"± {one['stderr']:.2g}"
        bound = ", a lower bound" if one["lower_bound"] else ""
        what = f"{name}, rho {one['rho']:g}{bound}, {one['gradient_equivalents']:.3g} gradients"
        yield "sharpness", _number(one["value"]), error, what


def _landscape(name: str, found: Section) -> Iterator[Row]:
    overflowed = f", {found['overflowed']} points overflow" if found["overflowed"] else ""
    doubt = ", eigenvectors not converged" if found["converged"] is False else ""
    cost = f"{found['gradient_equivalents']:.3g} gradients"
    what = f"{name}: loss at the weights and the highest{overflowed}{doubt}, {cost}"
    yield "landscape", f"{_number(found['loss'])} .. {_number(found['highest_loss'])}", "", what


def _interpolation(found: Section) -> Iterator[Row]:
    what = f"highest loss above the straight line to {found['with']}"
    yield "interpolation", _number(found["barrier"]), "", what
