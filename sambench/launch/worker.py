"""A process that does one run after another for a pool, and imports torch once.

Orders come as JSON lines on standard input: first the manifest, device and threads, then the number
of each run with how many runs are on the device. The end of the input means: save the run after its
step and stop, so a worker also stops when its pool is killed. What happens is told as JSON lines on
another pipe.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import warnings
from typing import IO, Any

from sambench.errors import DamagedError, StoreError, UserError
from sambench.files.claim import Claimed
from sambench.launch.manifest import Manifest
from sambench.launch.unit import mark_error, perform
from sambench.launch.watcher import Watcher
from sambench.launch.wire import encode, event_to_dict
from sambench.plugin import load_inherited
from sambench.store.environment import RUNS_ON_DEVICE, choose_device, yield_cores
from sambench.store.tree import Store


class Worker:
    """Does what it is told.

    Args:
        orders: Where orders come from.
        told: Descriptor of the pipe to tell on.
    """

    def __init__(self, orders: IO[str], told: int) -> None:
        self._orders = orders
        self._told = told
        self._waiting: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._device: Any = None
        self._watcher = Watcher(
            event=lambda event: self._tell("event", event=event_to_dict(event)),
            measuring=lambda config: self._tell("measuring"),
            curvature=lambda what, done, most: self._tell("curvature", stage=[what, done, most]),
            say=lambda text: self._tell("say", text=text),
        )

    def work(self) -> None:
        """Do runs until the orders end."""
        first = json.loads(self._orders.readline())
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
        warnings.showwarning = self._warn
        threading.Thread(target=self._listen, daemon=True).start()
        self._device = device
        self._tell("ready")
        while (order := self._waiting.get()) is not None:
            index, together = order
            os.environ[RUNS_ON_DEVICE] = str(together)
            self._do(manifest, index)

    def _do(self, manifest: Manifest, index: int) -> None:
        stop, device = self._stopping.is_set, self._device
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
            reason = " ".join(str(error).split()) or type(error).__name__
            self._tell("over", reason=reason)
        else:
            self._tell("over", reason="")

    def _listen(self) -> None:
        for line in self._orders:
            index, together = json.loads(line)
            self._waiting.put((index, together))
        self._stopping.set()
        self._waiting.put(None)

    def _warn(self, message: Warning | str, *rest: Any, **more: Any) -> None:
        self._tell("say", text=f"warning: {message}")

    def _tell(self, kind: str, **content: Any) -> None:
        data = encode(kind, **content)
        try:
            while data:
                data = data[os.write(self._told, data) :]
        except BrokenPipeError:
            self._stopping.set()  # the pool is gone


if __name__ == "__main__":
    yield_cores()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the pool decides
    Worker(sys.stdin, int(sys.argv[1])).work()
