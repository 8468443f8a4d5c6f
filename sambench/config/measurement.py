"""What is to be measured of a run's minimum; it does not change what the run is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from sambench.config.curvature_settings import (
    INTERPOLATIONS,
    LANDSCAPE,
    OWN,
    SHARPNESS,
    HessianSettings,
    Studies,
)
from sambench.config.run_config import RunConfig
from sambench.errors import ConfigError, did_you_mean, shown
from sambench.files.definition import Definition, build, plain

RADII = {
    "rho": "sam-step",
    "relative_rho": "worst-case-adaptive-l2",
    "noise": "average-case",
    "relative_noise": "average-case-adaptive",
}
"""The measure of sharpness whose radius is each of its settings."""


def differing(
    hessian: Mapping[str, Any] | None, given: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return what a record's curvature was measured with beside what is given, where they differ.

    Given is what `Measurement.parse` takes; a study's own settings are called "sharpness.rho".
    """
    section = hessian or {}
    then = dict(section.get("settings", {}))
    measures = section.get(SHARPNESS, {}).get("measures", {})
    then |= {f"{SHARPNESS}.{k}": measures[of]["rho"] for k, of in RADII.items() if of in measures}
    if plane := section.get(LANDSCAPE, {}).get("plane"):
        then[f"{LANDSCAPE}.points"] = plane["points"]
    now: dict[str, Any] = {}
    for key, value in given.items():
        own = value.items() if isinstance(value, Mapping) else ()
        now |= {f"{key}.{name}": of for name, of in own} or {key: value}
    return {key: (then[key], now[key]) for key in now if then.get(key, now[key]) != now[key]}


class Measurement(Definition, frozen=True, kw_only=True):
    """What is wanted of the minimum that a run has found."""

    hessian: Annotated[HessianSettings, "How its curvature is measured."] = HessianSettings()
    studies: Annotated[Studies, "What is studied around it."] = Studies()
    other: Annotated[
        RunConfig | None, "A run of the same model: the loss is looked at on the way to it."
    ] = None
    again: Annotated[bool, "Measure anew what has been measured."] = False

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Measurement:
        """Check the `hessian` of a suite file: its own settings, and the studies by their names.

        A key that is unknown or a value out of range is a ConfigError.
        """
        known = (*HessianSettings.__struct_fields__, *OWN)
        for key in map(str, given):
            if key not in known:
                raise ConfigError(
                    f"unknown key {shown(key)} in hessian{did_you_mean(key, known)}; "
                    f"known: {', '.join(known)}"
                )
        hessian = build(HessianSettings, {k: given[k] for k in given if k not in OWN}, "hessian")
        shared = {key: getattr(hessian, key) for key in ("seed", "batch_norm")}
        studies = Studies.from_dict({k: v for k, v in given.items() if k in OWN}, **shared)
        return cls(hessian=hessian, studies=studies)

    def settings(self) -> dict[str, Any]:
        """Return what `parse` takes."""
        return {**plain(self.hessian), **self.studies.to_dict()}

    def missing(self, config: RunConfig, hessian: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Return what is wanted and not in the hessian section of a run's record, if it has one."""
        curvature = ("hessian",) if hessian is None else ()
        end = self.missing_end(config, hessian)
        way = (f"way to {end.name}",) if end else ()
        return (*curvature, *self.studies.missing(hessian), *way)

    def is_done(self, config: RunConfig, hessian: Mapping[str, Any] | None) -> bool:
        """Whether there is nothing left to measure of a run."""
        return not (self.again or self.missing(config, hessian))

    def otherwise(self, hessian: Mapping[str, Any] | None) -> str:
        """Say with which settings curvature was measured that are others now; "" if with none."""
        pairs = differing(hessian, self.settings())
        pairs.pop("minutes", None)
        before, asked = (", ".join(f"{k}={pairs[k][i]}" for k in pairs) for i in (0, 1))
        return f"measured with {before}, the suite asks {asked}" if pairs else ""

    def missing_end(self, config: RunConfig, hessian: Mapping[str, Any] | None) -> RunConfig | None:
        """Return the other run where the way to it is wanted, is one, and not in the section."""
        ways = (hessian or {}).get(LANDSCAPE, {}).get(INTERPOLATIONS, {})
        other = self.other
        return None if other is None or other.id in (config.id, *ways) else other
