"""Progress bars, and the line printed when a run ends."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import fields

from rich.markup import escape
from rich.progress import Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from sambench.analysis.time_estimates import duration
from sambench.analysis.troubles import skipped
from sambench.cli.screen import WIDE, Screen, SlowLines, progress_bar
from sambench.config.run_config import RunConfig
from sambench.data.source import PARTS
from sambench.errors import ClaimError, DamagedError, RunFailed, UserError, is_of_surroundings
from sambench.launch.launcher import Watcher
from sambench.optim.method import optimizers
from sambench.report.table import counted
from sambench.store.record import COMPLETED, FAILED, RunRecord
from sambench.store.search_record import is_trial
from sambench.store.status import in_one_line
from sambench.training.events import Epoch, Event, Started, Tick


class Overall:
    """How far all runs of a command are; the work of each is epochs times gradients of a step.

    Training is the part of it that it was in the time of the runs that have ended: the rest is the
    measuring of curvature, of which nobody knows how far it is.
    """

    def __init__(
        self, runs: Sequence[RunConfig], clock: Callable[[], float] = time.monotonic
    ) -> None:
        gradients = {info.name: info.gradient_evaluations for info in optimizers.list()}
        self.total = len(runs)
        self.begun = self.ended = 0
        self._work = {r.name: r.epochs * gradients.get(str(r.optimizer["name"]), 1) for r in runs}
        self._whole, self._done = sum(self._work.values()), 0.0
        self._share: dict[str, float] = {}  # of the training of runs that are under way
        self._before: dict[str, float] = {}  # of their training, done by earlier commands
        self._since: dict[str, float] = {}  # when these began
        self._trained: dict[str, float] = {}  # when their training ended
        self._training = self._running = 0.0  # seconds that runs took which have ended
        self._clock, self._start = clock, clock()

    def begin(self, name: str, done: float = 0.0) -> None:
        """Note that a run has begun, or goes on after a share that an earlier command has done."""
        self.begun += 1
        self._since[name] = self._clock()
        self._before[name] = done
        work = self._work.get(name, 0)
        self._whole, self._work[name] = self._whole - work * done, work * (1 - done)

    def reach(self, name: str, share: float) -> None:
        """Note what share of the training of a run is done."""
        if name in self._work:
            before = self._before.get(name, 0.0)
            self._share[name] = (share - before) / (1 - before) if before < 1 else 1.0
            if share == 1:
                self._trained[name] = self._clock()

    def end(self, name: str, *, well: bool) -> None:
        """Note that a run has ended; one that ended early tells nothing about the others' time."""
        self.ended += 1
        work, now = self._work.pop(name, 0), self._clock()
        self._share.pop(name, None)
        trained, since = self._trained.pop(name, now), self._since.pop(name, now)
        if well:
            self._training += trained - since
            self._running += now - since
        self._whole, self._done = self._whole - work * (not well), self._done + work * well

    @property
    def share(self) -> float:
        """Of the work of all runs that is done."""
        training = self._training / self._running if self._running else 1.0
        under_way = sum(self._work[name] * share for name, share in self._share.items())
        return (self._done + training * under_way) / self._whole if self._whole else 1.0

    def __str__(self) -> str:
        """The time left at the pace until now, once a run has ended."""
        taken, share = self._clock() - self._start, self.share
        known = 0 < share < 1 and self.ended
        return f"about {duration(taken * (1 - share) / share)} left" if known else ""


MOST_CLASSES = 10
"""That are listed one by one."""


class RunDisplay:
    """Shows runs as they go: a bar for the current one, a line for each that has ended.

    Where several go at once, each has a bar of its own (`lane`) below that of all together. The
    error of a run `alone` is left out, since the command ends with it. `show` shows a run that has
    ended, where a line would.
    """

    def __init__(
        self,
        screen: Screen,
        runs: Sequence[RunConfig],
        *,
        alone: bool = False,
        show: Callable[[RunRecord], None] | None = None,
    ) -> None:
        self._screen, self._alone, self._show = screen, alone, show
        self._all = Overall(runs)
        self._lines = SlowLines(screen.err)
        name = TextColumn("{task.fields[name]}", table_column=Column(overflow="ellipsis"))
        numbers = TextColumn("{task.fields[numbers]}")
        self._bar = progress_bar(screen.err, numbers, _TimeLeft(compact=True), name)
        self._together = self._add_bar("", total=1.0, together=True) if len(runs) > 1 else None
        self._name, self._is_lane = "", False
        self._task = self._add_bar("starting", visible=True)

    def _add_bar(
        self, what: str, total: float | None = None, *, visible: bool = False, **more: bool
    ) -> TaskID:
        return self._bar.add_task(what, total=total, visible=visible, numbers="", name="", **more)

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
            numbers = f"acc {100 * event.accuracy:.1f} %"
            if not self._is_lane or self._screen.err.width >= WIDE:
                speed = f"{event.images_per_second:.0f} images/s"
                numbers = f"loss {event.loss:.3f}  {numbers}  {speed}"
            done, total = (event.epoch - 1) * event.steps + event.step, event.steps * event.epochs
            self._all.reach(self._name, done / total)
            self._update(f"epoch {event.epoch}/{event.epochs}", done, total, numbers)
        elif isinstance(event, Epoch) and event.validation_accuracy is not None:
            numbers = f"validation acc {100 * event.validation_accuracy:.1f} %"
            self._bar.update(self._task, numbers=numbers)

    def curvature(self, what: str, done: int, most: int) -> None:
        """Show which product, or which batch or point, of a curvature measurement is done."""
        limit, unit = "", "batch" if what == "batches" else "step"
        if what.startswith(("top ", "trace", "density")):
            limit, unit = "" if what == "density" else "at most ", "product"
        shown = what if self._is_lane else f"curvature: {what}"
        self._update(shown, done, most, f"{unit} {done} of {limit}{most}")

    def measuring(self, config: RunConfig) -> None:
        """Show that the curvature of a finished run is being measured."""
        self._name = config.name
        self._update("curvature", 0, None, "")

    def finished(self, record: RunRecord) -> None:
        """Show how a run ended."""
        well = record.status == COMPLETED
        if self._show is not None:
            self._show(record)
        else:
            self._end(record.name, _ending(record), well=well, warn=not well)

    def failed(self, config: RunConfig, error: Exception) -> None:
        """Show the last line of what went wrong in a run, as its traceback would end."""
        if self._alone:
            return
        said = str(error)
        if not isinstance(error, UserError | RunFailed):
            said = " ".join("".join(traceback.format_exception_only(error)).split())
        ended: str = "interrupted" if is_of_surroundings(error) else FAILED
        ended = "damaged" if isinstance(error, DamagedError) else ended
        ended = "not done" if isinstance(error, ClaimError) else ended
        self._end(config.name, f"{ended}: {said}")

    def elsewhere(self, config: RunConfig) -> None:
        """Show that another process does a run."""
        self._end(config.name, "being run by another process", warn=False)

    def say(self, text: str) -> None:
        """Show what a launcher chose or did."""
        self._screen.say(text)

    def waiting(self, what: str, done: int, total: int) -> None:
        """Show how far runs are that are done elsewhere."""
        self._name = ""
        self._update(what, done, total, f"{done} of {total}")

    def watcher(self) -> Watcher:
        """Return who is told what this shows."""
        return Watcher(**{field.name: getattr(self, field.name) for field in fields(Watcher)})

    def lane(self) -> Watcher:
        """Return who is told of one more worker, which has a bar of its own in place of this."""
        self._bar.update(self._task, visible=False)
        self._show_all()
        lane = copy(self)
        lane._name, lane._is_lane, lane._task = "", True, self._add_bar("starting")
        return lane.watcher()

    def _started(self, event: Started) -> None:
        self._name = event.config.name
        config = event.config
        self._all.begin(self._name, ((event.resumed_at or 1) - 1) / config.epochs)
        if self._all.begun == 1:
            self._screen.say(
                f"{config.model} with {event.parameters:,} parameters on {event.device}: "
                f"{_images(event.images)}"
            )
            if event.weights:
                self._screen.say(f"{config.model} starts from weights: {event.weights}")
        if event.resumed_at is not None:
            self._screen.say(f"{self._name}: resumed in epoch {event.resumed_at}")
        self._update("starting", 0, None, "")

    def _show_all(self) -> str:
        """Show how far all runs are; return the time left."""
        left = str(self._all)
        if self._together is not None:
            text = f"{self._all.ended} of {self._all.total} runs"
            share = self._all.share
            self._bar.update(
                self._together, description=text, completed=share, numbers=left, visible=True
            )
        return left

    def _end(self, name: str, how: str, *, well: bool = False, warn: bool = True) -> None:
        """Say how a run ended, and clear its bar."""
        self._all.end(name, well=well)
        self._show_all()
        count = f"{self._all.ended}/{self._all.total} " if self._all.total > 1 else ""
        (self._screen.warn if warn else self._screen.say)(f"{count}{name}: {how}")
        alone = not self._is_lane
        self._bar.reset(self._task, description="", total=None, numbers="", name="", visible=alone)

    def _update(self, what: str, done: int, total: int | None, numbers: str) -> None:
        left, name = self._show_all(), self._name
        share = f"{done} of {total}" if total else ""
        said = " ".join(filter(None, (name, what, numbers or share)))
        ended = f"; {self._all.ended} of {self._all.total} runs done, {left}" if left else ""
        self._lines.tell(f"{said}{ended}")
        if self._is_lane:  # the name first, since the bars are many
            what, numbers, name = self._short_name(), f"{what}  {numbers}".strip(), ""
        self._bar.update(
            self._task,
            description=escape(what),
            completed=done,
            total=total,
            numbers=escape(numbers),
            name=escape(name),
            visible=True,
        )

    def _short_name(self) -> str:
        """Return the end of the run's name but for its id, as much as the terminal has room for."""
        name, width = self._name.rpartition("-")[0], self._screen.err.width
        room = max(8, width - (80 if width >= WIDE else 40))
        return name if len(name) <= room else f"…{name[1 - room :]}"


class _TimeLeft(TimeRemainingColumn):
    """The time left of a run; of all runs together the numbers tell it."""

    def render(self, task: Task) -> Text:
        plain = not task.fields["numbers"] or "together" in task.fields
        return Text() if plain else super().render(task)


def _ending(record: RunRecord) -> str:
    if record.status != COMPLETED or record.final is None or record.cost is None:
        return f"{record.status}: {in_one_line(record.error) or 'no reason recorded'}"
    test, epochs, rule = (record.final[key] for key in ("test", "epochs", "stopped_by"))
    part = "validation" if is_trial(record) else "test"
    accuracy = 100 * record.final[part]["accuracy"]
    text = (
        f"{part} accuracy {accuracy:.1f} % after {counted(epochs, 'epoch')}"
        f"{'' if rule == 'epochs' else f' (stopped by {rule})'}, "
        f"{record.cost['train_seconds']:.1f} s, "
        f"{record.cost['gradient_evaluations']:,.0f} gradient evaluations"
    )
    if left_out := skipped(record):
        text += f", {left_out} left out as not finite"
    if record.hessian:
        text += f", top eigenvalue {record.hessian['top']['value']:.3g}"
        text += f", trace {record.hessian['trace']['value']:.3g}"
    if test["collapsed"]:
        return f"{text}, collapsed to one class"
    chance = test["majority_accuracy"]
    hardly = f", no more than naming the most frequent class for every image ({100 * chance:.1f} %)"
    return text + (hardly if part == "test" and test["accuracy"] <= chance else "")


def _images(by_class: Mapping[str, Sequence[int]]) -> str:
    """Say how many images of each class are in each part; of many classes, the range."""
    parts = zip(PARTS, *by_class.values(), strict=True)
    several = [(name, counts) for name, *counts in parts if sum(counts)]
    total = ", ".join(f"{sum(counts)} {name}" for name, counts in several)
    if len(by_class) > MOST_CLASSES:
        spans = (("-".join(map(str, sorted({min(n), max(n)}))), name) for name, n in several)
        each = ", ".join(f"{span} {name}" for span, name in spans)
        return f"{total} images; of each of {len(by_class)} classes {each}"
    each = ", ".join(
        f"{name} {'/'.join(str(counts[label]) for _, counts in several)}"
        for label, name in enumerate(by_class)
    )
    return f"{total} images; of each class {each}"
