"""Measuring the curvature of many runs: on one device, or in one process for each of several."""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from sambench.claim import Claimed
from sambench.environment import choose_device
from sambench.errors import CurvatureError, StoreError, UserError
from sambench.minimum.hessian import measure_hessian
from sambench.minimum.settings import HessianSettings
from sambench.minimum.studies import Studies
from sambench.minimum.surroundings import is_studied, study_curvature
from sambench.record import RunRecord
from sambench.run import Paths

LOOK_SECONDS = 0.2
"""How often it is looked whether the processes live, while none of them says anything."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be measured.

    Attributes:
        records: Completed runs.
        settings: How.
        paths: Where prepared data and results lie.
        again: Also runs that have been measured meanwhile.
        studies: What lies around the minimum is studied too, as far as asked for.
        other: A run of the same model, to look at the loss on the way to it.
    """

    records: Sequence[RunRecord]
    settings: HessianSettings
    paths: Paths
    again: bool = False
    studies: Studies = field(default_factory=Studies)
    other: RunRecord | None = None

    def is_done(self, record: RunRecord) -> bool:
        """Whether a run's record holds all that is asked for."""
        measured = record.hessian is not None and not self.again
        return measured and is_studied(record, self.studies, self.other)


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who is told what happens, for display.

    Attributes:
        started: A run's measurement begins.
        progress: Its stage, what is done of it, the most it may take.
        finished: A run is measured.
        failed: A run cannot be measured.
        elsewhere: A run is held by another process.
    """

    started: Callable[[RunRecord], None] = lambda record: None
    progress: Callable[[str, int, int], None] = lambda what, done, most: None
    finished: Callable[[RunRecord], None] = lambda record: None
    failed: Callable[[RunRecord, Exception], None] = lambda record, error: None
    elsewhere: Callable[[RunRecord], None] = lambda record: None


@dataclass(kw_only=True)
class Measured:
    """How it ended."""

    records: list[RunRecord] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    elsewhere: int = 0


def measure_all(task: Task, devices: Sequence[str | None], listener: Listener) -> Measured:
    """Measure runs; one that cannot be measured does not stop the rest.

    Args:
        task: The runs.
        devices: Where: one device does all in this process, several have a process each. The same
            one may be named several times; None is the best there is.
        listener: Told what happens.

    Raises:
        DeviceError: If a device does not exist.
        StoreError: If the results folder cannot be written.
        KeyboardInterrupt: On Ctrl-C; measurements under way go on where they were, next time.
    """
    places = [str(choose_device(name)[0]) for name in devices]
    measured = Measured()
    if len(places) == 1 or len(task.records) == 1:
        for index in range(len(task.records)):
            _measure(task, index, places[0], _Teller(task, listener, measured))
    else:
        _Pool(task, places, _Teller(task, listener, measured)).run()
    return measured


class _Teller:
    """Passes what a measurement says on to the listener, and counts."""

    def __init__(self, task: Task, listener: Listener, measured: Measured) -> None:
        self._task, self._listener, self._measured = task, listener, measured

    def __call__(self, kind: str, index: int, what: Any) -> None:
        """Take one message: its kind, the run, and what belongs to it."""
        record, listener = self._task.records[index], self._listener
        if kind == "started":
            listener.started(record)
        elif kind == "progress":
            listener.progress(*what)
        elif kind == "finished":
            self._measured.records.append(what)
            listener.finished(what)
        elif kind == "elsewhere":
            self._measured.elsewhere += 1
            listener.elsewhere(record)
        elif isinstance(what, StoreError):
            raise what  # no other run could be written either
        else:
            self._measured.errors.append(what)
            listener.failed(record, what)


def _measure(task: Task, index: int, device: str, tell: Callable[[str, int, Any], None]) -> None:
    """Measure one run, and tell what happens."""
    tell("started", index, None)
    how: Any = {
        "device": torch.device(device),
        "again": task.again,
        "on_progress": lambda *stage: tell("progress", index, stage),
    }
    record = task.records[index]
    try:
        if record.hessian is None or task.again:
            record = measure_hessian(record, task.settings, task.paths, **how)
        record = study_curvature(
            record, task.studies, task.settings, task.paths, other=task.other, **how
        )
    except Claimed:
        tell("elsewhere", index, None)
    except Exception as error:
        tell("failed", index, error)
    else:
        tell("finished", index, record)


class _Pool:
    """A process for each device, which takes one run after another.

    Args:
        task: The runs.
        devices: Names of the devices.
        tell: Takes what the processes say.
    """

    def __init__(self, task: Task, devices: Sequence[str], tell: _Teller) -> None:
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self._task, self._tell = task, tell
        self._told = context.Queue()
        self._waiting = context.Queue()
        self._open = set(range(len(task.records)))
        for index in (*self._open, *[None] * len(devices)):
            self._waiting.put(index)
        threads = max(1, (os.cpu_count() or 1) // len(devices))
        self._workers: dict[int, BaseProcess] = {}
        self._busy: dict[int, int] = {}
        for number, device in enumerate(devices):
            arguments = (number, task, device, threads, self._waiting, self._told)
            self._workers[number] = context.Process(target=_work, args=arguments, daemon=True)

    def run(self) -> None:
        """Have all runs measured."""
        for worker in self._workers.values():
            worker.start()
        try:
            while self._workers and self._open:
                self._hear()
            for index in sorted(self._open):
                self._tell("failed", index, CurvatureError("no process was left to measure it"))
        finally:
            for worker in self._workers.values():
                worker.terminate()
                worker.join()

    def _hear(self) -> None:
        try:
            number, kind, index, what = self._told.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            self._bury()
            return
        if kind == "over":
            self._workers.pop(number).join()
            return
        if kind == "started":
            self._busy[number] = index
        elif kind != "progress":
            self._open.remove(self._busy.pop(number))
        self._tell(kind, index, what)

    def _bury(self) -> None:
        """Count the run of a process that has died without a word."""
        for number, worker in list(self._workers.items()):
            if worker.exitcode is not None:
                del self._workers[number]
                said = f"its process ended with code {worker.exitcode}; the same command goes on"
                if number in self._busy:
                    index = self._busy.pop(number)
                    self._open.remove(index)
                    self._tell("failed", index, CurvatureError(said))


def _work(number: int, task: Task, device: str, threads: int, waiting: Any, told: Any) -> None:
    """Measure runs until none is waiting; runs in a process of its own."""
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    try:
        while (index := waiting.get()) is not None:
            _measure(task, index, device, lambda *message: told.put((number, *_plain(message))))
        told.put((number, "over", 0, None))
    except KeyboardInterrupt:
        pass


def _plain(message: tuple[str, int, Any]) -> tuple[str, int, Any]:
    """Return a message whose error survives the way to another process."""
    kind, index, what = message
    if kind == "failed" and not isinstance(what, StoreError):
        text = str(what) if isinstance(what, UserError) else f"{type(what).__name__}: {what}"
        return kind, index, CurvatureError(text)
    return message
