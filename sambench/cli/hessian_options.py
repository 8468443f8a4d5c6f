"""Options of `sambench hessian`, in groups; none given means the suite's value, or the default."""

from __future__ import annotations

from typing import Annotated

import typer

ACCURACY, QUANTITY, ARITHMETIC = "Accuracy and budget", "What is measured", "Arithmetic"

SamplesOption = Annotated[
    int | None,
    typer.Option(
        "--samples",
        min=1,
        help="Training images to use, in a fixed order. (default 512)",
        rich_help_panel=ACCURACY,
    ),
]
ToleranceOption = Annotated[
    float | None,
    typer.Option(
        "--tol",
        help="Relative error of the eigenvalues. (default 0.01)",
        rich_help_panel=ACCURACY,
    ),
]
TraceToleranceOption = Annotated[
    float | None,
    typer.Option(
        "--trace-tol",
        help="Relative half width of the trace's interval. (default 0.05)",
        rich_help_panel=ACCURACY,
    ),
]
MatvecsOption = Annotated[
    int | None,
    typer.Option(
        "--max-matvecs",
        min=8,
        help="Most Hessian-vector products for each quantity, and each batch. (default 100)",
        rich_help_panel=ACCURACY,
    ),
]
MinutesOption = Annotated[
    float | None,
    typer.Option(
        "--minutes", help="Most minutes for a run. (default no limit)", rich_help_panel=ACCURACY
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option(
        "--seed",
        min=0,
        help="Of start vectors, probes and noise. (default 0)",
        rich_help_panel=ACCURACY,
    ),
]
CountOption = Annotated[
    int | None,
    typer.Option(
        "--k", min=1, help="How many top eigenvalues. (default 1)", rich_help_panel=QUANTITY
    ),
]
BatchStatOption = Annotated[
    str | None,
    typer.Option(
        "--batch-stat",
        help="Of each batch: its dominant eigenvalue (of largest magnitude, sign kept), top, topk, "
        "trace, rayleigh, vhv or none. (default dominant)",
        rich_help_panel=QUANTITY,
    ),
]
BatchesOption = Annotated[
    int | None,
    typer.Option(
        "--batches",
        min=1,
        help="Batches to measure that on. (default all)",
        rich_help_panel=QUANTITY,
    ),
]
PerturbationsOption = Annotated[
    int | None,
    typer.Option(
        "--perturbations",
        min=0,
        help="Measure that at so many randomly perturbed weights a batch. (default 0)",
        rich_help_panel=QUANTITY,
    ),
]
SigmaOption = Annotated[
    float | None,
    typer.Option(
        "--sigma",
        help="Their perturbation, beside the norm of each filter. (default 0.01)",
        rich_help_panel=QUANTITY,
    ),
]
AdaptiveOption = Annotated[
    bool,
    typer.Option(
        "--adaptive",
        help="Also with respect to relative changes of the weights.",
        rich_help_panel=QUANTITY,
    ),
]
PerLayerOption = Annotated[
    bool,
    typer.Option("--per-layer", help="Also of each layer alone.", rich_help_panel=QUANTITY),
]
PenaltyOption = Annotated[
    bool,
    typer.Option(
        "--include-l2",
        help="Of the loss with the run's weight decay as a penalty.",
        rich_help_panel=QUANTITY,
    ),
]
BatchNormOption = Annotated[
    str | None,
    typer.Option(
        "--batch-norm",
        help="Normalise by running statistics (eval), by each batch's (train), or by running "
        "statistics measured anew (recalibrate). (default eval)",
        rich_help_panel=ARITHMETIC,
    ),
]
ProductOption = Annotated[
    str | None,
    typer.Option(
        "--hvp",
        help="Exact products (reverse), or finite-difference for operations without a second "
        "derivative. (default reverse)",
        rich_help_panel=ARITHMETIC,
    ),
]
TraceMethodOption = Annotated[
    str | None,
    typer.Option(
        "--trace-method",
        help="hutchinson or xtrace. (default hutchinson)",
        rich_help_panel=ARITHMETIC,
    ),
]
TypeOption = Annotated[
    str | None,
    typer.Option(
        "--dtype", help="float32 or float64. (default float32)", rich_help_panel=ARITHMETIC
    ),
]
DevicesOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        "--devices",
        help="cpu, cuda:0, mps; several, as cuda:0,cuda:1, have a process each. By default a GPU "
        "if there is one.",
    ),
]
