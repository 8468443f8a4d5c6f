"""What there is of each run, told from the files of the results tree alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.errors import DamagedError, NewerError
from sambench.files.checksums import read_checked
from sambench.files.owner import Owner, file_system_time
from sambench.store.record import (
    COMPLETED,
    DIVERGED,
    FAILED,
    INTERRUPTED,
    NUMERICS,
    RUNNING,
    RunRecord,
)
from sambench.store.tree import CLAIM, WEIGHTS, Store

MISSING, STALE, DAMAGED, NEWER = "missing", "stale", "damaged", "newer"
STATES = (MISSING, RUNNING, INTERRUPTED, FAILED, DIVERGED, DAMAGED, NEWER, STALE, COMPLETED)
REPEATABLE = (FAILED, DIVERGED, DAMAGED, INTERRUPTED, STALE)
"""States that `--retry` accepts; interrupted runs resume without it, newer ones are left alone."""

Fingerprint = Callable[[str, int], str | None]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What there is of a run, and what a launch would do with it.

    The action is "run", "resume", "run again", "measure curvature", "test under shifts", "wait"
    (another process is at it) or "skip". The note says in one line who does it, why it failed or is
    stale or damaged, or which studies of its minimum are left.
    """

    config: RunConfig
    state: str  # one of `STATES`
    action: str
    note: str = ""
    record: RunRecord | None = None  # as it was read; None where there is none, or a damaged one
    left: tuple[str, ...] = ()  # what is to be measured of its minimum, once that is there

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a section of the record; empty without one."""
        return getattr(self.record, name, None) or {}

    @property
    def code(self) -> str:
        """Version and commit of the code that did it, where known."""
        environment = self.section("environment")
        versions = (environment.get("sambench"), environment.get("git"))
        return " at ".join(str(version) for version in versions if version)


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Looks at runs: what there is of them, what is wanted of their minima too."""

    store: Store
    curvature: Measurement | None = None
    retry: Collection[str] = ()
    """States to do again besides interrupted. With `DAMAGED` among them the files beside the
    records are read too, and checked."""
    fingerprint: Fingerprint = lambda dataset, image_size: None
    """Of a dataset's prepared images as they are now, by name and size; None where they are not
    prepared."""
    known: Mapping[str, RunRecord] = field(default_factory=dict)
    """Records that were just read, by id: they are not read again."""

    def of(self, configs: Iterable[RunConfig]) -> list[Standing]:
        """Return the standing of each run."""
        there, fingerprint = set(self.store.names()), cache(self.fingerprint)
        clock = cache(lambda: file_system_time(self.store.runs))
        return [
            self._standing(config, fingerprint(config.dataset, config.image_size), clock)
            if config.name in there
            else Standing(config=config, state=MISSING, action="run", left=self._wanted(config))
            for config in configs
        ]

    def _wanted(self, config: RunConfig, measured: Any = None) -> tuple[str, ...]:
        return () if self.curvature is None else self.curvature.missing(config, measured)

    def _standing(self, config: RunConfig, now: str | None, clock: Callable[[], float]) -> Standing:
        folder = self.store.runs / config.name
        record, damage = self._record(config, folder)
        done = record is not None and record.status == COMPLETED
        left = self._wanted(config, record.hessian if record and done else None)

        def told(state: str, action: str, note: str = "") -> Standing:
            still = self._wanted(config) if action == "run again" else left
            return Standing(
                config=config, state=state, action=action, note=note, record=record, left=still
            )

        if not (done and not left) and (owner := self._owner(folder, clock)):
            return told(RUNNING, "wait", owner)
        if damage:
            note = in_one_line(damage).partition("; ")[0]  # the remedy is said once for all runs
            state = damaged_or_newer(damage)
            return told(state, "run again" if state in self.retry else "skip", note)
        if record is None:
            return told(MISSING, "run")
        state = INTERRUPTED if record.status == RUNNING else record.status
        wished = state == INTERRUPTED or state in self.retry
        begun = any(folder.glob("checkpoint*.pt"))
        if (done or (wished and begun)) and (why := outdated(record, now)):
            anew = STALE in self.retry or (state == FAILED and wished)
            return told(STALE, "run again" if anew else "skip", why)
        if not done:
            again = "resume" if begun else "run again"
            return told(state, again if wished else "skip", in_one_line(record.error))
        shifts = "skip" if record.has_shifts(config.shifts) else "test under shifts"
        studies = "" if "hessian" in left else ", ".join(left)
        return told(COMPLETED, "measure curvature" if left else shifts, studies)

    def _record(self, config: RunConfig, folder: Path) -> tuple[RunRecord | None, Exception | None]:
        """Return a run's record, and how it or a file beside it is damaged."""
        known = self.known.get(config.id)
        damage: Exception | None
        record, damage = (known, None) if known else self.store.look(config)
        if record is None or DAMAGED not in self.retry:
            return record, damage
        used = self._wanted(config, record.hessian) or not record.has_shifts(config.shifts)
        for name, sha256 in (record.artifacts or {}).items():
            if name == WEIGHTS and not (used or (folder / name).exists()):  # they may be deleted
                continue
            try:
                read_checked(folder / name, sha256)
            except OSError as error:
                said = f"{folder / name} cannot be read ({error.strerror})"
                return record, DamagedError(said)
            except DamagedError as error:
                return record, error
        return record, damage

    def _owner(self, folder: Path, clock: Callable[[], float]) -> str:
        """Say who is at a run, or why nobody can tell; nothing where nobody is."""
        found = Owner.read(folder / CLAIM)
        if found is None or not found[0].lives(found[1], clock()):
            return ""
        owner, touched = found
        doubt = owner.doubt(touched, clock())
        return f"{folder / CLAIM} {doubt}; remove it if nobody is at it" if doubt else str(owner)


def damaged_or_newer(damage: Exception) -> str:
    """Return the state of a run whose files cannot be used for this reason."""
    return NEWER if isinstance(damage, NewerError) else DAMAGED


def in_one_line(error: object) -> str:
    """Return what went wrong in one line: of a traceback its last, of nothing nothing."""
    lines = str(error or "").strip().splitlines()
    return " ".join(lines[-1].split()) if lines else ""


def outdated(record: RunRecord, now: str | None) -> str:
    """Say what has changed since a run was done that changes its numbers; nothing if nothing has.

    `now` is the fingerprint of its data as they are now; None if they are not there.
    """
    then = (record.data or {}).get("fingerprint")
    if now is not None and then is not None and now != then:
        return "the data were prepared anew and differ"
    if name := record.changed_plugin():
        return f"{name} was changed since"
    if record.numerics > NUMERICS:
        return "a newer sambench did it, with other numbers: upgrade this one"
    if record.numerics < NUMERICS:
        return "the code gives other numbers now"
    return ""


def counts(standings: Sequence[Standing]) -> dict[str, int]:
    """Return how many runs are in each state that occurs, in the order of `STATES`."""
    found = [standing.state for standing in standings]
    return {state: found.count(state) for state in STATES if state in found}


def pending(standings: Iterable[Standing]) -> list[Standing]:
    """Return the runs that have something left to do."""
    return [standing for standing in standings if standing.action != "skip"]
