"""The record of one run: what was asked, how and where it ended, its cost, its flatness."""

from __future__ import annotations

import json
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
SECTIONS = ("environment", "data", "final", "cost", "sharpness", "hessian")


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

    @property
    def id(self) -> str:
        """The configuration's id."""
        return self.config.id

    @property
    def name(self) -> str:
        """The run's folder name."""
        return self.config.name

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
            given = json.loads(text)
            version = given.pop("schema_version")
        except (ValueError, AttributeError, KeyError, TypeError):
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


def tested_under(final: Section | None, family: str) -> bool:
    """Whether the final section of a record has a test under a family of disturbances."""
    tested = (final or {}).get("test", {}).get("robust") or {"shifts": "none"}
    return family in ("none", tested["shifts"])
