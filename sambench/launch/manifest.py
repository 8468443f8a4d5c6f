"""What a launch is to do, as a file that every process of it reads."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from sambench.config.measurement import Measurement
from sambench.config.run_config import RunConfig
from sambench.errors import LaunchError
from sambench.files.atomic import write_json
from sambench.files.checksums import read_sealed
from sambench.files.claim import HEARTBEAT_SECONDS
from sambench.files.owner import STALE_SECONDS

VERSION = 3
LAUNCHES, MANIFEST = "launches", "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Runs, where their files lie, and what is measured after them."""

    configs: Sequence[RunConfig] = ()  # a unit of work is named by its place here
    data: Path
    results: Path
    suite: str | None = None
    curvature: Measurement | None = None  # what is measured of each minimum; None: nothing
    device: str | None = None  # where to train; None: the best of whichever machine does it
    fail_fast: bool = False  # begin no further run once one has failed or diverged
    log: Sequence[str] = ()  # sinks that follow each run (`sambench.run.sinks`)
    patience: float = 0.0  # seconds to wait for a run that another process holds
    version: int = VERSION

    def encoded(self) -> bytes:
        """Return the manifest as JSON; the folders from the root of the file system."""
        found = replace(self, data=self.data.resolve(), results=self.results.resolve())
        return msgspec.json.encode(found, enc_hook=str)

    def on_cluster(self, *, gpu: bool) -> Manifest:
        """Return it for processes of a cluster; one that was promised a GPU stops without it."""
        device = "cuda" if gpu and self.device is None else self.device
        # a machine that the cluster has lost holds its claims for a while
        return replace(self, device=device, patience=STALE_SECONDS + 2 * HEARTBEAT_SECONDS)

    @classmethod
    def decoded(cls, data: bytes, where: str) -> Manifest:
        """Read what `encoded` returned; anything else is a LaunchError."""
        try:
            found = msgspec.json.decode(data, type=cls, dec_hook=lambda kind, text: kind(text))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise LaunchError(f"{where} is no manifest ({error}); launch again") from error
        if found.version != VERSION:
            said = f"{where} has version {found.version}, not {VERSION}"
            raise LaunchError(f"{said}; launch again with this sambench")
        return replace(found, configs=tuple(found.configs), log=tuple(found.log))

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest's file; one that cannot be read is a LaunchError."""
        try:
            return cls.decoded(read_sealed(path).encode(), str(path))
        except (OSError, ValueError) as error:
            raise LaunchError(f"{path} cannot be read ({error}); launch again") from error

    def write(self) -> Path:
        """Write the manifest into a new folder `<results>/launches/<time>-<token>/`."""
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        path = self.results.resolve() / LAUNCHES / name / MANIFEST
        write_json(path, msgspec.json.decode(self.encoded()))
        return path
