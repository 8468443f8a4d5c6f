"""A curvature section as rows: no number without its error and whether it has converged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sambench.store.record import Section

LAYERS_SHOWN = 10
Row = tuple[str, str, str, str]


def curvature_rows(found: Section) -> list[Row]:
    """Return (quantity, value, error, converged) for all that was measured."""
    rows = list(_extremes(found))
    if "gradient_norm" in found:
        cosine = found["gradient_top_cosine"]
        along = "" if cosine is None else f"|cos| with the top eigenvector {cosine:.2g}"
        rows.append(("loss", f"{found['loss']:.4g}", "", ""))
        rows.append(("gradient norm", f"{found['gradient_norm']:.4g}", along, ""))
    if "batch_spectrum" in found:
        rows += _batches(found)
    if "adaptive" in found:
        rows += [(f"relative: {row[0]}", *row[1:]) for row in _extremes(found["adaptive"])]
    layers = sorted(
        found.get("layers", {}).items(), key=lambda item: -float(item[1]["top"]["value"])
    )
    for name, layer in layers[:LAYERS_SHOWN]:
        rows += [(f"{name}: {row[0]}", *row[1:]) for row in _extremes(layer, lowest=False)]
    if len(layers) > LAYERS_SHOWN:
        rest = f"{len(layers) - LAYERS_SHOWN} flatter layers"
        rows.append((rest, "", "in the run's record", ""))
    return rows


def curvature_method(found: Section) -> str:
    """Return one line: what the batches' numbers are, of how many images, at what cost."""
    available = found.get("available_samples")
    share = "" if available in (None, found["samples"]) else f" of {available}"
    how = [f"batch norm {found['batch_norm']}"] if found["batch_norm"] != "eval" else []
    if found.get("hvp", "reverse") != "reverse":
        how.append("products by finite differences: approximate")
    if found.get("l2"):
        how.append(f"with L2 penalty {found['l2']:g}")
    if found.get("perturbations"):
        how.append(f"{found['perturbations']} perturbations of {found['sigma']:g} a batch")
    definition = "" if found["definition"] == "none" else f"{found['definition']}; "
    return (
        f"{definition}{found['samples']}{share} training images in {found['batches']} batches, "
        f"{found['matvecs']} + {found.get('batch_matvecs', 0)} products, {found['dtype']}, "
        + "".join(f"{part}, " for part in how)
        + f"{found['seconds']:.1f} s"
    )


def _extremes(found: Mapping[str, Any], *, lowest: bool = True) -> Iterator[Row]:
    top, trace = found["top"], found["trace"]
    yield (
        "top eigenvalue",
        f"{top['value']:.4g}",
        f"residual {top['residual']:.2g}, none above {top['upper_bound']:.4g} (99.9 %)",
        _yes(top["converged"]),
    )
    pairs = list(zip(top.get("values", ()), top.get("residuals", ()), strict=True))
    for rank, (value, residual) in enumerate(pairs[1:], start=2):
        yield (f"eigenvalue {rank}", f"{value:.4g}", f"residual {residual:.2g}", "")
    if lowest:
        residual = top.get("lowest_residual")
        error = "" if residual is None else f"residual {residual:.2g}"
        if "lower_bound" in top:
            error += f", none below {top['lower_bound']:.4g} (99.9 %)"
        yield (
            "lowest eigenvalue",
            f"{top['lowest']:.4g}",
            error,
            _yes(top["lowest_converged"]) if "lowest_converged" in top else "",
        )
    low, high = trace["interval"]
    yield (
        "trace",
        f"{trace['value']:.4g}",
        f"95 % interval {low:.4g} .. {high:.4g}",
        _yes(trace["converged"]),
    )


def _batches(found: Section) -> Iterator[Row]:
    spectrum = found["batch_spectrum"]
    low, high = spectrum["median_interval"]
    yield (
        "batches: median",
        f"{found['median']:.4g}",
        f"95 % interval {low:.4g} .. {high:.4g}",
        _yes(spectrum["converged"]),
    )
    spread = "" if found["std"] is None else f" ± {found['std']:.4g}"
    low, high = spectrum["mean_interval"]
    yield (
        "batches: mean ± SD",
        f"{found['mean']:.4g}{spread}",
        f"95 % interval {low:.4g} .. {high:.4g}",
        _yes(spectrum["converged"]),
    )
    yield (
        "batches: range",
        f"{found['min']:.4g} .. {found['max']:.4g}",
        f"{100 * found['fraction_negative']:.0f} % negative",
        "",
    )


def _yes(converged: bool) -> str:
    return "yes" if converged else "NO"
