"""Which studies of a minimum are wanted, and where their numbers go in a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sambench.config.curvature_settings import refusal
from sambench.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from sambench.curvature.objective import BatchNorm

DENSITY, SHARPNESS, LANDSCAPE, INTERPOLATIONS = (
    "density",
    "sharpness",
    "landscape",
    "interpolations",
)
PICTURES = ("line", "plane", "eigenvectors")
"""What a landscape consists of."""

OWN: Mapping[str, tuple[str, ...]] = {
    DENSITY: ("probes", "steps"),
    SHARPNESS: ("rho", "relative_rho", "noise", "relative_noise"),
    LANDSCAPE: ("points",),
}
"""Settings that each study has for itself; it shares seed and arithmetic with the Hessian."""

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

    def __post_init__(self) -> None:
        if self.points < 3 or self.points % 2 == 0:
            raise ConfigError(
                f"{self.points} landscape points are not allowed; allowed: an odd number from 3 on"
            )

    @classmethod
    def from_dict(cls, given: Mapping[str, Any], **shared: Any) -> Studies:
        """Check which studies are wanted, each as true, false or a mapping of its settings.

        Args:
            given: By the name of the study.
            shared: Settings that all have from the Hessian: seed, batch_norm.

        Raises:
            ConfigError: If a key is unknown or a value out of range.
        """
        own = {key: value for name, wish in given.items() for key, value in _own(name, wish)}
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
        pictures = held.get(LANDSCAPE, {})
        return (
            *(name for name in self._whole() if name not in held),
            *(name for name in PICTURES if self.landscape and name not in pictures),
        )

    def _whole(self) -> tuple[str, ...]:
        wanted = {DENSITY: self.density, SHARPNESS: self.sharpness}
        return tuple(name for name, is_wanted in wanted.items() if is_wanted)


def _own(name: str, wish: object) -> list[tuple[str, Any]]:
    """Return a study's own settings, checked."""
    if isinstance(wish, bool):
        return []
    known = OWN[name]
    if not isinstance(wish, Mapping):
        raise ConfigError(
            f"hessian {name}={wish!r} is not allowed; allowed: true, false or a mapping with "
            f"{', '.join(known)}"
        )
    for key, value in wish.items():
        if key not in known:
            raise ConfigError(
                f"unknown key {key!r} in hessian {name}{did_you_mean(str(key), known)}; "
                f"known: {', '.join(known)}"
            )
        allowed = refusal(key, value, getattr(Studies, key))
        if allowed is not None:
            raise ConfigError(f"hessian {name} {key}={value!r} is not allowed; {allowed}")
    return list(wish.items())


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
