"""Bars that move on a terminal, and the lines that stay when a run has ended."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from rich.markup import escape
from rich.progress import (
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from sambench.cli.progress_bar import SlowLines, progress_bar
from sambench.cli.screen import Screen
from sambench.config.run_config import RunConfig
from sambench.errors import RunFailed, UserError
from sambench.store.record import COMPLETED, RunRecord
from sambench.training.events import Epoch, Event, Started, Tick


@dataclass
class Counts:
    """Runs begun and ended, counted together where several go at once."""

    begun: int = 0
    ended: int = 0


class RunDisplay:
    """Shows runs as they go: a bar for the current one, a line for each that has ended.

    Args:
        screen: Where to show.
        total: How many runs there are.
        beside: The display below whose bar this one has its own, where several runs go at once.
    """

    def __init__(self, screen: Screen, total: int, beside: RunDisplay | None = None) -> None:
        self._screen = screen
        self._total = total
        self._name = ""
        self._counts: Counts = beside._counts if beside else Counts()
        self._bar: Progress = beside._bar if beside else _bar(screen)
        self._lines: SlowLines = beside._lines if beside else SlowLines(screen.err)
        self._task = self._bar.add_task(
            "starting", total=None, numbers="", name="", visible=beside is None
        )

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
        """Show which product, or which batch or point, of a curvature measurement is done."""
        unit = "product" if what.startswith(("top ", "trace", "density")) else "step"
        unit = "batch" if what == "batches" else unit
        limit = "at most " if unit == "product" and what != "density" else ""
        self._update(f"curvature: {what}", done, most, f"{unit} {done} of {limit}{most}")

    def measuring(self, config: RunConfig) -> None:
        """Show that the curvature of a finished run is being measured."""
        self._name = config.name
        self._update("curvature", 0, None, "")

    def finished(self, record: RunRecord) -> None:
        """Show how a run ended."""
        line = f"{self._count()}{record.name}: {_ending(record)}"
        (self._screen.say if record.status == COMPLETED else self._screen.warn)(line)
        self._clear()

    def failed(self, config: RunConfig, error: Exception) -> None:
        """Show the last line of what went wrong in a run, as its traceback would end."""
        lines = traceback.format_exception_only(error)
        plain = isinstance(error, UserError | RunFailed)
        said = str(error) if plain else " ".join("".join(lines).split())
        self._screen.warn(f"{self._count()}{config.name}: failed: {said}")
        self._clear()

    def elsewhere(self, config: RunConfig) -> None:
        """Show that another process does a run."""
        self._screen.say(f"{self._count()}{config.name}: being run by another process")
        self._clear()

    def say(self, text: str) -> None:
        """Show what a launcher chose or did."""
        self._screen.say(text)

    def waiting(self, what: str, done: int, total: int) -> None:
        """Show how far runs are that are done elsewhere."""
        self._name = ""
        self._update(what, done, total, f"{done} of {total}")

    def lane(self) -> RunDisplay:
        """Return a display with a bar of its own below this one's, for one more worker."""
        self._bar.update(self._task, visible=False)
        return RunDisplay(self._screen, self._total, beside=self)

    def _started(self, event: Started) -> None:
        self._counts.begun += 1
        self._name = event.config.name
        if self._counts.begun == 1:
            validation = f", {event.validation} validation" if event.validation else ""
            self._screen.say(
                f"{event.config.model} with {event.parameters:,} parameters on {event.device}: "
                f"{event.train} train{validation}, {event.test} test images, "
                f"{event.classes} classes"
            )
        if event.resumed_at is not None:
            self._screen.say(f"{event.config.name}: resumed in epoch {event.resumed_at}")
        self._update("starting", 0, None, "")

    def _count(self) -> str:
        self._counts.ended += 1
        return f"{self._counts.ended}/{self._total} " if self._total > 1 else ""

    def _clear(self) -> None:
        self._bar.reset(self._task, description="", total=None, numbers="", name="")

    def _update(self, what: str, done: int, total: int | None, numbers: str) -> None:
        self._lines.tell(" ".join(filter(None, (self._name, what, numbers or _share(done, total)))))
        self._bar.update(
            self._task,
            description=escape(what),
            completed=done,
            total=total,
            numbers=numbers,
            name=escape(self._name),
            visible=True,
        )


def _bar(screen: Screen) -> Progress:
    """Return a bar whose last column, the run's name, is what gives way on a narrow terminal."""
    name = TextColumn("{task.fields[name]}", table_column=Column(overflow="ellipsis"))
    return progress_bar(
        screen.err, TextColumn("{task.fields[numbers]}"), TimeRemainingColumn(compact=True), name
    )


def _share(done: int, total: int | None) -> str:
    return f"{done} of {total}" if total else ""


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
