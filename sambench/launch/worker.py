"""A process that does one run after another for a pool, and imports torch once.

Both sides send MessagePack over one connection: nothing that could run code when it is read. Orders
are first the manifest, device and threads, then the number of each run with how many runs are on
the device. A null, or the end of the connection, means: save the run after its step and stop, so a
worker also stops when its pool is killed. What the worker tells is a kind and what belongs to it.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import warnings
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection

from msgspec import msgpack

from sambench.errors import StoreError, UserError
from sambench.launch.manifest import Manifest
from sambench.launch.unit import attempt
from sambench.launch.watcher import Watcher
from sambench.plugin import load_inherited
from sambench.store.environment import RUNS_ON_DEVICE, choose_device, yield_cores
from sambench.store.record import RunRecord


class Worker:
    """Does what it is ordered to over a connection."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._orders: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()

    def work(self) -> None:
        """Do runs until the orders end."""
        given, name, threads = msgpack.decode(self._line.recv_bytes())
        manifest = Manifest.decoded(given, "the order")
        try:
            load_inherited()
            device, _ = choose_device(name)
        except UserError as error:
            self._tell("refused", str(error))
            return
        import torch

        import sambench.run.measure  # noqa: F401  (once, before the first run)

        if threads:
            torch.set_num_threads(threads)
        if device.type == "cuda":
            torch.cuda.set_device(device)
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
            else:
                self._tell(*(("elsewhere",) if ending is None else ("over", _wrong(ending))))

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while order := msgpack.decode(self._line.recv_bytes()):
                self._orders.put(order)
        self._stopping.set()
        self._orders.put(None)

    def _tell(self, kind: str, *content: object) -> None:
        try:
            self._line.send_bytes(msgpack.encode((kind, *content)))
        except OSError:
            self._stopping.set()  # the pool is gone


def _wrong(ending: RunRecord | Exception) -> str:
    """Return what went wrong on one line; of a run that ended by itself its record tells."""
    if isinstance(ending, Exception):
        return " ".join(str(ending).split()) or type(ending).__name__
    return ""


if __name__ == "__main__":
    yield_cores()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the pool decides
    Worker(Connection(int(sys.argv[1]))).work()
