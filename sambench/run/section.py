"""What a record says about curvature: measured stage by stage, so that it can be resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from torch import nn

from sambench.config.curvature_settings import HessianSettings
from sambench.curvature import (
    BatchSpectrum,
    Eigenpairs,
    HessianOperator,
    batch_spectrum,
    eigenvalues,
    trace,
)
from sambench.curvature.batch_spectrum import BatchValues, weight_noise
from sambench.curvature.evaluation import Batch, Loss
from sambench.curvature.vectors import dot, norm
from sambench.files.atomic import write_json
from sambench.files.checksums import read_sealed
from sambench.run.studies import Progress, named
from sambench.training.clock import awake_time

JOURNAL_VERSION = 2  # 1 held values that a small residual was enough for

SHARES = {"top eigenvalue": 0.4, "trace": 0.6, "batches": 0.85}
"""Of the minutes, what may be spent by the end of a stage; the rest is for what comes after."""

BUDGETS = {
    "max_matvecs": "the budget of products",
    "minutes": "the budget of minutes",
    "memory": "the memory for Lanczos vectors",
    "rounding": "the rounding of its arithmetic",
}


class Journal(dict[str, Any]):
    """Plain values that are written to a file at every `update`, and all that they depend on.

    A file of another such identity, of another version or that cannot be read is what a different
    measurement has left: it is not used.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        super().__init__()
        self._path = path
        self._identity = json.loads(json.dumps(identity))
        try:
            stored = json.loads(read_sealed(path))
            if stored["version"] == JOURNAL_VERSION and stored["identity"] == self._identity:
                super().update(stored["entries"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass

    def update(self, *given: Any, **entries: Any) -> None:
        """Take entries that belong together in one write, so that no kill comes between them."""
        super().update(*given, **entries)
        kept = {"version": JOURNAL_VERSION, "identity": self._identity, "entries": dict(self)}
        write_json(self._path, kept)

    def remove(self) -> None:
        """Delete the file: the measurement is complete."""
        self._path.unlink(missing_ok=True)


def measure(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Batch],
    settings: HessianSettings,
    *,
    l2: float = 0.0,
    journal: dict[str, Any] | None = None,
    on_progress: Progress = lambda what, done, most: None,
) -> dict[str, Any]:
    """Return what the settings want of the Hessian of a model's mean loss: the record's section.

    Batches are cut as in training; `l2` is the weight of a penalty l2/2 |w|² on the loss. The
    journal takes each finished stage, and each finished batch, as plain values; what it holds
    already, of the same model, data and settings, is not measured again. What cannot be measured is
    a CurvatureError.
    """
    with HessianOperator(model, loss, batches, batch_norm=settings.batch_norm, l2=l2) as H:
        work = _Work(H, settings, {} if journal is None else journal, on_progress)
        whole = work.stage("whole", lambda: work.extremes(H, "", settings.k))
        spectrum = {} if settings.batch_stat == "none" else work.batches(model)
        section = {
            "definition": spectrum.pop("definition", "none"),
            "samples": H.num_samples,
            "batches": H.num_batches,
            "batch_sizes": sorted(set(H.batch_sizes), reverse=True),
            "parameters": H.size,
            "batch_norm": settings.batch_norm,
            "hvp": "reverse",
            **named(H, "derivative_error", "product_error"),
            "l2": l2,
            "dtype": str(H.dtype).removeprefix("torch."),
            "seed": settings.seed,
            **whole,
            **spectrum,
        }
        if settings.adaptive:
            relative, of = H.adaptive(), "relative changes"
            section["adaptive"] = work.stage("adaptive", lambda: work.extremes(relative, of))
        if settings.per_layer:
            section["layers"] = work.layers()
    return {**section, "seconds": work.seconds, "notes": _budget_notes(section)}


@dataclass(eq=False)
class _Work:
    """A measurement under way: its stages, its clock and its journal."""

    H: HessianOperator
    settings: HessianSettings
    journal: dict[str, Any]
    on_progress: Progress

    def __post_init__(self) -> None:
        self._start = awake_time.begin()
        self._before = float(self.journal.get("seconds", 0.0))

    @property
    def seconds(self) -> float:
        """The time spent, that of interrupted sessions included."""
        return self._before + awake_time() - self._start

    def stage(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return a stage's result, from the journal if it is there."""
        if name not in self.journal:
            self._keep(name, work())
        return dict(self.journal[name])

    def _keep(self, name: str, found: object) -> None:
        """Put a result into the journal, with the time spent so far, in one write."""
        self.journal.update({"seconds": self.seconds, name: found})

    def extremes(self, H: HessianOperator, of: str, k: int = 1) -> dict[str, Any]:
        """Measure eigenvalues and trace of an operator."""
        given = self.settings
        spent = (given.max_matvecs, given.seed)
        top = eigenvalues(H, k, given.tol, *spent, **self._watched("top eigenvalue", of))
        total = trace(
            H,
            given.trace_tol,
            given.seed,
            basis=top.basis,
            max_matvecs=given.max_matvecs,
            **self._watched("trace", of),
        )
        return {
            "matvecs": top.matvecs + total.matvecs,
            "top": {
                "value": float(top.values[0]),
                "residual": float(top.residuals[0]),
                "upper_bound": top.upper_bound,
                "values": top.values.tolist(),
                "residuals": top.residuals.tolist(),
                "upper_bounds": top.intervals[:, 1].tolist(),
                **named(top, "certified", "lowest", "lowest_residual", "lower_bound"),
                "lowest_converged": top.lowest_certified,
                **named(top, "matvecs", "converged", "ended_by"),
                "tol": given.tol,
            },
            "trace": {
                "value": total.estimate,
                "samples": len(total.samples),
                "method": "hutchinson",
                **named(total, "stderr", "interval", "matvecs", "converged", "ended_by"),
                "tol": given.trace_tol,
            },
            **(_first_order(H, top) if not of else {}),
        }

    def batches(self, model: nn.Module) -> dict[str, Any]:
        """Measure the distribution over batches; each finished batch goes into the journal."""
        given, journal = self.settings, self.journal
        assert given.batch_stat != "none"
        found = batch_spectrum(
            self.H,
            given.trace_tol if given.batch_stat == "trace" else given.tol,
            given.seed,
            definition=given.batch_stat,
            perturbations=given.perturbations,
            displacement=weight_noise(model, given.sigma, given.seed),
            max_matvecs=given.max_matvecs,
            num_batches=given.batches,
            done=[msgspec.convert(stored, BatchValues) for stored in journal.get("batches", ())],
            on_batch=lambda new: self._keep("batches", [*journal.get("batches", ()), asdict(new)]),
            **self._watched("batches"),
        )
        noise = {"perturbations": given.perturbations, "sigma": given.sigma}
        return {**_describe_spectrum(found), **(noise if given.perturbations else {})}

    def layers(self) -> dict[str, Any]:
        """Measure each layer's diagonal block."""
        found = {}
        for layer, names in self.H.layers.items():
            block = self.H.block(names)
            measured = self.stage(f"layer {layer}", lambda b=block, n=layer: self.extremes(b, n))  # type: ignore[misc]
            found[layer] = {"parameters": block.size, **measured}
        return found

    def _watched(self, what: str, of: str = "") -> dict[str, Any]:
        """Return how a stage tells its progress, and whether its share of the minutes is over."""
        minutes, share = self.settings.minutes, 1.0 if of else SHARES[what]
        end = math.inf if minutes is None else self._start + 60 * minutes * share
        return {
            "out_of_time": lambda: awake_time() >= end,
            "on_progress": partial(self.on_progress, f"{what} of {of}" if of else what),
        }


def _first_order(H: HessianOperator, top: Eigenpairs) -> dict[str, Any]:
    """Return the loss, the length of its gradient, and how far that points along the top vector."""
    loss, gradient = H.gradient()
    length, cosine = norm(gradient), None
    if top.vectors is not None and length:  # of the angle |cos|: an eigenvector has no direction
        cosine = abs(dot(gradient, top.vectors[0])) / length
    return {"loss": loss, "gradient_norm": length, "gradient_top_cosine": cosine}


def _describe_spectrum(found: BatchSpectrum) -> dict[str, Any]:
    """Return the statistics at the top, the list of batches one level below."""
    certified = sum(batch.converged for batch in found.batches)
    return {
        "batch_matvecs": found.matvecs,
        **named(found, "definition", "median", "mean", "min", "max", "fraction_negative"),
        "std": found.std if math.isfinite(found.std) else None,
        "batch_spectrum": {
            **named(found, "values", "residuals", "batch_sizes", "one_sign", "ended_by"),
            **named(found, "median_interval", "mean_interval"),
            "measured_batches": len(found.batches),
            "wanted_batches": found.num_batches,
            "not_converged": len(found.batches) - certified,
            "certified": certified,
            "converged": found.all_converged and len(found.batches) == found.num_batches,
        },
    }


def _budget_notes(section: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each quantity that a budget ended: what it cost in accuracy."""
    notes = list(_extremes_notes(section, ""))
    if (spectrum := section.get("batch_spectrum")) and not spectrum["converged"]:
        interval = spectrum["median_interval"]
        said = "too few for an interval of the median"
        if interval:
            said = "95 % interval of the median is {:.4g} .. {:.4g}".format(*interval)
        notes.append(
            f"batches: stopped by {BUDGETS[spectrum['ended_by']]}: "
            f"{spectrum['measured_batches']} of {spectrum['wanted_batches']} batches measured, "
            f"{spectrum['not_converged']} of them not certified; {said}"
        )
    if "adaptive" in section:
        notes += _extremes_notes(section["adaptive"], " of relative changes")
    for layer, found in section.get("layers", {}).items():
        notes += _extremes_notes(found, f" of {layer}")
    return notes


def _extremes_notes(section: Mapping[str, Any], of: str) -> Iterator[str]:
    top, trace = section["top"], section["trace"]
    if not top["converged"]:
        pairs = zip(top["values"], top["upper_bounds"], strict=True)
        intervals = [f"{value:.4g} .. {bound:.4g}" for value, bound in pairs]
        several = len(intervals) > 1
        name = f"top {len(intervals)} eigenvalues" if several else "top eigenvalue"
        said = "intervals are" if several else "interval is"
        yield (
            f"{name}{of}: stopped by {BUDGETS[top['ended_by']]}: {said} {', '.join(intervals)} "
            f"(wanted: {100 * top['tol']:g} %)"
        )
    if not trace["converged"]:
        low, high = trace["interval"]
        size = abs(trace["value"])
        share = f", ± {50 * (high - low) / size:.3g} %" if size else ""
        yield (
            f"trace{of}: stopped by {BUDGETS[trace['ended_by']]}: 95 % interval is {low:.4g} .. "
            f"{high:.4g}{share} (wanted: {100 * trace['tol']:g} %)"
        )
