"""Several workers on this machine, each doing one run after another on its device.

A worker that dies is one failed run: the record says which signal ended it, and another worker
takes its place. A run gains nothing from being in a worker and loses nothing: it has its own seeds.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections import deque
from contextlib import suppress
from typing import Any

from sambench.errors import LaunchError, StoreError
from sambench.launch.crew import Crew
from sambench.launch.manifest import Manifest
from sambench.launch.signals import stop_on_signal
from sambench.launch.unit import conclude, mark_ended
from sambench.launch.watcher import Tally, Watcher
from sambench.launch.wire import event_from_dict
from sambench.store.record import FAILED, INTERRUPTED
from sambench.store.tree import Store

LOOK_SECONDS = 0.2
"""How often a request to stop is looked for while all workers are silent."""

KILLED = [-n for n in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGBUS)]
"""Exit codes of workers that something outside of their run ended: a person, the system that has no
memory left, a disk or a file that went away under a memory map. Others are faults of the run."""


class Member:
    """A worker as its pool sees it.

    Args:
        manifest: The runs.
        device: Where this worker trains.
        threads: How many threads it computes with; None for torch's own number.
        watcher: Told what its runs tell.
    """

    def __init__(
        self, manifest: Manifest, device: str, threads: int | None, watcher: Watcher
    ) -> None:
        self.device = device
        self.watcher = watcher
        self.index: int | None = None
        self.ready = False
        self.code: int | None = None
        self._rest = b""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the worker)
        self.told, writing = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sambench.launch.worker", str(writing)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            pass_fds=(writing,),
            env=os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {}),
            start_new_session=True,  # Ctrl-C reaches the pool alone
        )
        os.close(writing)
        first = {"manifest": manifest.to_dict(), "device": device, "threads": threads}
        self._order(json.dumps(first))

    def do(self, index: int, together: int) -> None:
        """Give it a run, which shares the device with others: so many together."""
        self.index = index
        self._order(json.dumps([index, together]))

    def stop(self) -> None:
        """Have it save its run after the step and end."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def hear(self) -> list[dict[str, Any]] | None:
        """Return the messages that have come, or None when it has hung up."""
        data = os.read(self.told, 1 << 16)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self, *, kill: bool = False) -> str:
        """Wait for its end; return what ended it, and the last thing it wrote."""
        if kill:
            self._process.kill()
        self.stop()
        code = self.code = self._process.wait()
        os.close(self.told)
        with self._log:
            self._log.seek(0)
            lines = self._log.read().decode(errors="replace").strip().splitlines()
        if code >= 0:
            return f"its worker ended with code {code}: {lines[-1] if lines else 'without a word'}"
        memory = ", as by the system where memory runs out" if code == -signal.SIGKILL else ""
        return f"its worker was killed by signal {-code} ({signal.Signals(-code).name}{memory})"

    def _order(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died; the hang-up on its other pipe tells
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()


class Pool:
    """Does the runs of a manifest by several workers.

    Args:
        manifest: The runs.
        crew: The workers.
        watcher: Told what happens.
        seconds: Save the runs at hand and stop after so long; None for never.
    """

    def __init__(
        self,
        manifest: Manifest,
        crew: Crew,
        watcher: Watcher,
        seconds: float | None = None,
    ) -> None:
        self._seconds = seconds
        self._manifest = manifest
        self._crew = crew
        self._watcher = watcher
        self._open = deque(range(len(manifest.configs)))
        self._members = selectors.DefaultSelector()
        self._tally = Tally()

    def run(self) -> Tally:
        """Do the runs; a first Ctrl-C saves them all and stops, a second one kills the workers.

        Raises:
            LaunchError: If workers cannot be started.
            StoreError: If the results folder cannot be written.
        """
        self._watcher.say(str(self._crew))
        stopping = False
        try:
            with stop_on_signal(seconds=self._seconds) as stop_requested:
                for device in self._crew.devices:
                    self._hire(device, self._watcher.another())
                while self._members.get_map():
                    for key, _ in self._members.select(LOOK_SECONDS):
                        self._hear(key.data)
                    if stop_requested() and not stopping:
                        stopping = self._tally.interrupted = True
                        self._open.clear()
                        for member in self._all():
                            member.stop()
        except KeyboardInterrupt:
            self._tally.interrupted = True
        finally:
            for member in self._all():
                self._dismiss(member, kill=True)
        return self._tally

    def _hire(self, device: str, watcher: Watcher) -> None:
        member = Member(self._manifest, device, self._crew.threads, watcher)
        self._members.register(member.told, selectors.EVENT_READ, member)

    def _all(self) -> list[Member]:
        return [key.data for key in self._members.get_map().values()]

    def _dismiss(self, member: Member, *, kill: bool = False) -> str:
        self._members.unregister(member.told)
        return member.end(kill=kill)

    def _hear(self, member: Member) -> None:
        messages = member.hear()
        if messages is None:
            self._lost(member)
        for message in messages or ():
            self._take(member, message)

    def _take(self, member: Member, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "event":
            member.watcher.event(event_from_dict(message["event"]))
        elif kind == "curvature":
            member.watcher.curvature(*message["stage"])
        elif kind == "measuring" and member.index is not None:
            member.watcher.measuring(self._manifest.configs[member.index])
        elif kind == "say":
            self._watcher.say(message["text"])
        elif kind == "refused":
            raise (StoreError if member.ready else LaunchError)(message["error"])
        elif kind == "ready":
            member.ready = True
            self._next(member)
        else:  # over, elsewhere
            index, member.index = member.index, None
            if index is not None and kind == "elsewhere":
                self._tally.elsewhere += 1
                member.watcher.elsewhere(self._manifest.configs[index])
            elif index is not None:
                self._conclude(member, index, message["reason"])
            self._next(member)

    def _conclude(self, member: Member, index: int, reason: str) -> None:
        conclude(self._manifest, index, member.watcher, self._tally, reason, raised=bool(reason))
        if self._manifest.fail_fast and self._tally.exit_code:
            self._open.clear()  # those that are at work finish theirs

    def _next(self, member: Member) -> None:
        if self._open:
            together = [other for other in self._all() if other.device == member.device]
            member.do(self._open.popleft(), len(together))
        else:
            member.stop()

    def _lost(self, member: Member) -> None:
        """Count the run of a worker that hung up, if it had one, and hire another for the rest."""
        how = self._dismiss(member)
        if member.index is not None:
            config = self._manifest.configs[member.index]
            status = INTERRUPTED if member.code in KILLED else FAILED
            mark_ended(Store(self._manifest.results), config, how, status)
            self._conclude(member, member.index, how)
        elif not member.ready and not self._tally.interrupted:
            raise LaunchError(f"a worker for {member.device} could not start: {how}")
        if self._open and not self._tally.interrupted:
            self._hire(member.device, member.watcher)
