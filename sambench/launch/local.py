"""Runs on this machine, one after another, stopped cleanly by Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

import torch

from sambench.config import RunConfig
from sambench.errors import StoreError
from sambench.events import Event
from sambench.hessian_settings import HessianSettings
from sambench.minimum import measure_hessian
from sambench.record import COMPLETED, INTERRUPTED, RunRecord
from sambench.run import Paths, run_one
from sambench.store import Claimed


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Who is told what happens, for display.

    Attributes:
        event: A run's own events.
        curvature: Stage of a curvature measurement, what is done of it, the most it may take.
        finished: A run ended, well or not.
        failed: A run raised; its record holds the traceback.
        elsewhere: A run is being done by another process.
    """

    event: Callable[[Event], None] = lambda event: None
    curvature: Callable[[str, int, int], None] = lambda what, done, most: None
    finished: Callable[[RunRecord], None] = lambda record: None
    failed: Callable[[RunConfig, Exception], None] = lambda config, error: None
    elsewhere: Callable[[RunConfig], None] = lambda config: None


@dataclass(kw_only=True)
class Tally:
    """How the runs of a launch ended."""

    records: list[RunRecord] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    elsewhere: int = 0
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """130 interrupted, 1 some run failed or diverged, 0 all well."""
        if self.interrupted:
            return 130
        return int(bool(self.errors) or any(r.status != COMPLETED for r in self.records))


def run_all(
    configs: Iterable[RunConfig],
    paths: Paths,
    *,
    device: torch.device,
    suite: str | None,
    hessian: HessianSettings | None,
    watcher: Watcher,
) -> Tally:
    """Do the runs that are not done, with their curvature; one that fails does not stop the rest.

    Args:
        configs: The runs.
        paths: Where prepared data and results lie.
        device: Where to train.
        suite: Name of the suite that asks for them.
        hessian: How to measure curvature, or None to leave it out.
        watcher: Told what happens.

    Raises:
        StoreError: If the results folder cannot be written.
    """
    tally = Tally()
    with stop_on_signal() as stop_requested:

        def measuring(what: str, done: int, most: int) -> None:
            watcher.curvature(what, done, most)
            if stop_requested():
                raise KeyboardInterrupt

        for config in configs:
            try:
                record = run_one(
                    config,
                    paths,
                    device=device,
                    suite=suite,
                    on_event=watcher.event,
                    stop_requested=stop_requested,
                )
                if hessian is not None and record.status == COMPLETED and record.hessian is None:
                    record = measure_hessian(
                        record, hessian, paths, device=device, on_progress=measuring
                    )
                tally.records.append(record)
                watcher.finished(record)
                tally.interrupted = record.status == INTERRUPTED
            except Claimed:
                tally.elsewhere += 1
                watcher.elsewhere(config)
            except KeyboardInterrupt:
                tally.interrupted = True
            except StoreError:
                raise  # no other run could be written either
            except Exception as error:
                tally.errors.append(error)
                watcher.failed(config, error)
            if tally.interrupted or stop_requested():
                tally.interrupted = True
                break
    return tally


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a request that the loop honours after its step.

    A second one interrupts at once. Outside the main thread signals are left alone.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return

    def request(number: int, frame: FrameType | None) -> None:
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requested.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
