"""Options of `sambench hessian`, in groups; none given means the suite's value, or the default."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

import typer

from sambench.cli import completion
from sambench.config.curvature_settings import HessianSettings
from sambench.files.description import choices

DEFAULTS = HessianSettings().to_dict()
UNLIMITED = {"minutes": "no limit", "batches": "all"}
"""What None stands for."""


def _measured(name: str, help: str, **more: Any) -> Any:
    """Return the option of a field of `HessianSettings`; the help shows the default of the field.

    Args:
        name: Of the option, which is that of the field.
        help: One sentence.
        more: As `typer.Option` takes it.
    """
    field = name.removeprefix("--").replace("-", "_")
    default = DEFAULTS[field]
    shown = UNLIMITED.get(field, "") if default is None else f"{default}"
    if known := choices(HessianSettings, field):
        more["metavar"], more["autocompletion"] = "NAME", completion.among(known)
    return typer.Option(name, help=help, show_default=shown, **more)


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How exact, and at what cost."""

    panel: ClassVar[str] = "Accuracy and budget"
    samples: Annotated[
        int | None,
        _measured("--samples", "Training images to use.", min=1, metavar="IMAGES"),
    ] = None
    tol: Annotated[
        float | None,
        _measured("--tol", "Relative error of the eigenvalues.", metavar="FRACTION"),
    ] = None
    trace_tol: Annotated[
        float | None,
        _measured(
            "--trace-tol", "Relative half width of the trace's 95 % interval.", metavar="FRACTION"
        ),
    ] = None
    max_matvecs: Annotated[
        int | None,
        _measured(
            "--max-matvecs",
            "Most Hessian-vector products for each quantity, and each batch.",
            min=8,
            metavar="PRODUCTS",
        ),
    ] = None
    minutes: Annotated[
        float | None, _measured("--minutes", "Most time for a run.", metavar="MINUTES")
    ] = None
    seed: Annotated[
        int | None, _measured("--seed", "Of start vectors, probes and noise.", min=0, metavar="N")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What is measured."""

    panel: ClassVar[str] = "What is measured"
    k: Annotated[int | None, _measured("--k", "How many top eigenvalues.", min=1, metavar="N")] = (
        None
    )
    batch_stat: Annotated[
        str | None,
        _measured(
            "--batch-stat",
            "Of each batch: its eigenvalue of largest magnitude with its sign (dominant), top, "
            "topk, trace, rayleigh, vhv, or none.",
        ),
    ] = None
    batches: Annotated[
        int | None, _measured("--batches", "Batches to measure that on.", min=1, metavar="N")
    ] = None
    perturbations: Annotated[
        int | None,
        _measured(
            "--perturbations",
            "Measure that at so many randomly perturbed weights a batch.",
            min=0,
            metavar="N",
        ),
    ] = None
    sigma: Annotated[
        float | None,
        _measured(
            "--sigma", "Their perturbation, beside the norm of each filter.", metavar="FRACTION"
        ),
    ] = None
    adaptive: Annotated[
        bool,
        typer.Option("--adaptive", help="Also with respect to relative changes of the weights."),
    ] = False
    per_layer: Annotated[bool, typer.Option("--per-layer", help="Also of each layer alone.")] = (
        False
    )
    include_l2: Annotated[
        bool,
        typer.Option("--include-l2", help="Of the loss with the run's weight decay as a penalty."),
    ] = False


@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """How it is computed."""

    panel: ClassVar[str] = "Arithmetic"
    batch_norm: Annotated[
        str | None,
        _measured(
            "--batch-norm",
            "Normalise by running statistics (eval), each batch's (train), or running statistics "
            "measured anew (recalibrate).",
        ),
    ] = None
    hvp: Annotated[
        str | None,
        _measured(
            "--hvp",
            "Exact products (reverse), or finite-difference for operations without a second "
            "derivative.",
        ),
    ] = None
    trace_method: Annotated[str | None, _measured("--trace-method", "hutchinson or xtrace.")] = None
    dtype: Annotated[str | None, _measured("--dtype", "float32 or float64.")] = None


def given_settings(*groups: Any) -> dict[str, Any]:
    """Return the fields of `HessianSettings` that the user gave, from groups of options."""
    named = {f.name: getattr(group, f.name) for group in groups for f in fields(group)}
    return {key: value for key, value in named.items() if value not in (None, False)}
