"""The record of one run: what was asked, how and where it ended, its cost, its flatness."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from sambench.config.run_config import RunConfig
from sambench.errors import StoreError, UnknownNameError, UserError

SCHEMA_VERSION = 1

NUMERICS = 3
"""Raised by a change to this package that gives runs of the same configuration other numbers. Runs
recorded under another are stale; commits that change no number leave them valid."""

COMPLETED, RUNNING, FAILED = "completed", "running", "failed"
DIVERGED, INTERRUPTED = "diverged", "interrupted"
STATUSES = (COMPLETED, RUNNING, FAILED, DIVERGED, INTERRUPTED)

Section = Mapping[str, Any]
SECTIONS = ("environment", "data", "final", "cost", "sharpness", "hessian", "artifacts")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run, as `run.json` holds it (`sambench.store.schema` lists the fields of each section).

    Attributes:
        config: What was asked.
        status: How it stands; only `completed` counts as done.
        error: What went wrong, for failed, diverged and interrupted runs.
        suite: Name of the suite that asked for it first, if any.
        environment: Versions, hardware, command.
        data: Fingerprint of the prepared data and the sizes of the parts.
        final: Metrics of the selected weights.
        cost: Seconds, passes, memory.
        sharpness: What the optimizer saw in its last observed step.
        hessian: Curvature of the selected weights, once measured.
        numerics: `NUMERICS` of the code that did the run.
        artifacts: sha256 of each file that the completed run left, by name; None in older records.
    """

    config: RunConfig
    status: str
    error: str | None = None
    suite: str | None = None
    environment: Section | None = None
    data: Section | None = None
    final: Section | None = None
    cost: Section | None = None
    sharpness: Section | None = None
    hessian: Section | None = None
    numerics: int = NUMERICS
    artifacts: Section | None = None

    @property
    def id(self) -> str:
        """The configuration's id."""
        return self.config.id

    @property
    def name(self) -> str:
        """The run's folder name."""
        return self.config.name

    def sha256_of(self, file: str) -> str | None:
        """Return the checksum of a file that the run left; None where it wrote down none."""
        return (self.artifacts or {}).get(file)

    def with_hessian(self, hessian: Section) -> RunRecord:
        """Return the record with a curvature section."""
        return replace(self, hessian=hessian)

    def has_shifts(self, family: str) -> bool:
        """Whether the final weights were tested under a family of disturbances, "none" included."""
        return tested_under(self.final, family)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        sections = {name: getattr(self, name) for name in _FIELDS}
        return {
            "schema_version": SCHEMA_VERSION,
            "id": self.id,
            "name": self.name,
            **sections,
            "config": self.config.to_dict(),
        }

    @classmethod
    def parse(cls, text: str, where: str) -> RunRecord:
        """Read a record.

        Args:
            text: The JSON text.
            where: The file, for messages.

        Raises:
            StoreError: If it is not JSON, of another schema, incomplete or altered by hand, or if
                its optimizer is not registered.
        """
        try:
            given = json.loads(text, parse_constant=refuse_constant)
            version = given.pop("schema_version")
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
            raise StoreError(
                f"{where} is not a run record; move it away and run it again"
            ) from None
        if version != SCHEMA_VERSION:
            newer = isinstance(version, int) and version > SCHEMA_VERSION
            remedy = "upgrade sambench" if newer else "run it again with this sambench"
            raise StoreError(
                f"{where} has schema version {version}, not {SCHEMA_VERSION}; {remedy}"
            )
        return cls._checked(given, where)

    @classmethod
    def _checked(cls, given: dict[str, Any], where: str) -> RunRecord:
        identity = given.pop("id", None)
        given.pop("name", None)
        given.setdefault("numerics", 1)
        try:
            config = RunConfig.from_dict(given.pop("config"))
            record = cls(config=config, **{k: v for k, v in given.items() if k in _FIELDS})
            for name in SECTIONS:
                if not isinstance(getattr(record, name), dict | None):
                    raise ValueError(f"{name!r} is no object")
        except UnknownNameError as error:
            raise StoreError(
                f"{where} is of a name that is not known here ({error}); if it is of a file of "
                "your own, give it by --plugin"
            ) from None
        except (UserError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(
                f"{where} is damaged ({error}); move it away and run it again"
            ) from None
        if record.status not in STATUSES:
            raise StoreError(f"{where} has status {record.status!r}; move it away and run it again")
        if identity != config.id:
            raise StoreError(
                f"{where} says id {identity} but its configuration has {config.id}: it was "
                "altered; move it away and run it again"
            )
        return record


_FIELDS = tuple(f.name for f in fields(RunRecord))


def refuse_constant(name: str) -> float:
    """Refuse NaN and infinities, which Python reads and JSON does not have.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"{name} is no number in JSON")


def fault_in(status: object, final: Section | None, cost: Section | None) -> str:
    """Say what a completed record lacks without which it counts nowhere; nothing if nothing."""
    if status != COMPLETED:
        return ""
    test = (final or {}).get("test")
    accuracy = test.get("accuracy") if isinstance(test, dict) else None
    if not _in_range(accuracy, 1.0):
        return f"its final.test.accuracy is {accuracy!r}, no fraction"
    for name in ("train_seconds", "gradient_evaluations"):
        found = (cost or {}).get(name)
        if not _in_range(found, math.inf):
            return f"its cost.{name} is {found!r}, no amount"
    return ""


def _in_range(value: object, most: float) -> bool:
    """Whether something is a number from 0 on and, unlike NaN, not above the most."""
    return isinstance(value, int | float) and type(value) is not bool and 0 <= value <= most


def tested_under(final: Section | None, family: str) -> bool:
    """Whether the final section of a record has a test under a family of disturbances."""
    tested = (final or {}).get("test", {}).get("robust") or {"shifts": "none"}
    return family in ("none", tested["shifts"])
