"""How curvature is measured, checked; it does not change what a run is called."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sambench.errors import ConfigError, did_you_mean

CHOICES: Mapping[str, tuple[str, ...]] = {
    "batch_norm": ("eval", "train", "recalibrate"),
    "dtype": ("float32", "float64"),
    "batch_stat": ("dominant", "top", "topk", "trace", "none"),
}
MINIMUM = {"max_matvecs": 8, "seed": 0, "perturbations": 0}
"""Least values of whole numbers; 1 for the others."""

OPTIONAL = ("samples", "batches", "minutes")


@dataclass(frozen=True, kw_only=True)
class HessianSettings:
    """How curvature is measured after training.

    Attributes:
        samples: Training images used, None for all.
        tol: Relative error asked of the eigenvalues.
        trace_tol: Relative half width asked of the trace's 95 % interval.
        max_matvecs: Most Hessian-vector products for the eigenvalues, for the trace and per batch.
        minutes: Most minutes for one run's measurement, None for as long as it takes.
        seed: Of start vectors and probes.
        k: How many of the most positive eigenvalues.
        batch_stat: What is measured of each batch: see `sambench.curvature.batch_spectrum`; "none"
            leaves the batches out.
        batches: Batches to measure it on, None for all.
        perturbations: Measure each batch that often under weight noise instead.
        sigma: The noise, beside the norm of each filter.
        batch_norm: What batch normalisation normalises by.
        dtype: Arithmetic of the network.
        adaptive: Also of the Hessian with respect to relative changes of the weights.
        per_layer: Also of each layer's block of the Hessian.
        include_l2: Of the loss with the run's weight decay as a penalty.
    """

    samples: int | None = 512
    tol: float = 1e-2
    trace_tol: float = 0.05
    max_matvecs: int = 100
    minutes: float | None = None
    seed: int = 0
    k: int = 1
    batch_stat: str = "dominant"
    batches: int | None = None
    perturbations: int = 0
    sigma: float = 0.01
    batch_norm: str = "eval"
    dtype: str = "float32"
    adaptive: bool = False
    per_layer: bool = False
    include_l2: bool = False

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> HessianSettings:
        """Check settings.

        Raises:
            ConfigError: If a key is unknown or a value out of range.
        """
        known = {f.name: f.default for f in fields(cls)}
        for key, value in given.items():
            if key not in known:
                raise ConfigError(
                    f"unknown key {key!r} in hessian{did_you_mean(key, known)}; "
                    f"known: {', '.join(known)}"
                )
            allowed = refusal(key, value, known[key])
            if allowed is not None:
                close = did_you_mean(str(value), CHOICES.get(key, ()))
                raise ConfigError(f"hessian {key}={value!r} is not allowed{close}; {allowed}")
        settings = cls(**given)
        if settings.perturbations and settings.batch_stat == "none":
            raise ConfigError("hessian perturbations need a batch_stat other than none")
        return settings

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, in field order."""
        return asdict(self)


def refusal(key: str, value: object, default: object) -> str | None:
    """Return what is allowed, where the value is not."""
    if key in CHOICES:
        return None if value in CHOICES[key] else f"allowed: {', '.join(CHOICES[key])}"
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "allowed: true or false"
    if value is None and key in OPTIONAL:
        return None
    if isinstance(default, float) or key == "minutes":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if number and 0 < float(str(value)) < math.inf else "allowed: above 0"
    least = MINIMUM.get(key, 1)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return None if whole and int(str(value)) >= least else f"allowed: a whole number >= {least}"
