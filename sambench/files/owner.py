"""Who holds a claim, and whether that process still works: what the file of a claim tells.

Whether an owner lives is asked of the system where the owner ran on this machine, and judged by
the claim's age elsewhere: the time since its last touch by the file system's own clock, so that
machines need not agree on the hour.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import secrets
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from sambench.errors import UserError
from sambench.files.definition import Count, Definition, decode, plain

STALE_SECONDS = 180.0
"""A claim of another machine is dropped when untouched this long: many heartbeats, and more than
the minute for which NFS clients may keep a file's age to themselves."""


class Owner(Definition, frozen=True, kw_only=True):
    """Who holds a claim: the content of its file."""

    version: Annotated[Literal[2], "Of the format of claims."] = 2
    token: Annotated[str, "Of this claim alone."]
    host: Annotated[str, "Name of the machine, for people."]
    machine: Annotated[
        str,
        "Where process numbers mean the same: a boot and a process namespace; empty where the "
        "claim's file cannot be understood.",
    ]
    pid: Annotated[Count, "Number of the process."]
    started: Annotated[str, "When the system started that process, since numbers are used again."]
    device: Annotated[str, "Where the run goes."]

    def __str__(self) -> str:
        return f"{self.host}, process {self.pid}" + (f" on {self.device}" if self.device else "")

    @classmethod
    def this_process(cls, device: str) -> Owner:
        """Return ourselves, with a new token."""
        return cls(
            token=secrets.token_hex(8),
            host=socket.gethostname(),
            machine=_machine(),
            pid=os.getpid(),
            started=_start_of(os.getpid()) or "",
            device=device,
        )

    @classmethod
    def read(cls, claim: Path) -> tuple[Owner, float] | None:
        """Return a claim's owner and last touch, or None; one not understood has no machine."""
        if (found := _text_and_time(claim)) is None:
            return None
        text, touched = found
        try:
            owner = decode(cls, text)
        except (UserError, ValueError):
            owner = cls(token="unknown", host="?", machine="", pid=0, started="", device="")
        return owner, touched

    def to_json(self) -> str:
        """Return the content of a claim's file."""
        return json.dumps(plain(self))

    def lives(self, touched: float, now: float) -> bool:
        """Whether the owner is at work, or may be; both times are by the file system's clock."""
        if self.machine == _machine():
            return _runs(self.pid, self.started)
        return now - touched < STALE_SECONDS

    def doubt(self, touched: float, now: float) -> str:
        """Say why nobody can tell from a claim whether its owner lives; nothing where one can."""
        if not self.machine:
            return "cannot be read as a claim of this version of sambench"
        if self.machine != _machine() and touched - now > STALE_SECONDS:
            return f"is dated {touched - now:.0f} seconds in the future"
        return ""


def file_system_time(folder: Path) -> float:
    """Return what a folder's file system takes for the time, or ours where it cannot be asked."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".now-") as file:
            os.utime(file.name)
            return os.stat(file.name).st_mtime  # noqa: PTH116
    except OSError:
        return time.time()


def _text_and_time(claim: Path) -> tuple[bytes, float] | None:
    """Return the content of a file, empty where it may not be read, and its age; None without one.

    On NFS the name of a file that another machine has just replaced may still lead to the old one,
    which is gone (ESTALE); opened again, it leads to the new one, or to none.
    """
    for _ in range(3):
        try:
            with claim.open("rb") as file:  # opening makes NFS ask the server for the file's age
                return file.read(), os.fstat(file.fileno()).st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (PermissionError, IsADirectoryError):
            with suppress(PermissionError):  # of a folder that we may not look into
                return b"", claim.stat().st_mtime
            return None
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    return None


@functools.cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return socket.gethostname()


def _runs(pid: int, started: str) -> bool:
    """Whether that process of this machine still runs."""
    if found := _start_of(pid):
        return found == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _start_of(os.getpid()) is None  # it has ended but was not yet waited for


def _start_of(pid: int) -> str | None:
    """Return when a process was started; None if it has ended or the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
