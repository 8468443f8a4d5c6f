"""The record of one run: what was asked, how and where it ended, its cost, its flatness."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from sambench.config.run_config import RunConfig
from sambench.errors import (
    DO_AGAIN,
    ConfigError,
    DamagedError,
    NewerError,
    UnknownNameError,
    UserError,
    shown,
)
from sambench.files.definition import Count, Definition, Name, decode, hints_of, plain
from sambench.plugin import files_of

SCHEMA_VERSION = 1

NUMERICS = 3
"""Raised by a change to this package that gives runs of the same configuration other numbers. Runs
recorded under another are stale; commits that change no number leave them valid."""

Section = Mapping[str, Any]

if TYPE_CHECKING:  # readers take a section for the mapping that the file has
    Cost = Section
    Data = Section
    Environment = Section
    Final = Section
    Hessian = Section
    Perturbation = Section
    Start = Section
else:
    from sambench.store.sections.curvature import Hessian
    from sambench.store.sections.training import Cost, Data, Environment, Final, Perturbation, Start

COMPLETED: Literal["completed"] = "completed"
RUNNING: Literal["running"] = "running"
FAILED: Literal["failed"] = "failed"
DIVERGED: Literal["diverged"] = "diverged"
INTERRUPTED: Literal["interrupted"] = "interrupted"
WHEN_COMPLETED = ("environment", "data", "final", "cost")
"""Sections that a completed run has."""


def plugins_of(config: RunConfig, *, network: bool = False) -> dict[str, str]:
    """Return the loaded files, name to sha256, of a run's optimizer and model (or `network`)."""
    optimizer = [] if network else [("optimizer", str(config.optimizer["name"]))]
    return files_of((("model", config.model), *optimizer))


class RunRecord(Definition, frozen=True, kw_only=True):
    """One run, as `run.json` holds it."""

    config: Annotated[RunConfig, "The settings of the run."]
    status: Annotated[
        Literal["completed", "running", "failed", "diverged", "interrupted"],
        "State of the run; only `completed` counts as done.",
    ]
    error: Annotated[str | None, "What went wrong in failed, diverged and interrupted runs."] = None
    suite: Annotated[str | None, "Name of the suite that asked for the run first, if any."] = None
    environment: Annotated[Environment | None, "Versions, hardware and command."] = None
    data: Annotated[Data | None, "Fingerprint of the prepared data, and sizes of the parts."] = None
    start: Annotated[
        Start | UnsetType, "Which weights of the given file were used, if one was given."
    ] = UNSET
    final: Annotated[Final | None, "Metrics of the tested weights."] = None
    cost: Annotated[Cost | None, "Seconds, passes and memory."] = None
    sharpness: Annotated[
        Perturbation | None, "What the optimizer measured in its last observed step."
    ] = None
    hessian: Annotated[Hessian | None, "Curvature at the tested weights, once measured."] = None
    numerics: Annotated[Count, "`NUMERICS` of the code that did the run."] = NUMERICS
    artifacts: Annotated[
        dict[Name, str] | None, "sha256 of each file that the completed run left, by name."
    ] = None

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

    def changed_plugin(self, *, network: bool = False) -> str:
        """Name a file of `plugins_of` that is another than it was for the run; "" if none is."""
        then = ((self.environment or {}).get("plugins") or {}).values()
        now = plugins_of(self.config, network=network)
        return next((name for name, sha256 in now.items() if then and sha256 not in then), "")

    def with_sections(self, **sections: Mapping[str, Any] | None) -> RunRecord:
        """Return the record with other sections; msgspec.ValidationError if a mapping is none."""
        hints = hints_of(RunRecord)
        return replace(self, **{k: msgspec.convert(v, hints[k]) for k, v in sections.items()})

    def has_shifts(self, family: str) -> bool:
        """Whether the final weights were tested under a family of disturbances, "none" included."""
        tested = (self.final or {}).get("test", {}).get("robust") or {}
        return family in ("none", tested.get("shifts"))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "id": self.id,
            "name": self.name,
            **plain(self),
            "config": self.config.to_dict(),
        }

    @classmethod
    def parse(
        cls,
        data: bytes | str,
        where: str,
        expected: RunConfig | None = None,
        *,
        intact: bool = False,
        remedy: str = DO_AGAIN,
    ) -> RunRecord:
        """Read the JSON text of a record; `where` is the file, for messages.

        Where the run is known that it should be of, the same configuration is not checked again.
        What is not JSON, of another schema, incomplete or altered by hand is a DamagedError with
        the remedy. One of a newer schema, or intact and not understood, is a NewerError.
        """
        try:
            head = decode(_Head, data)
        except (UserError, ValueError):
            raise DamagedError(f"{where} is not a run record; {remedy}") from None
        if (version := head.schema_version) != SCHEMA_VERSION:
            newer = isinstance(version, int) and version > SCHEMA_VERSION
            way = "upgrade sambench" if newer else "run it again with this sambench"
            said = f"{where} has schema version {shown(version)}, not {SCHEMA_VERSION}; {way}"
            raise (NewerError if newer else DamagedError)(said)
        try:
            record = decode(cls, data)
            if record.config != expected:
                # of a file of one's own that is not loaded, or changed: complete as stored
                foreign = (UnknownNameError, ConfigError) if intact else (UnknownNameError,)
                with suppress(*foreign):
                    record = replace(record, config=record.config.checked())
        except (UserError, ValueError) as error:
            said = f"{where} is damaged ({error}); {remedy}"
            if intact:
                said = f"{where} is as another sambench wrote it ({error}); upgrade this one"
            raise (NewerError if intact else DamagedError)(said) from None
        if head.id != record.id:
            raise DamagedError(
                f"{where} says id {shown(head.id)} but its configuration has {record.id}: it was "
                f"altered; {remedy}"
            )
        for name in WHEN_COMPLETED if record.status == COMPLETED else ():
            if getattr(record, name) is None:
                said = f"{where} is damaged (it is completed but has no {name}); {remedy}"
                raise DamagedError(said)
        return record


class _Head(Definition, frozen=True, kw_only=True):
    """What says how to read the rest of a record."""

    schema_version: Any
    id: Any = ""
