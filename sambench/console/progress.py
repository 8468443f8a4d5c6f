"""Bars that move on a terminal, and the lines that stay when a run has ended."""

from __future__ import annotations

import traceback

from rich.markup import escape
from rich.progress import (
    TextColumn,
    TimeRemainingColumn,
)

from sambench.config import RunConfig
from sambench.console.bar import progress_bar
from sambench.console.screen import Screen
from sambench.errors import UserError
from sambench.events import Epoch, Event, Started, Tick
from sambench.record import COMPLETED, RunRecord


class RunDisplay:
    """Shows runs as they go: a bar for the current one, a line for each that has ended.

    Args:
        screen: Where to show.
        total: How many runs there are.
    """

    def __init__(self, screen: Screen, total: int) -> None:
        self._screen = screen
        self._total = total
        self._number = 0
        self._name = ""
        self._bar = progress_bar(
            screen.err, TextColumn("{task.fields[numbers]}"), TimeRemainingColumn()
        )
        self._task = self._bar.add_task("", total=None, numbers="")

    def __enter__(self) -> RunDisplay:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def event(self, event: Event) -> None:
        """Show what a run tells."""
        if isinstance(event, Started):
            self._started(event)
        elif isinstance(event, Tick):
            numbers = (
                f"loss {event.loss:.3f}  acc {100 * event.accuracy:.1f} %  "
                f"{event.images_per_second:.0f} images/s"
            )
            done = (event.epoch - 1) * event.steps + event.step
            self._update(
                f"epoch {event.epoch}/{event.epochs}", done, event.steps * event.epochs, numbers
            )
        elif isinstance(event, Epoch) and event.validation_accuracy is not None:
            self._bar.update(
                self._task, numbers=f"validation acc {100 * event.validation_accuracy:.1f} %"
            )

    def curvature(self, what: str, done: int, most: int) -> None:
        """Show the progress of a curvature measurement."""
        self._update(f"curvature: {what}", done, most, "")

    def measuring(self, config: RunConfig) -> None:
        """Show that the curvature of a finished run is being measured."""
        self._name = config.name
        self._update("curvature", 0, None, "")

    def finished(self, record: RunRecord) -> None:
        """Show how a run ended."""
        counter = f"{self._number}/{self._total} " if self._total > 1 else ""
        line = f"{counter}{record.name}: {_ending(record)}"
        (self._screen.say if record.status == COMPLETED else self._screen.warn)(line)
        self._bar.reset(self._task, description="", total=None, numbers="")

    def failed(self, config: RunConfig, error: Exception) -> None:
        """Show the last line of what went wrong in a run, as its traceback would end."""
        lines = traceback.format_exception_only(error)
        said = str(error) if isinstance(error, UserError) else " ".join("".join(lines).split())
        self._screen.warn(f"{config.name}: failed: {said}")

    def elsewhere(self, config: RunConfig) -> None:
        """Show that another process does a run."""
        self._screen.say(f"{config.name}: being run by another process")

    def _started(self, event: Started) -> None:
        self._number += 1
        self._name = event.config.name
        if self._number == 1:
            validation = f", {event.validation} validation" if event.validation else ""
            self._screen.say(
                f"{event.config.model} with {event.parameters:,} parameters on {event.device}: "
                f"{event.train} train{validation}, {event.test} test images, "
                f"{event.classes} classes"
            )
        if event.resumed_at is not None:
            self._screen.say(f"{event.config.name}: resumed in epoch {event.resumed_at}")
        self._update("starting", 0, None, "")

    def _update(self, what: str, done: int, total: int | None, numbers: str) -> None:
        description = f"{escape(self._name)} {what}"
        self._bar.update(
            self._task, description=description, completed=done, total=total, numbers=numbers
        )


def _ending(record: RunRecord) -> str:
    if record.status != COMPLETED or record.final is None or record.cost is None:
        last = (record.error or "no reason recorded").strip().splitlines()[-1]
        return f"{record.status}: {last}"
    test = record.final["test"]
    text = (
        f"test accuracy {100 * test['accuracy']:.1f} % after {record.final['epochs']} epochs "
        f"({record.final['stopped_by']}), {record.cost['train_seconds']:.1f} s, "
        f"{record.cost['gradient_evaluations']:,.0f} gradient evaluations"
    )
    if record.hessian:
        text += f", top eigenvalue {record.hessian['top']['value']:.3g}"
        text += f", trace {record.hessian['trace']['value']:.3g}"
    return text + (", collapsed to one class" if test["collapsed"] else "")
