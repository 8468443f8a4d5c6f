"""What a launch is to do, as a file that every process of it reads."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.errors import LaunchError, UserError
from sambench.files.atomic import write_json

VERSION = 2
LAUNCHES, MANIFEST = "launches", "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Runs, where their files lie, and what is measured after them.

    Attributes:
        configs: The runs; a unit of work is named by its place here.
        curvature: What is measured of each minimum, or None to leave it out.
        device: Where to train; None for the best device of whichever machine does it.
        fail_fast: Begin no further run once one has failed or diverged.
        log: Sinks that follow each run (`sambench.run.sinks`).
    """

    configs: Sequence[RunConfig]
    data: Path
    results: Path
    suite: str | None = None
    curvature: Measurement | None = None
    device: str | None = None
    fail_fast: bool = False
    log: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the folders from the root of the file system."""
        return {
            "version": VERSION,
            "suite": self.suite,
            "data": str(self.data.resolve()),
            "results": str(self.results.resolve()),
            "device": self.device,
            "fail_fast": self.fail_fast,
            "curvature": self.curvature and self.curvature.to_dict(),
            "log": list(self.log),
            "runs": [config.to_dict() for config in self.configs],
        }

    @classmethod
    def from_dict(cls, given: dict[str, Any], where: str) -> Manifest:
        """Read what `to_dict` returned; anything else is a LaunchError."""
        try:
            if given["version"] == VERSION:
                curvature = given["curvature"]
                return cls(
                    configs=tuple(RunConfig.from_dict(run) for run in given["runs"]),
                    data=Path(given["data"]),
                    results=Path(given["results"]),
                    suite=given["suite"],
                    curvature=None if curvature is None else Measurement.from_dict(curvature),
                    device=given["device"],
                    fail_fast=given["fail_fast"],
                    log=tuple(given.get("log", ())),
                )
        except (KeyError, TypeError, UserError) as error:
            raise LaunchError(f"{where} is no manifest ({error}); launch again") from error
        raise LaunchError(
            f"{where} has version {given['version']}, not {VERSION}; launch again with this "
            "sambench"
        )

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest's file; one that cannot be read is a LaunchError."""
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LaunchError(f"{path} cannot be read ({error}); launch again") from error
        return cls.from_dict(given, str(path))

    def write(self) -> Path:
        """Write the manifest into a new folder `<results>/launches/<time>-<token>/`."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        path = self.results.resolve() / LAUNCHES / name / MANIFEST
        write_json(path, self.to_dict())
        return path
