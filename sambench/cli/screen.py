"""Messages, tables, summaries and the one form that all progress bars have."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from sambench.cli.column_widths import Entry, in_parts
from sambench.cli.curvature_table import (
    CURVATURE_HEADINGS,
    STUDY_HEADINGS,
    curvature_method,
    curvature_rows,
    study_rows,
    summary_rows,
)
from sambench.cli.remedies import as_typed
from sambench.data.problems import some
from sambench.files.atomic import human

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

    from sambench.data.preparation import Outlook
    from sambench.data.summary import Summary
    from sambench.report.table import Table
    from sambench.store.record import RunRecord

PIPED_WIDTH = 160
"""Columns where the output is no terminal and COLUMNS is not set."""

MOST_WARNINGS = 20
"""Warnings of a kind that are shown one by one."""

MOST_CLASSES = 12
"""Classes that get a column of their own; the images of more are told in a line."""

LONG_LISTING = 500
"""Rows from which on a listing is no longer fitted to the terminal."""


WIDE = 100
"""Columns from which on there is room for a long bar."""


def _console(*, stderr: bool, quiet: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=False, quiet=quiet)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(stderr=stderr, highlight=False, width=PIPED_WIDTH, quiet=quiet)
    return console


class Screen:
    """Where the command line shows things; made for each command.

    Without `results`, standard output is for a program; `tables` keeps what would have been shown.
    """

    def __init__(self, *, quiet: bool = False, results: bool = True) -> None:
        self.out = _console(stderr=False, quiet=quiet or not results)
        self.err = _console(stderr=True, quiet=quiet)
        self.tables: list[Table] = []

    def say(self, text: str) -> None:
        """Show a message."""
        self.err.print(escape(as_typed(text)), soft_wrap=True)

    def warn(self, text: str) -> None:
        """Show something that the user should look at."""
        self.err.print(f"[yellow]{escape(as_typed(text))}[/]", soft_wrap=True)

    def warn_of(self, texts: Sequence[str], what: str) -> None:
        """Show the first of several warnings, and how many more there are."""
        for text in texts[:MOST_WARNINGS]:
            self.warn(text)
        if len(texts) > MOST_WARNINGS:
            self.warn(f"... and {len(texts) - MOST_WARNINGS} more {what}")

    def fail(self, text: str) -> None:
        """Show why the command ends without its result."""
        _console(stderr=True, quiet=False).print(
            f"[bold red]error:[/] {escape(text)}", soft_wrap=True
        )

    def show(self, text: str) -> None:
        """Show a result."""
        self.out.print(escape(as_typed(text)), soft_wrap=True)

    @contextmanager
    def progress(self) -> Iterator[Callable[[int, int, str], None]]:
        """Yield a function to be told (done, total, what); a bar for each `what`."""
        from rich.progress import TimeRemainingColumn

        with progress_bar(self.err, TimeRemainingColumn(compact=True)) as bar:
            tasks: dict[str, TaskID] = {}
            lines = SlowLines(self.err)

            def told(done: int, total: int, what: str) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=total)
                bar.update(tasks[what], completed=done, total=total)
                lines.tell(f"{what}: {done:,} of {total:,}")

            yield told

    def listing(
        self, headings: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None
    ) -> None:
        """Show rows of text under headings; very many as plain lines, in a tenth of the time."""
        listed = list(rows)
        if len(listed) > LONG_LISTING and not self.out.quiet:
            self.out.file.write(_lines(title, [headings, *listed]))
            return
        prefix = _common_beginning([headings, *listed], self.out.width)
        if prefix:
            listed = [(f"…{row[0][len(prefix) :]}", *row[1:]) for row in listed]
        table = _table(title, headings)
        for row in listed:
            table.add_row(*(escape(cell) for cell in row))
        self.out.print(table)
        if prefix:
            self.show(f"… is {prefix}")

    def table(self, table: Table) -> None:
        """Show a comparison: on its side, or in parts, where the terminal is too narrow."""
        self.tables.append(table)
        rows = [[(label, False), *((c.text, c.bold) for c in cells)] for label, cells in table.rows]
        grid: list[list[Entry]] = [[(heading, False) for heading in table.headings], *rows]
        for lines in in_parts(table.title, grid, self.out.width):
            self.out.print(lines, soft_wrap=True)
        for note in table.notes:
            self.out.print(Text(note, style="dim"))
        self.out.print()

    def curvature(self, record: RunRecord, *, verbose: bool = False) -> None:
        """Show a run's curvature, each number with its error: what papers report, or all."""
        if record.hessian is None:
            return
        rows = (curvature_rows if verbose else summary_rows)(record.hessian)
        self.listing(CURVATURE_HEADINGS, rows, record.name)
        self.show(curvature_method(record.hessian))
        for note in record.hessian.get("notes", ()):
            self.show(note)
        self.show("")

    def studies(self, record: RunRecord) -> None:
        """Show what was studied of a run's minimum beyond eigenvalues, if anything was."""
        rows = list(study_rows(record.hessian or {}))
        if rows:
            self.listing(STUDY_HEADINGS, rows, "")

    def outlook(self, outlook: Outlook) -> None:
        """Show what a preparation is about to do and what it takes on the disk."""
        resumed = f", {outlook.resumed:,} of them decoded before" if outlook.resumed else ""
        text = (
            f"preparing {outlook.images:,} images{resumed}: up to {human(outlook.most)} in "
            f"{outlook.folder}, up to {human(outlook.kept)} of it kept; {human(outlook.free)} free"
        )
        (self.warn if outlook.most > outlook.free else self.say)(text)

    def summary(self, summary: Summary) -> None:
        """Show what a prepared dataset consists of."""
        channels = "grey" if summary.channels == 1 else "colour"
        self.show(
            f"{summary.name}: {summary.images} images, {summary.image_size}x{summary.image_size} "
            f"{channels}, from {summary.layout}"
        )
        many = len(summary.classes) > MOST_CLASSES
        if many:
            each = [f"{label} ({summary.by_class[label]})" for label in summary.classes]
            self.show(f"{len(each)} classes (and images): {some(each)}")
        classes = () if many else summary.classes
        headings = ("", *classes, "all")
        rows = [_counts("all", summary.by_class, classes)]
        rows += [_counts(f"centre {k}", v, classes) for k, v in summary.by_centre.items()]
        rows += [_counts(f"fold {k}", v, classes) for k, v in summary.by_fold.items()]
        table = _table(None, headings)
        for column in table.columns[1:]:
            column.justify = "right"
        for row in rows:
            table.add_row(*row)
        self.out.print(table)
        width, height = summary.width, summary.height
        self.show(
            f"sizes on disk: width {width.min}-{width.max} (median {width.median}), "
            f"height {height.min}-{height.max} (median {height.median})"
        )
        self._duplicates(summary)
        for note in summary.notes:
            self.show(f"note: {note}")
        for warning in summary.warnings:
            self.warn(warning)

    def _duplicates(self, summary: Summary) -> None:
        found = summary.duplicates
        if not found.groups:
            self.show("duplicates: no two files are identical")
            return
        self.show(
            f"duplicates: {found.images} images in {_groups(found.groups)} of identical files, "
            f"{found.conflicting} with conflicting labels"
        )
        for first, second in found.examples:
            self.warn(f"conflict: {first} and {second} are the same image with different labels")


def progress_bar(console: Console, *columns: ProgressColumn) -> Progress:
    """Return a bar that is gone when it is done, and absent where there is no terminal."""
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20 if console.width >= WIDE else 8),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal or console.quiet,
    )


class SlowLines:
    """Says how far something is, in a plain line now and then, where no bar can move."""

    SECONDS = 30.0
    """Least time from one line to the next, and from the start to the first."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._last = clock()
        self._said = ""

    def tell(self, text: str) -> None:
        """Say it, if the last line is long ago and was another."""
        early = self._clock() - self._last < self.SECONDS
        if self._console.is_terminal or early or text == self._said:
            return
        self._last, self._said = self._clock(), text
        self._console.print(text, markup=False, soft_wrap=True)


def _lines(title: str | None, rows: Sequence[Sequence[str]]) -> str:
    """Return rows in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join([*([title] if title else []), *lines, ""])


def _common_beginning(rows: Sequence[Sequence[str]], width: int) -> str:
    """Return what all names of the first column begin with, up to a hyphen.

    Nothing where the rows fit into the width, below their headings, or it would save little.
    """
    needed = sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True))
    names = [row[0] for row in rows[1:]]
    shared = "".join(os.path.commonprefix(names).rpartition("-")[:2])  # noqa: RUF071
    return shared if needed > width and len(names) > 1 and len(shared) > 8 else ""


def _groups(number: int) -> str:
    return f"{number} group{'' if number == 1 else 's'}"


def _table(title: str | None, headings: Sequence[str]) -> RichTable:
    table = RichTable(
        title=title, title_justify="left", header_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    for heading in headings:
        longest = max(map(len, heading.split()), default=0)
        table.add_column(heading, overflow="fold", min_width=longest)
    return table


def _counts(name: str, counts: Mapping[str, int], classes: Sequence[str]) -> list[str]:
    """Return a row: the images of each of the classes shown, and of all."""
    numbers = [counts.get(label, 0) for label in classes]
    return [name, *map(str, numbers), str(sum(counts.values()))]
