"""The results tree: one folder for each run, found, claimed and written without losing anything."""

from __future__ import annotations

import fnmatch
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sambench.atomic import write_json, write_text
from sambench.config import RunConfig
from sambench.errors import StoreError, did_you_mean
from sambench.record import COMPLETED, RunRecord

RECORD, HISTORY, PREDICTIONS = "run.json", "history.jsonl", "predictions.npz"
WEIGHTS, CLAIM = "model.safetensors", "claim.json"

STALE_SECONDS = 600.0
"""A claim whose owner cannot be asked (another machine) is dropped when untouched this long."""


class Claimed(Exception):
    """Another process is doing this run."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What there is of a run, and what a launch would do with it."""

    state: str
    action: str


class Store:
    """All runs below one results folder.

    Args:
        root: The results folder; runs lie in `<root>/runs/<name>/`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = root / "runs"

    def folder(self, config: RunConfig) -> Path:
        """Where a run's files lie, existing or not."""
        return self.runs / config.name

    def load(self, config: RunConfig) -> RunRecord | None:
        """Return a run's record, or None where there is none.

        Raises:
            StoreError: If the record is damaged or of another schema.
        """
        path = self.folder(config) / RECORD
        return self.read(path) if path.exists() else None

    def read(self, path: Path) -> RunRecord:
        """Read one record file.

        Raises:
            StoreError: If it cannot be read or is damaged.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        return RunRecord.parse(text, str(path))

    def save(self, record: RunRecord) -> None:
        """Write a run's record.

        Raises:
            StoreError: If the folder cannot be written.
        """
        write_json(self.folder(record.config) / RECORD, record.to_dict())

    def save_history(self, config: RunConfig, lines: Iterable[dict[str, object]]) -> None:
        """Write a run's epochs, a JSON object on each line.

        Raises:
            StoreError: If the folder cannot be written.
        """
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_text(self.folder(config) / HISTORY, text)

    def records(self) -> tuple[list[RunRecord], list[str]]:
        """Return all readable records in order of name, and a message for each unreadable one."""
        found: list[RunRecord] = []
        damaged: list[str] = []
        for path in sorted(self.runs.glob(f"*/{RECORD}")):
            try:
                found.append(self.read(path))
            except StoreError as error:
                damaged.append(str(error))
        return found, damaged

    def standing(self, config: RunConfig, *, curvature: bool) -> Standing:
        """Return what there is of a run and what is left to do.

        Args:
            config: The run.
            curvature: Whether its curvature is wanted too.

        Raises:
            StoreError: If its record is damaged.
        """
        record = self.load(config)
        state = "missing" if record is None else record.status
        if record is None:
            return Standing(state=state, action="run")
        if record.status != COMPLETED:
            resumable = any(self.folder(config).glob("checkpoint*"))
            return Standing(state=state, action="resume" if resumable else "run again")
        measured = record.hessian is not None or not curvature
        return Standing(state=state, action="skip" if measured else "measure curvature")

    def missing(self, configs: Iterable[RunConfig], *, curvature: bool) -> tuple[RunConfig, ...]:
        """Return the runs that have something left to do, in the given order.

        Raises:
            StoreError: If a record is damaged.
        """
        return tuple(c for c in configs if self.standing(c, curvature=curvature).action != "skip")

    def find(self, patterns: Sequence[str]) -> list[RunRecord]:
        """Return the records whose name or id matches one of the patterns (shell globs).

        The name of a suite stands for the runs that were first made for it.

        Raises:
            StoreError: If a pattern matches no run; offers the closest names.
        """
        records, _ = self.records()
        chosen: dict[str, RunRecord] = {}
        for pattern in patterns:
            hits = [r for r in records if pattern in (r.id, r.suite)]
            hits = hits or [r for r in records if fnmatch.fnmatchcase(r.name, pattern)]
            if not hits:
                names = [record.name for record in records]
                raise StoreError(
                    f"no run {pattern!r} in {self.runs}{did_you_mean(pattern, names)}; "
                    f"`ls {self.runs}` shows all"
                )
            chosen.update({record.id: record for record in hits})
        return list(chosen.values())

    def find_one(self, pattern: str) -> RunRecord:
        """Return the only record whose name or id matches.

        Raises:
            StoreError: If none or several do.
        """
        found = self.find([pattern])
        if len(found) > 1:
            names = ", ".join(record.name for record in found[:3])
            more = ", ..." if len(found) > 3 else ""
            raise StoreError(f"{len(found)} runs are {pattern!r} ({names}{more}); name one")
        return found[0]

    @contextmanager
    def claim(self, config: RunConfig) -> Iterator[Path]:
        """Hold a run for this process; yields the claim file, to be touched as a sign of life.

        Raises:
            Claimed: If a living process holds it.
            StoreError: If the results folder cannot be written.
        """
        path = self.folder(config) / CLAIM
        owner = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "version": 1})
        try:
            if holder := _living_owner(path):
                raise Claimed(f"{config.name} is being run by another process ({holder})")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            _create(path, owner, config.name)
        except OSError as error:
            raise StoreError(
                f"results folder {self.root} cannot be written ({error.strerror}); "
                "choose another with --results"
            ) from error
        try:
            yield path
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
                path.parent.rmdir()  # succeeds only where the run left nothing


def _create(claim: Path, owner: str, name: str) -> None:
    try:
        with claim.open("x") as file:
            file.write(owner)
    except FileExistsError:
        raise Claimed(f"{name} was just claimed by another process") from None


def _living_owner(claim: Path) -> str | None:
    """Return a claim whose owner lives: asked of the system, or by its age from elsewhere."""
    try:
        text = claim.read_text(errors="replace")
        age = time.time() - claim.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        owner = json.loads(text)
        host, pid = owner["host"], int(owner["pid"])
    except (ValueError, TypeError, KeyError):  # torn, or being written at this moment
        lives = age < 1.0
    else:
        local = host == socket.gethostname()
        lives = pid != os.getpid() and _lives(pid) if local else age < STALE_SECONDS
    return text or "unknown" if lives else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
