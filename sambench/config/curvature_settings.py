"""How curvature is measured, checked; it does not change what a run is called."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from sambench.errors import ConfigError
from sambench.files.definition import (
    LARGEST,
    Count,
    Definition,
    Positive,
    Whole,
    unit,
)

BatchNorm = Annotated[
    Literal["eval", "train", "recalibrate"], "What batch normalisation normalises by."
]


class HessianSettings(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How curvature is measured after training."""

    samples: Annotated[Whole | None, "Training images used, None for all."] = 512
    tol: Annotated[Positive, "Relative error asked of the eigenvalues."] = 1e-2
    trace_tol: Annotated[Positive, "Relative half width asked of the trace's 95 % interval."] = 0.05
    max_matvecs: Annotated[
        Annotated[int, Meta(ge=8, le=LARGEST)],
        "Most Hessian-vector products for the eigenvalues, for the trace and for each batch.",
    ] = 100
    minutes: Annotated[
        Positive | None,
        "Most minutes for one run's measurement, None for no limit.",
        unit("minutes"),
    ] = None
    seed: Annotated[Count, "Of start vectors and probes."] = 0
    k: Annotated[Whole, "How many of the most positive eigenvalues."] = 1
    batch_stat: Annotated[
        Literal["dominant", "top", "topk", "trace", "none"],
        "What is measured of each batch: see `sambench.curvature.batch_spectrum`; "
        '"none" leaves the batches out.',
    ] = "dominant"
    batches: Annotated[Whole | None, "Batches to measure it on, None for all."] = None
    perturbations: Annotated[
        Count, "Measure each batch this many times under weight noise instead."
    ] = 0
    sigma: Annotated[Positive, "The noise, relative to the norm of each filter."] = 0.01
    batch_norm: BatchNorm = "eval"
    dtype: Annotated[Literal["float32", "float64"], "Arithmetic of the network."] = "float32"
    adaptive: Annotated[
        bool, "Also of the Hessian with respect to relative changes of the weights."
    ] = False
    per_layer: Annotated[bool, "Also of each layer's block of the Hessian."] = False
    include_l2: Annotated[bool, "Of the loss with the run's weight decay as a penalty."] = False

    def __post_init__(self) -> None:
        if self.perturbations and self.batch_stat == "none":
            raise ConfigError("hessian perturbations need a batch_stat other than none")
