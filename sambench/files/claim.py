"""One process for a run, on one machine or on several that share a file system.

A claim is a file that says who does a run. It is made whole by linking it into place, which only
one process can; its owner touches it every few seconds. Whether an owner lives is asked of the
system where the owner ran on this machine, and judged by the claim's age elsewhere: the time since
its last touch by the file system's own clock, so that machines need not agree on the hour.

Each claim has a token of its own. Whoever would replace the claim of a dead owner must first hold a
second claim named after that token and then find the token still in place, so that of many who see
the same dead owner one succeeds, and none can displace a newer claim by an old observation. Only
link, exclusive creation and rename are used: they are atomic on NFS too, where locks may not be.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

HEARTBEAT_SECONDS = 15.0
"""Time between two touches of a claim."""

STALE_SECONDS = 180.0
"""A claim of another machine is dropped when untouched this long: many heartbeats, and more than
the minute for which NFS clients may keep a file's age to themselves."""

ATTEMPTS = 20
"""Tries where the claim comes and goes under our hands."""

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class Claimed(Exception):
    """Another process is doing this run."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who holds a claim.

    Attributes:
        token: Of this claim alone.
        host: Name of the machine, for people.
        machine: Where process numbers mean the same: a boot and a process namespace.
        pid: Number of the process.
        started: When the system started that process, since numbers are used again.
        device: Where the run goes.
    """

    token: str
    host: str
    machine: str
    pid: int
    started: str
    device: str

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
        """Return a claim's owner and the time of its last touch; None where there is no claim.

        A claim that cannot be understood has an unknown owner on no machine.
        """
        try:
            with claim.open("rb") as file:  # opening makes NFS ask the server for the file's age
                text, touched = file.read(), os.fstat(file.fileno()).st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            given = json.loads(text)
            texts = {name: str(given[name]) for name in ("token", "host", "machine", "started")}
            owner = cls(**texts, pid=int(given["pid"]), device=str(given["device"]))
        except (ValueError, TypeError, KeyError):
            owner = cls(token="unknown", host="?", machine="", pid=0, started="", device="")
        return owner, touched

    def lives(self, touched: float, now: float) -> bool:
        """Whether the owner is at work, or may be.

        Args:
            touched: When its claim was touched last.
            now: The time, by the same clock: that of the file system.
        """
        if self.machine == _machine():
            return _runs(self.pid, self.started)
        return now - touched < STALE_SECONDS


class Claim:
    """A claim that we hold."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path = path
        self.owner = owner
        self._lost = threading.Event()
        self._released = threading.Event()

    @property
    def lost(self) -> bool:
        """Whether another process was seen to have taken the run; costs nothing to ask."""
        return self._lost.is_set()

    def check(self) -> None:
        """Make sure that the run is still ours, to be asked before writing.

        Raises:
            Claimed: If another process has taken it, as after this one was long suspended.
        """
        found = Owner.read(self.path)
        if found is None or found[0].token != self.owner.token:
            self._lost.set()
            taker = f"another process ({found[0]})" if found else "somebody"
            raise Claimed(f"{self.path.parent.name} was taken over by {taker}")

    def beat(self) -> None:
        """Touch the claim every few seconds until it is released or lost."""
        while not self._released.wait(HEARTBEAT_SECONDS):
            try:
                self.check()
                os.utime(self.path)
            except Claimed:
                return
            except OSError:  # a file server that is away for a while
                continue

    def release(self) -> None:
        """Stop the heartbeat and remove the claim, if it is still ours."""
        self._released.set()
        with suppress(OSError, Claimed):
            self.check()
            self.path.unlink()


@contextmanager
def claiming(path: Path, device: str = "") -> Iterator[Claim]:
    """Hold a claim while the block runs, with a heartbeat.

    Args:
        path: The claim's file. Its folder is made, and removed where nothing was left in it.
        device: Where the run goes, for others to see.

    Raises:
        Claimed: If a living process holds it.
        OSError: If the folder cannot be written.
    """
    claim = Claim(path, _acquire(path, device))
    _sweep(claim)
    heart = threading.Thread(target=claim.beat, name=f"claim {path.parent.name}", daemon=True)
    heart.start()
    try:
        yield claim
    finally:
        claim.release()
        with suppress(OSError):
            path.parent.rmdir()  # succeeds only where the run left nothing


def file_system_time(folder: Path) -> float:
    """Return what a folder's file system takes for the time, or ours where it cannot be asked."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".now-") as file:
            os.utime(file.name)
            return os.stat(file.name).st_mtime  # noqa: PTH116
    except OSError:
        return time.time()


def _acquire(path: Path, device: str) -> Owner:
    own = Owner.this_process(device)
    for _ in range(ATTEMPTS):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # the folder was removed by one that left nothing
            if _create(path, own):
                return own
        found = Owner.read(path)
        if found is None:
            continue
        holder, touched = found
        if holder.lives(touched, file_system_time(path.parent)):
            raise Claimed(f"{path.parent.name} is being run by another process ({holder})")
        if _succeed(path, holder, own):
            return own
    raise Claimed(f"{path.parent.name} is claimed and released by other processes all the time")


def _succeed(path: Path, dead: Owner, own: Owner) -> bool:
    """Put our claim in the place of a dead owner's; False if it is not there any more.

    Raises:
        Claimed: If another process is doing the same.
    """
    right = path.with_name(f"{path.name}.after-{dead.token}")
    holder = _acquire(right, own.device)
    try:
        found = Owner.read(path)
        if found is None or found[0].token != dead.token:
            return False
        temporary = _write(path, own)
        temporary.replace(path)
        return True
    finally:
        Claim(right, holder).release()


def _create(path: Path, own: Owner) -> bool:
    """Make the claim, whole at once; False if there is one."""
    temporary = _write(path, own)
    try:
        os.link(temporary, path)
        return True
    except FileExistsError:
        return temporary.stat().st_nlink == 2  # NFS repeats a request whose answer was lost
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_without_links(path, own)
    finally:
        temporary.unlink(missing_ok=True)


def _create_without_links(path: Path, own: Owner) -> bool:
    try:
        with path.open("x") as file:
            file.write(json.dumps({"version": 2, **asdict(own)}))
        return True
    except FileExistsError:
        return False


def _write(path: Path, own: Owner) -> Path:
    temporary = path.with_name(f".{path.name}.{own.token}")
    temporary.write_text(json.dumps({"version": 2, **asdict(own)}))
    return temporary


def _sweep(claim: Claim) -> None:
    """Remove what killed processes left in the middle of a write.

    The folder is ours now. Another process that is just trying to claim it may lose its temporary
    file by this, and then tries again.
    """
    folder, name, own = claim.path.parent, claim.path.name, claim.owner.token
    for pattern in (".*.tmp", f".{name}*", f"{name}.after-*"):
        for path in folder.glob(pattern):
            if not path.name.endswith(own):
                with suppress(OSError):
                    path.unlink()


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
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
