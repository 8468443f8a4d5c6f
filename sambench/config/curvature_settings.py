"""How curvature is measured, checked; it does not change what a run is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from sambench.errors import ConfigError
from sambench.files.definition import (
    LARGEST,
    Count,
    Definition,
    Positive,
    Whole,
    about,
    build,
    plain,
)

BatchNorm = Annotated[
    Literal["eval", "train", "recalibrate"], about("What batch normalisation normalises by.")
]


class HessianSettings(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How curvature is measured after training."""

    samples: Annotated[Whole | None, about("Training images used, None for all.")] = 512
    tol: Annotated[Positive, about("Relative error asked of the eigenvalues.")] = 1e-2
    trace_tol: Annotated[
        Positive, about("Relative half width asked of the trace's 95 % interval.")
    ] = 0.05
    max_matvecs: Annotated[
        Annotated[int, Meta(ge=8, le=LARGEST)],
        about(
            "Most Hessian-vector products for the eigenvalues, for the trace and for each batch."
        ),
    ] = 100
    minutes: Annotated[
        Positive | None,
        about("Most minutes for one run's measurement, None for no limit.", unit="minutes"),
    ] = None
    seed: Annotated[Count, about("Of start vectors and probes.")] = 0
    k: Annotated[Whole, about("How many of the most positive eigenvalues.")] = 1
    batch_stat: Annotated[
        Literal["dominant", "top", "topk", "trace", "none"],
        about(
            "What is measured of each batch: see `sambench.curvature.batch_spectrum`; "
            '"none" leaves the batches out.'
        ),
    ] = "dominant"
    batches: Annotated[Whole | None, about("Batches to measure it on, None for all.")] = None
    perturbations: Annotated[
        Count, about("Measure each batch this many times under weight noise instead.")
    ] = 0
    sigma: Annotated[Positive, about("The noise, relative to the norm of each filter.")] = 0.01
    batch_norm: BatchNorm = "eval"
    dtype: Annotated[Literal["float32", "float64"], about("Arithmetic of the network.")] = "float32"
    adaptive: Annotated[
        bool, about("Also of the Hessian with respect to relative changes of the weights.")
    ] = False
    per_layer: Annotated[bool, about("Also of each layer's block of the Hessian.")] = False
    include_l2: Annotated[bool, about("Of the loss with the run's weight decay as a penalty.")] = (
        False
    )

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> HessianSettings:
        """Check settings.

        Raises:
            ConfigError: If a key is unknown or a value out of range.
        """
        settings = build(cls, given, "hessian")
        if settings.perturbations and settings.batch_stat == "none":
            raise ConfigError("hessian perturbations need a batch_stat other than none")
        return settings

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, in field order."""
        return plain(self)
