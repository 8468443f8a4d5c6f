"""Several workers on this machine, each doing one run after another on its device.

A worker imports torch once. One that dies is one failed run: the record says which signal ended it,
and another worker takes its place.

Both sides send MessagePack over one connection: nothing that could run code when it is read. Orders
are first the manifest, device and threads, then the number of each run with how many runs are on
the device. A null, or the end of the connection, means: save the run after its step and stop. What
a worker tells is a kind and what belongs to it.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, Pipe, wait

import msgspec
from msgspec import msgpack

from sambench.errors import LaunchError, StoreError, UserError
from sambench.launch.launcher import Tally, Watcher
from sambench.launch.manifest import Manifest
from sambench.launch.unit import attempt, conclude, let_go, mark_ended
from sambench.plugin import load_inherited
from sambench.store.environment import RUNS_ON_DEVICE, child_environment, choose_device, yield_cores
from sambench.store.record import FAILED, INTERRUPTED
from sambench.store.tree import Store
from sambench.training.events import Epoch, Event, Started, Tick

LOOK_SECONDS = 0.2
"""How often a request to stop is looked for while all workers are silent."""

_OUTSIDE = ("KILL", "TERM", "INT", "HUP", "BUS", "XCPU", "USR1", "USR2")
KILLED = [-signal.Signals[f"SIG{name}"] for name in _OUTSIDE]
"""Exit codes of workers that something outside of their run ended: a person, a queue, a system out
of memory or time, a file that went away under a memory map. Others are faults of the run."""

_ENCODER = msgpack.Encoder(enc_hook=lambda number: number.item())  # of numpy
_EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in (Started, Tick, Epoch)}


class Member:
    """A worker as its pool sees it: its process, and the run that it does."""

    def __init__(self, pool: Pool, device: str, watcher: Watcher) -> None:
        self.device, self.watcher = device, watcher
        self.index: int | None = None
        self.ready = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the worker)
        self.line, theirs = Pipe()
        threads = {"OMP_NUM_THREADS": str(pool.threads)} if pool.threads else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sambench.launch.pool", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=(theirs.fileno(),),
            env={**os.environ, **child_environment(), **threads},
            start_new_session=True,  # Ctrl-C reaches the pool alone
        )
        theirs.close()
        self.order([pool.manifest.encoded(), device, pool.threads])

    def order(self, what: object) -> None:
        """Send an order; None has it save its run after the step and end."""
        with suppress(OSError):  # it died; the hang-up tells
            self.line.send_bytes(msgpack.encode(what))

    def end(self, *, kill: bool = False) -> tuple[int, str]:
        """Wait for its end; return its exit code, and what ended it or the last thing it wrote."""
        if kill:
            self._process.kill()
        self.line.close()
        code = self._process.wait()
        with self._log:
            self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 10_000))  # of gigabytes the end
            lines = self._log.read().decode(errors="replace").strip().splitlines()
        said = f"ended with code {code}: {lines[-1] if lines else 'without a word'}"
        if code < 0:
            memory = ", as by the system where memory runs out" if code == -signal.SIGKILL else ""
            said = f"was killed by signal {-code} ({signal.Signals(-code).name}{memory})"
        return code, f"its worker {said}"


@dataclass
class Pool:
    """Does the runs of a manifest by several workers, until it is requested to stop."""

    manifest: Manifest
    devices: Sequence[str]
    threads: int | None
    watcher: Watcher
    stop_requested: Callable[[], bool] = lambda: False

    def __post_init__(self) -> None:
        self._open = deque(range(len(self.manifest.configs)))
        self._members: dict[Connection, Member] = {}
        self._tally = Tally()

    def run(self) -> Tally:
        """Do the runs; a request to stop has all of them saved, an interrupt kills the workers.

        Workers that cannot be started are a LaunchError, an unwritable results folder a StoreError.
        """
        try:
            for device in self.devices:
                self._hire(device, self.watcher.lane() if self.watcher.lane else self.watcher)
            while self._members:
                ready = wait([*self._members], LOOK_SECONDS)
                for member in [m for m in self._members.values() if m.line in ready]:
                    self._hear(member)
                if self.stop_requested() and not self._tally.interrupted:
                    self._tally.interrupted = True
                    self._open.clear()
                    for member in self._members.values():
                        member.order(None)
        except KeyboardInterrupt:
            self._tally.interrupted = True
        finally:
            for member in self._members.values():
                member.end(kill=True)
        return self._tally

    def _hire(self, device: str, watcher: Watcher) -> None:
        try:
            member = Member(self, device, watcher)
            self._members[member.line] = member
        except OSError as error:  # no more processes, memory or open files
            self._do_without(device, watcher, f"{error.strerror}; give fewer --workers")

    def _do_without(self, device: str, watcher: Watcher, why: str) -> None:
        """Leave a worker that cannot start; a LaunchError where no other is at work."""
        said = f"a worker for {device} could not start: {why}"
        if not any(member.ready for member in self._members.values()):
            raise LaunchError(said)
        watcher.say(f"warning: {said}; the others go on")

    def _hear(self, member: Member) -> None:
        """Take what a worker tells: of itself, or of its run."""
        try:
            kind, *told = msgpack.decode(member.line.recv_bytes())
        except (EOFError, OSError):
            self._lost(member)
            return
        if kind in ("say", "curvature"):
            getattr(member.watcher, kind)(*told)
        elif kind in _EVENTS:
            member.watcher.event(msgspec.convert(told[0], _EVENTS[kind]))
        elif kind == "measuring" and member.index is not None:
            member.watcher.measuring(self.manifest.configs[member.index])
        elif kind == "refused":
            raise (StoreError if member.ready else LaunchError)(*told)
        else:  # ready, over
            self._count(member, *told)
            member.ready = True
            self._next(member)

    def _count(self, member: Member, reason: str | None = None) -> None:
        """Count the run of a worker, if it had one; without a reason another process does it."""
        index, member.index = member.index, None
        if index is None:
            return
        if reason is None:
            self._tally.count(self.manifest.configs[index], None, member.watcher)
        else:
            conclude(self.manifest, index, member.watcher, self._tally, reason, raised=bool(reason))

    def _next(self, member: Member) -> None:
        if not self._open or (self.manifest.fail_fast and self._tally.exit_code):
            member.order(None)
            return
        member.index = self._open.popleft()
        together = sum(other.device == member.device for other in self._members.values())
        member.order([member.index, together])

    def _lost(self, member: Member) -> None:
        """Count the run of a worker that hung up, if it had one, and hire another for the rest."""
        code, how = self._members.pop(member.line).end()
        if member.index is not None:
            config = self.manifest.configs[member.index]
            status = INTERRUPTED if code in KILLED else FAILED
            mark_ended(Store(self.manifest.results), config, how, status)
            self._count(member, how)
        elif not member.ready and not self._tally.interrupted:
            self._do_without(member.device, member.watcher, how)
            return
        if self._open and not self._tally.interrupted:
            self._hire(member.device, member.watcher)


class Worker:
    """Does what it is ordered to over a connection."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._orders: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()

    def work(self) -> None:
        """Do runs until the orders end."""
        given, name, threads = msgpack.decode(self._line.recv_bytes())
        try:
            load_inherited()
            manifest, (device, _) = Manifest.decoded(given, "the order"), choose_device(name)
        except UserError as error:
            self._tell("refused", str(error))
            return
        import torch

        import sambench.run.measure  # noqa: F401  (once, before the first run)

        if threads:
            torch.set_num_threads(threads)
        warnings.showwarning = lambda text, *rest, **more: self._tell("say", f"warning: {text}")
        threading.Thread(target=self._listen, daemon=True).start()
        watcher = Watcher(
            event=lambda event: self._tell(type(event).__name__, event),
            measuring=lambda config: self._tell("measuring"),
            curvature=partial(self._tell, "curvature"),
            say=partial(self._tell, "say"),
        )
        self._tell("ready")
        while (order := self._orders.get()) is not None:
            index, together = order
            os.environ[RUNS_ON_DEVICE] = str(together)
            try:
                ending = attempt(manifest, index, device, watcher, self._stopping.is_set)
            except KeyboardInterrupt:
                self._tell("over", "stopped")
            except StoreError as error:
                self._tell("refused", str(error))
            else:  # an empty text stands for what the record tells, None for another process
                said = None if ending is None else ""
                if isinstance(ending, Exception):
                    said = " ".join(str(ending).split()) or type(ending).__name__
                    let_go(ending, device)
                self._tell("over", said)

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while order := msgpack.decode(self._line.recv_bytes()):
                self._orders.put(order)
        self._stopping.set()
        self._orders.put(None)

    def _tell(self, kind: str, *content: object) -> None:
        try:
            self._line.send_bytes(_ENCODER.encode((kind, *content)))
        except OSError:
            self._stopping.set()  # the pool is gone


if __name__ == "__main__":
    yield_cores()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the pool decides
    Worker(Connection(int(sys.argv[1]))).work()
