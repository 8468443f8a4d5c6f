"""What there is of each run, told from the files of the results tree alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.errors import DamagedError
from sambench.files.checksums import read_checked, unsealed
from sambench.files.owner import Owner, file_system_time
from sambench.store.record import (
    COMPLETED,
    DIVERGED,
    FAILED,
    INTERRUPTED,
    NUMERICS,
    RUNNING,
    SCHEMA_VERSION,
    fault_in,
    refuse_constant,
    tested_under,
)
from sambench.store.tree import CLAIM, RECORD, SEALED, Store

MISSING, DONE, STALE, DAMAGED = "missing", "done", "stale", "damaged"
STATES = (MISSING, RUNNING, INTERRUPTED, FAILED, DIVERGED, DAMAGED, STALE, DONE)
REPEATABLE = (FAILED, DIVERGED, DAMAGED, INTERRUPTED, STALE)
"""States that a launch can be told to do again; interrupted runs are resumed untold."""

Fingerprint = Callable[[str, int], str | None]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What there is of a run, and what a launch would do with it.

    Attributes:
        config: The run.
        state: One of `STATES`.
        action: "run", "resume", "run again", "measure curvature", "test under shifts", "wait"
            (another process is at it) or "skip".
        note: Who does it, why it failed or is stale or damaged, or which studies of its minimum
            are left; one line.
        cost: Of the record; empty without one.
        images: Training images, where known.
        curvature_seconds: What measuring the curvature took, where it was measured.
        code: Version and commit of the code that did it, where known.
    """

    config: RunConfig
    state: str
    action: str
    note: str = ""
    cost: Mapping[str, Any] = field(default_factory=dict)
    images: int | None = None
    curvature_seconds: float | None = None
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Looks at runs.

    Attributes:
        store: Where they lie.
        curvature: What is wanted of their minima too; None for nothing.
        retry: States to do again besides interrupted. With `DAMAGED` among them the files beside
            the records are read too, and checked.
        fingerprint: Of a dataset's prepared images as they are now, by name and size; None where
            they are not prepared.
    """

    store: Store
    curvature: Measurement | None = None
    retry: Collection[str] = ()
    fingerprint: Fingerprint = lambda dataset, image_size: None

    def of(self, configs: Iterable[RunConfig]) -> list[Standing]:
        """Return the standing of each run."""
        try:
            there = set(os.listdir(self.store.runs))  # noqa: PTH208
        except OSError:
            there = set()
        prints: dict[tuple[str, int], str | None] = {}
        clock: list[float] = []
        standings = []
        for config in configs:
            key = (config.dataset, config.image_size)
            if key not in prints:
                prints[key] = self.fingerprint(*key)
            if config.name in there:
                standings.append(self._standing(config, prints[key], clock))
            else:
                standings.append(Standing(config=config, state=MISSING, action="run"))
        return standings

    def _standing(self, config: RunConfig, now: str | None, clock: list[float]) -> Standing:
        folder = self.store.runs / config.name
        record, damage = self._record(config, folder)
        left = self._left(config, record)
        done = record.get("status") == COMPLETED
        if not (done and not left) and (owner := self._owner(folder, clock)):
            return _told(config, record, RUNNING, "wait", owner)
        if damage:
            action = "run again" if DAMAGED in self.retry else "skip"
            return _told(config, record, DAMAGED, action, damage)
        if not record:
            return Standing(config=config, state=MISSING, action="run")
        return self._done(config, record, now, left) if done else self._cut(config, record, folder)

    def _cut(self, config: RunConfig, record: Mapping[str, Any], folder: Path) -> Standing:
        """Return the standing of a run that did not come to its end, or to a bad one."""
        status = str(record.get("status"))
        state = INTERRUPTED if status == RUNNING else status
        action = self._again(folder, state)
        return _told(config, record, state, action, in_one_line(record.get("error")))

    def _done(
        self, config: RunConfig, record: Mapping[str, Any], now: str | None, left: Sequence[str]
    ) -> Standing:
        if why := _outdated(record, now):
            action = "run again" if STALE in self.retry else "skip"
            return _told(config, record, STALE, action, why)
        if left:
            studies = "" if left[0] == "hessian" else ", ".join(left)
            return _told(config, record, DONE, "measure curvature", studies)
        shifted = tested_under(record.get("final"), config.shifts)
        return _told(config, record, DONE, "skip" if shifted else "test under shifts", "")

    def _left(self, config: RunConfig, record: Mapping[str, Any]) -> Sequence[str]:
        """Return what is not measured of a run's minimum."""
        wanted = self.curvature
        return () if wanted is None else wanted.missing(config, record.get("hessian"))

    def _again(self, folder: Path, state: str) -> str:
        if state != INTERRUPTED and state not in self.retry:
            return "skip"
        return "resume" if any(folder.glob("checkpoint*.pt")) else "run again"

    def _record(self, config: RunConfig, folder: Path) -> tuple[Mapping[str, Any], str]:
        """Return what a record says, checked no further than it counts, and how it is damaged.

        A record that is damaged says nothing.
        """
        try:
            text, intact = unsealed((folder / RECORD).read_bytes().decode(), SEALED)
            given = json.loads(text, parse_constant=refuse_constant)
            sound = intact and given["schema_version"] == SCHEMA_VERSION
            fault = fault_in(given["status"], given["final"], given["cost"])
            if sound and given["id"] == config.id and not fault:
                return dict(given), self._damage_beside(given, folder)
        except FileNotFoundError:
            return {}, ""
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass
        try:
            self.store.load(config)  # says what is wrong with it
        except DamagedError as error:
            return {}, _without_remedy(error)
        return {}, ""

    def _damage_beside(self, record: Mapping[str, Any], folder: Path) -> str:
        """Say which file beside a record is damaged, where damaged runs are to be done again."""
        bound = (record.get("artifacts") or {}) if DAMAGED in self.retry else {}
        for name, sha256 in bound.items():
            try:
                read_checked(folder / name, sha256)
            except FileNotFoundError:  # weights need not be kept
                continue
            except (DamagedError, OSError) as error:
                return _without_remedy(error)
        return ""

    def _owner(self, folder: Path, clock: list[float]) -> str:
        """Say who is at a run, or why nobody can tell; nothing where nobody is."""
        found = Owner.read(folder / CLAIM)
        if found is None:
            return ""
        if not clock:
            clock.append(file_system_time(self.store.runs))
        owner, touched = found
        if not owner.lives(touched, clock[0]):
            return ""
        doubt = owner.doubt(touched, clock[0])
        return f"{folder / CLAIM} {doubt}; remove it if nobody is at it" if doubt else str(owner)


def in_one_line(error: object) -> str:
    """Return what went wrong in one line: of a traceback its last, of nothing nothing."""
    lines = str(error or "").strip().splitlines()
    return " ".join(lines[-1].split()) if lines else ""


def _without_remedy(error: Exception) -> str:
    """Return what is damaged; what to do about it is said once for all damaged runs."""
    return in_one_line(error).partition("; ")[0]


def _told(
    config: RunConfig, record: Mapping[str, Any], state: str, action: str, note: str
) -> Standing:
    environment, data = record.get("environment") or {}, record.get("data") or {}
    hessian = record.get("hessian") or {}
    versions = (environment.get("sambench"), environment.get("git"))
    return Standing(
        config=config,
        state=state,
        action=action,
        note=note,
        cost=record.get("cost") or {},
        images=data.get("train"),
        curvature_seconds=hessian.get("seconds"),
        code=" at ".join(str(version) for version in versions if version),
    )


def _outdated(record: Mapping[str, Any], now: str | None) -> str:
    """Say what has changed since a run was done that changes its numbers; nothing if nothing has.

    Args:
        record: Of the run.
        now: Fingerprint of its data as they are now; None if they are not there.
    """
    then = (record.get("data") or {}).get("fingerprint")
    if now is not None and then is not None and now != then:
        return "the data were prepared anew and differ"
    if record.get("numerics", 1) != NUMERICS:
        return "the code gives other numbers now"
    return ""


def counts(standings: Sequence[Standing]) -> dict[str, int]:
    """Return how many runs are in each state that occurs, in the order of `STATES`."""
    found = [standing.state for standing in standings]
    return {state: found.count(state) for state in STATES if state in found}


def pending(standings: Iterable[Standing]) -> list[Standing]:
    """Return the runs that have something left to do."""
    return [standing for standing in standings if standing.action != "skip"]
