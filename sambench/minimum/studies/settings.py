"""Which studies of a minimum are wanted, and where their numbers go in a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sambench.curvature.objective import BatchNorm
from sambench.curvature.operator import HVP
from sambench.errors import ConfigError

DENSITY, SHARPNESS, LANDSCAPE, INTERPOLATIONS = (
    "density",
    "sharpness",
    "landscape",
    "interpolations",
)
PICTURES = ("line", "plane", "eigenvectors")
"""What a landscape consists of."""
Section = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Studies:
    """Which studies are wanted, and their settings.

    Attributes:
        density: Spectral density.
        sharpness: One step, worst case, average case.
        landscape: Line, plane and eigenvector plane.
        probes: Starts of the density.
        steps: Lanczos steps of each.
        rho: Radius of the ball around the weights.
        relative_rho: Radius relative to each weight, of the adaptive ball.
        noise: Standard deviation of the average case's noise.
        relative_noise: The same, relative to each weight.
        points: Values on each axis of a plane, an odd number; a line has twice as many.
        seed: Of probes, noise and directions.
        batch_norm: "eval", "train" or "recalibrate": what batch normalisation normalises by.
        hvp: How products with the Hessian are made.
    """

    density: bool = False
    sharpness: bool = False
    landscape: bool = False
    probes: int = 5
    steps: int = 80
    rho: float = 0.05
    relative_rho: float = 0.5
    noise: float = 0.01
    relative_noise: float = 0.1
    points: int = 21
    seed: int = 0
    batch_norm: BatchNorm = "eval"
    hvp: HVP = "reverse"

    def __post_init__(self) -> None:
        if self.points < 3 or self.points % 2 == 0:
            raise ConfigError(
                f"{self.points} landscape points are not allowed; allowed: an odd number from 3 on"
            )

    def missing(self, hessian: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Return what is wanted and not in a record's hessian section: studies and pictures."""
        held = hessian or {}
        pictures = held.get(LANDSCAPE, {})
        return (
            *(name for name in self._whole() if name not in held),
            *(name for name in PICTURES if self.landscape and name not in pictures),
        )

    def _whole(self) -> tuple[str, ...]:
        wanted = {DENSITY: self.density, SHARPNESS: self.sharpness}
        return tuple(name for name, is_wanted in wanted.items() if is_wanted)


def studies_in(hessian: Mapping[str, Any] | None) -> Section:
    """Return what is of studies in a record's hessian section."""
    names = (DENSITY, SHARPNESS, LANDSCAPE)
    return {name: value for name, value in (hessian or {}).items() if name in names}


def holds_interpolation(hessian: Mapping[str, Any] | None, id: str) -> bool:
    """Whether a record's hessian section holds the way to another run."""
    return id in (hessian or {}).get(LANDSCAPE, {}).get(INTERPOLATIONS, {})


def merged(hessian: Mapping[str, Any] | None, found: Section) -> Section:
    """Return a record's hessian section with what was found, mappings within mappings joined.

    Other studies, other pictures and other runs' interpolations are kept.
    """
    held = dict(hessian or {})
    before, new = held.get(LANDSCAPE, {}), found.get(LANDSCAPE, {})
    landscape = {**before, **new}
    if ways := {**before.get(INTERPOLATIONS, {}), **new.get(INTERPOLATIONS, {})}:
        landscape[INTERPOLATIONS] = ways
    return {**held, **found, **({LANDSCAPE: landscape} if landscape else {})}
