"""A process that does one run after another for a pool, and imports torch once.

Both sides send JSON over one connection: nothing that could run code when it is read. Orders are
first the manifest, device and threads, then the number of each run with how many runs are on the
device. A null, or the end of the connection, means: save the run after its step and stop, so a
worker also stops when its pool is killed.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import warnings
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from sambench.errors import DamagedError, StoreError, UserError
from sambench.files.claim import Claimed
from sambench.launch.manifest import Manifest
from sambench.launch.unit import mark_error, perform
from sambench.launch.watcher import Watcher
from sambench.plugin import load_inherited
from sambench.store.environment import RUNS_ON_DEVICE, choose_device, yield_cores
from sambench.store.tree import Store
from sambench.training.events import Event

if TYPE_CHECKING:
    import torch


class Worker:
    """Does what it is ordered to over a connection."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._orders: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._watcher = Watcher(
            event=self._event,
            measuring=lambda config: self._tell("measuring"),
            curvature=lambda *stage: self._tell("curvature", stage=stage),
            say=lambda text: self._tell("say", text=text),
        )

    def work(self) -> None:
        """Do runs until the orders end."""
        first = json.loads(self._line.recv_bytes())
        try:
            load_inherited()
            device, _ = choose_device(first["device"])
        except UserError as error:
            self._tell("refused", error=str(error))
            return
        import torch

        import sambench.run.measure  # noqa: F401  (once, before the first run)

        if first["threads"]:
            torch.set_num_threads(first["threads"])
        if device.type == "cuda":
            torch.cuda.set_device(device)
        manifest = Manifest.from_dict(first["manifest"], "the order")
        warnings.showwarning = lambda text, *rest, **more: self._tell(
            "say", text=f"warning: {text}"
        )
        threading.Thread(target=self._listen, daemon=True).start()
        self._tell("ready")
        while (order := self._orders.get()) is not None:
            index, together = order
            os.environ[RUNS_ON_DEVICE] = str(together)
            self._do(manifest, index, device)

    def _do(self, manifest: Manifest, index: int, device: torch.device) -> None:
        stop = self._stopping.is_set
        try:
            perform(manifest, index, device=device, watcher=self._watcher, stop_requested=stop)
        except Claimed:
            self._tell("elsewhere")
        except KeyboardInterrupt:
            self._tell("over", reason="stopped")
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error, DamagedError):
                self._tell("refused", error=str(error))
                return
            mark_error(Store(manifest.results), manifest.configs[index], error)
            self._tell("over", reason=" ".join(str(error).split()) or type(error).__name__)
        else:
            self._tell("over", reason="")

    def _event(self, event: Event) -> None:
        """Tell an event of a run; which run it is, the pool knows."""
        values = {key: value for key, value in asdict(event).items() if key != "config"}
        self._tell(type(event).__name__, values=values)

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while order := json.loads(self._line.recv_bytes()):
                self._orders.put(order)
        self._stopping.set()
        self._orders.put(None)

    def _tell(self, kind: str, **content: Any) -> None:
        try:
            self._line.send_bytes(json.dumps({"kind": kind, **content}).encode())
        except OSError:
            self._stopping.set()  # the pool is gone


if __name__ == "__main__":
    yield_cores()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the pool decides
    Worker(Connection(int(sys.argv[1]))).work()
