"""How a minimum is measured and studied, and where the studies go in a record.

Nothing here changes what a run is called.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from sambench.errors import ConfigError, shown
from sambench.files.definition import (
    LARGEST,
    Count,
    Definition,
    Positive,
    Several,
    Tolerance,
    Whole,
    build,
    plain,
    unit,
)

DENSITY, SHARPNESS, LANDSCAPE = "density", "sharpness", "landscape"
INTERPOLATIONS = "interpolations"
PICTURES = ("line", "plane", "eigenvectors")
"""What a landscape consists of."""

OWN: Mapping[str, tuple[str, ...]] = {
    DENSITY: ("probes", "steps"),
    SHARPNESS: ("rho", "relative_rho", "noise", "relative_noise"),
    LANDSCAPE: ("points",),
}
"""Settings that each study has for itself; it shares seed and arithmetic with the Hessian."""

Section = dict[str, Any]

BatchNorm = Annotated[
    Literal["eval", "train", "recalibrate"],
    "Statistics that batch normalisation uses: remembered, of each batch, or measured anew.",
]


class HessianSettings(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How curvature is measured after training."""

    samples: Annotated[Whole | None, "Number of training images to measure on; null for all."] = 512
    tol: Annotated[Tolerance, "Relative error to reach for the eigenvalues."] = 1e-2
    trace_tol: Annotated[Tolerance, "Relative half width of the trace's 95 % interval."] = 0.05
    max_matvecs: Annotated[
        Annotated[int, Meta(ge=8, le=LARGEST)],
        "Most Hessian-vector products for the eigenvalues, for the trace, and for each batch.",
    ] = 100
    minutes: Annotated[
        Positive | None, "Maximum duration for one run; null for no limit.", unit("minutes")
    ] = None
    seed: Annotated[Count, "Seed of start vectors and probes."] = 0
    k: Annotated[Whole, "How many of the largest eigenvalues to find."] = 1
    batch_stat: Annotated[
        Literal["dominant", "top", "topk", "trace", "none"],
        "What to measure of each batch: its dominant eigenvalue (largest in magnitude), its top "
        "eigenvalue, its five largest, its trace, or nothing.",
    ] = "dominant"
    batches: Annotated[Whole | None, "Number of batches to measure; null for all."] = None
    perturbations: Annotated[
        Count, "Measure each batch this many times at noisy weights instead; 0 for no noise."
    ] = 0
    sigma: Annotated[Positive, "Size of that noise, relative to the norm of each filter."] = 0.01
    batch_norm: BatchNorm = "eval"
    dtype: Annotated[Literal["float32", "float64"], "Arithmetic of the network."] = "float32"
    adaptive: Annotated[bool, "Also measure the Hessian of relative changes of weights."] = False
    per_layer: Annotated[bool, "Also measure each layer's block of the Hessian."] = False
    include_l2: Annotated[
        bool, "Measure the loss including the run's weight decay, and loss_decay, as an L2 penalty."
    ] = False

    def __post_init__(self) -> None:
        if self.perturbations and self.batch_stat == "none":
            raise ConfigError("hessian perturbations need a batch_stat other than none")


class Studies(Definition, frozen=True, kw_only=True):
    """Which studies are wanted, and their settings."""

    density: Annotated[bool, "Density of all eigenvalues."] = False
    sharpness: Annotated[bool, "Rise of the loss: one step, worst case, average case."] = False
    landscape: Annotated[bool, "Pictures of the loss: line, plane and eigenvector plane."] = False
    probes: Annotated[Several, "Number of random starts of the density."] = 5
    steps: Annotated[Several, "Lanczos steps of each start."] = 80
    rho: Annotated[Positive, "Radius of the ball around the weights."] = 0.05
    relative_rho: Annotated[Positive, "Radius relative to each weight, of the adaptive ball."] = 0.5
    noise: Annotated[Positive, "Standard deviation of the average case's noise."] = 0.01
    relative_noise: Annotated[Positive, "The same noise relative to each weight."] = 0.1
    points: Annotated[
        Whole, "Points on each axis of a plane, an odd number N from 3 on; 2N - 1 on a line."
    ] = 21
    seed: Annotated[Count, "Seed of probes, noise and directions."] = 0
    batch_norm: BatchNorm = "eval"

    def __post_init__(self) -> None:
        if self.points < 3 or self.points % 2 == 0:
            said = f"{self.points} landscape points are not allowed"
            raise ConfigError(f"{said}; allowed: an odd number from 3 on")

    @classmethod
    def from_dict(cls, given: Mapping[str, Any], **shared: Any) -> Studies:
        """Check which studies are wanted, each as true, false or a mapping of its settings.

        They are given by name; all share seed and batch_norm with the Hessian. A key that is
        unknown or a value out of range is a ConfigError.
        """
        own: dict[str, Any] = {}
        for name, wish in given.items():
            if isinstance(wish, Mapping):
                own |= plain(build(_own_settings(name), wish, "hessian", name))
            elif not isinstance(wish, bool):
                raise ConfigError(
                    f"hessian {name}={shown(wish)} is not allowed; allowed: true, false or a "
                    f"mapping with {', '.join(OWN[name])}"
                )
        wanted: Any = {name: wish is not False for name, wish in given.items()}
        return cls(**wanted, **own, **shared)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes."""
        return {
            name: {key: getattr(self, key) for key in keys} if getattr(self, name) else False
            for name, keys in OWN.items()
        }

    def missing(self, hessian: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Return what is wanted and not in a record's hessian section: studies and pictures."""
        held = hessian or {}
        return (
            *(name for name in (DENSITY, SHARPNESS) if getattr(self, name) and name not in held),
            *(name for name in PICTURES if self.landscape and name not in held.get(LANDSCAPE, {})),
        )


@functools.cache
def _own_settings(study: str) -> type[msgspec.Struct]:
    """Return the definition of a study's own settings, which are fields of `Studies`."""
    fields = msgspec.structs.fields(Studies)
    own = [(field.name, field.type, field.default) for field in fields if field.name in OWN[study]]
    return msgspec.defstruct(study, own, bases=(Definition,), forbid_unknown_fields=True)


def studies_in(hessian: Mapping[str, Any] | None) -> Section:
    """Return what is of studies in a record's hessian section."""
    return {name: value for name, value in (hessian or {}).items() if name in OWN}


def merged(hessian: Mapping[str, Any] | None, found: Section) -> Section:
    """Return a hessian section with what was found; other studies, pictures and ways are kept."""
    held = dict(hessian or {})
    before, new = held.get(LANDSCAPE, {}), found.get(LANDSCAPE, {})
    landscape = {**before, **new}
    if ways := {**before.get(INTERPOLATIONS, {}), **new.get(INTERPOLATIONS, {})}:
        landscape[INTERPOLATIONS] = ways
    return {**held, **found, **({LANDSCAPE: landscape} if landscape else {})}
