"""The one rule for who may work where: of several processes only one, on any number of machines.

A claim is a file that says who does a piece of work: a run (`claiming`, in the run's own folder), a
dataset that is prepared or downloaded, a plan that is changed (`lock`, beside what is made). It is
linked into place, which only one process can; its owner touches it every few seconds. `owner.py`
tells whether an owner still works.

Each claim has a token of its own. Whoever would replace the claim of a dead owner must first hold a
second claim named after that token and then find the token still in place: of many who see the same
dead owner one succeeds, and none displaces a newer claim by an old observation. Only link,
exclusive creation and rename are used: they are atomic on NFS, where `flock` may lock nothing.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sambench.errors import ClaimError, DataError, StoreError
from sambench.files.atomic import store_errors
from sambench.files.owner import Owner, file_system_time

HEARTBEAT_SECONDS = 15.0  # between two touches of a claim
ATTEMPTS = 20  # tries where the claim comes and goes under our hands
PAUSE_SECONDS = 0.1  # between two tries for a lock that is held for a moment only
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class Claimed(Exception):
    """Another process is doing this work."""


class Claim:
    """A claim that we hold."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path = path
        self.owner = owner
        self.lost = False  # whether it was seen to be gone or another's
        self._released = threading.Event()

    def check(self) -> None:
        """Make sure that the work is still ours, to be asked before writing.

        It is Claimed if another process has taken it, as after this one was long suspended, and a
        ClaimError if the claim, or the folder that it was in, was removed.
        """
        found = Owner.read(self.path)
        if found is not None and found[0].token == self.owner.token:
            return
        self.lost = True
        if found is None:
            raise ClaimError(
                f"{self.path} was removed, alone or with its folder, while this process worked "
                "there; nothing more was written, and the same command does it again"
            )
        raise Claimed(f"{self.path.parent.name} was taken over by another process ({found[0]})")

    def beat(self) -> None:
        """Touch the claim every few seconds until it is released or lost."""
        while not self._released.wait(HEARTBEAT_SECONDS):
            try:
                self.check()
                os.utime(self.path)
            except (Claimed, ClaimError):
                return
            except OSError:  # a file server that is away for a while
                continue

    def release(self) -> None:
        """Stop the heartbeat and remove the claim, if it is still ours."""
        self._released.set()
        with suppress(OSError, Claimed, ClaimError):
            self.check()
            self.path.unlink()


@contextmanager
def claiming(path: Path, device: str = "") -> Iterator[Claim]:
    """Hold a claim in a folder that is for this work alone while the block runs.

    The folder is made, cleared of what killed processes left in the middle of a write, and removed
    at the end where nothing was left in it. It is Claimed if a living process holds it, and a
    ClaimError if nobody can tell; a folder that cannot be written is an OSError.
    """
    try:
        with _held(path, device, leftovers=(".*.tmp",)) as claim:
            yield claim
    finally:
        with suppress(OSError):
            path.parent.rmdir()  # succeeds only where the work left nothing


@contextmanager
def lock(final: Path, doing: str, tries: int = 1) -> Iterator[None]:
    """Hold the right to make a file or folder while the block runs; a hidden claim lies beside it.

    Its folder is created. If another process holds it at each of some tries, `PAUSE_SECONDS` apart,
    a DataError says what that is `doing`, e.g. "preparing"; a ClaimError, that nobody can tell; a
    StoreError, that the disk refuses, or takes the name for that of another.
    """
    said = f"another process is {doing} {final}; wait until it is done"
    with ExitStack() as held:
        for left in reversed(range(tries)):
            try:
                with store_errors(final.parent):
                    held.enter_context(_held(final.with_name(f".{final.name}.claim")))
                break
            except Claimed as error:
                if not left:
                    raise DataError(said) from error
                time.sleep(PAUSE_SECONDS)
        own, there = final.name, final.parent.iterdir() if final.exists() else (final,)
        alike = [path.name for path in there if path.name.casefold() == own.casefold()]
        if alike and own not in alike:  # on a file system that ignores capitals
            raise StoreError(
                f"{final.parent} has {alike[0]!r}, which its file system takes for {own!r}; choose "
                "a name that differs in more than capitals"
            )
        yield


@contextmanager
def _held(path: Path, device: str = "", leftovers: tuple[str, ...] = ()) -> Iterator[Claim]:
    """Hold a claim with a heartbeat; `leftovers` of the folder are nobody's once it is ours."""
    claim = Claim(path, _acquire(path, device))
    _sweep(claim, leftovers)
    threading.Thread(target=claim.beat, name=f"claim {path.parent.name}", daemon=True).start()
    try:
        yield claim
    finally:
        claim.release()


def _acquire(path: Path, device: str) -> Owner:
    own = Owner.this_process(device)
    for left in reversed(range(ATTEMPTS)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if _create(path, own):
                return own
            if (found := Owner.read(path)) is None:
                continue
            holder, touched = found
            if holder.token == own.token:
                return own  # NFS repeats a request whose answer was lost
            now = file_system_time(path.parent)
            if holder.lives(touched, now):
                if doubt := holder.doubt(touched, now):
                    raise ClaimError(
                        f"{path} {doubt}, so nobody can tell whether a process works there; if "
                        "none does, remove this file and give the same command again"
                    )
                raise Claimed(f"{path.parent.name} is being run by another process ({holder})")
            if _succeed(path, holder, own):
                return own
        except OSError as error:
            if not left or not _removed_meanwhile(error, path.parent):
                raise
    raise Claimed(f"{path.parent.name} is claimed and released by other processes all the time")


def _removed_meanwhile(error: OSError, folder: Path) -> bool:
    """Whether a claim failed since a neighbour that left nothing removed the folder: try again.

    Python's `mkdir` says that a folder exists which a neighbour removes before it looks closer; an
    NFS client says that its handle is stale (ESTALE).
    """
    if error.errno == errno.EEXIST:
        return not folder.exists() or folder.is_dir()
    return error.errno in (errno.ENOENT, errno.ESTALE)


def _succeed(path: Path, dead: Owner, own: Owner) -> bool:
    """Put our claim in a dead owner's place; False if it is gone, Claimed if another does so."""
    right = path.with_name(f"{path.name}.after-{dead.token}")
    holder = _acquire(right, own.device)
    try:
        found = Owner.read(path)
        if found is None or found[0].token != dead.token:
            return False
        _write(path, own).replace(path)
        return True
    finally:
        Claim(right, holder).release()


def _create(path: Path, own: Owner) -> bool:
    """Make the claim, whole at once; False if there is one."""
    temporary = _write(path, own)
    try:
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with path.open("x") as file:
                file.write(own.to_json())
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _write(path: Path, own: Owner) -> Path:
    temporary = path.with_name(f".{path.name}.{own.token}")
    try:
        temporary.write_text(own.to_json())
    except OSError:
        with suppress(OSError):
            temporary.unlink()  # of a full disk
        raise
    return temporary


def _sweep(claim: Claim, leftovers: tuple[str, ...]) -> None:
    """Remove what killed processes left; one that is just claiming loses a file and tries again."""
    folder, name, own = claim.path.parent, claim.path.name, claim.owner.token
    for pattern in (*leftovers, f".{name}*", f"{name}.after-*"):
        for path in folder.glob(pattern):
            if not path.name.endswith(own):
                with suppress(OSError):
                    path.unlink()
