"""Messages, tables and the one form that all progress bars have."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text

from sambench.cli.column_widths import Entry, in_parts
from sambench.cli.grouping import as_typed
from sambench.errors import visible

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

    from sambench.report.table import Table

PIPED_WIDTH = 160
"""Columns where the output is no terminal and COLUMNS is not set."""

MOST_WARNINGS = 20
"""Damaged records that are named one by one."""

LONG_LISTING = 500
"""Rows from which on a listing is not fitted to the terminal, which takes ten times as long."""

WIDE = 100
"""Columns from which on there is room for a long bar."""


class _Guarded(Console):
    """A console whose terminal obeys nothing that stands in a name or an error, only our styles."""

    def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
        """Yield pieces of text with a style each, as rich writes them."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)

    def _write_buffer(self) -> None:
        """Write what was shown; go on where a pipe or terminal is closed that takes messages."""
        try:
            super()._write_buffer()
        except OSError as error:
            if not self.stderr or error.errno not in (errno.EPIPE, errno.EIO):
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _console(*, stderr: bool, quiet: bool) -> Console:
    console = _Guarded(stderr=stderr, highlight=False, emoji=False, quiet=quiet)
    if console.width < 1 or (not console.is_terminal and "COLUMNS" not in os.environ):
        console.width = PIPED_WIDTH  # at a width of 0 nothing at all would be shown
    return console


class Screen:
    """Where the command line shows things; made for each command.

    Without `results`, standard output is for a program; `tables` keeps what would have been shown.
    """

    def __init__(self, *, quiet: bool = False, results: bool = True) -> None:
        self.out = _console(stderr=False, quiet=quiet or not results)
        self.err = _console(stderr=True, quiet=quiet)
        self.tables: list[Table] = []

    def say(self, *texts: str) -> None:
        """Show messages, each on a line."""
        for text in texts:
            self.err.print(escape(as_typed(text)), soft_wrap=True)

    def warn(self, *texts: str) -> None:
        """Show what the user should look at."""
        for text in texts:
            self.err.print(f"[yellow]{escape(as_typed(text))}[/]", soft_wrap=True)

    def warn_of_damage(self, messages: Sequence[str]) -> None:
        """Show the first of the messages on damaged records, and how many more there are."""
        self.warn(*messages[:MOST_WARNINGS])
        if more := len(messages[MOST_WARNINGS:]):
            self.warn(f"... and {more} more records that cannot be read")

    def fail(self, text: str) -> None:
        """Show why the command ends without its result."""
        console = _console(stderr=True, quiet=False)
        console.print(f"[bold red]error:[/] {escape(text)}", soft_wrap=True)

    def show(self, *texts: str) -> None:
        """Show results, each on a line."""
        for text in texts:
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
        self,
        headings: Sequence[str],
        rows: Iterable[Sequence[str]],
        title: str | None = None,
        *,
        numbers: bool = False,
    ) -> None:
        """Show rows of text, if any, under headings; all columns but the first may be `numbers`."""
        listed = list(rows)
        if not listed:
            return
        if len(listed) > LONG_LISTING and not self.out.quiet:
            widths = [max(map(len, column)) for column in zip(headings, *listed, strict=True)]
            lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in (headings, *listed))
            self.out.file.write(visible("\n".join([*([title] if title else []), *lines, ""])))
            return
        prefix = _common_beginning([headings, *listed], self.out.width)
        if prefix:
            listed = [(f"…{row[0][len(prefix) :]}", *row[1:]) for row in listed]
        table = RichTable(
            title=title, title_justify="left", header_style="bold", box=None, padding=(0, 2, 0, 0)
        )
        for place, heading in enumerate(headings):
            table.add_column(
                escape(heading),
                justify="right" if numbers and place else "left",
                overflow="fold",
                min_width=max(map(len, heading.split()), default=0),
            )
        for row in listed:
            table.add_row(*map(escape, row))
        self.out.print(table)
        if prefix:
            self.show(f"… is {prefix}")

    def table(self, *tables: Table) -> None:
        """Show comparisons: on their side, or in parts, where the terminal is too narrow."""
        self.tables += tables
        for table in tables:
            grid: list[list[Entry]] = [[(heading, False) for heading in table.headings]]
            grid += [[(name, False), *((c.text, c.bold) for c in row)] for name, row in table.rows]
            for lines in in_parts(table.title, grid, self.out.width):
                self.out.print(lines, soft_wrap=True)
            for note in table.notes:
                self.out.print(Text(note, style="dim"))
            self.out.print()

    def answer(self) -> dict[str, Any]:
        """Return the comparisons as they were shown, for a program."""
        return {
            "tables": [
                {
                    "title": table.title,
                    "headings": list(table.headings),
                    "rows": [[label, *(cell.text for cell in row)] for label, row in table.rows],
                    "notes": list(table.notes),
                }
                for table in self.tables
            ]
        }


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
        self._console, self._clock = console, clock
        self._last, self._said = clock(), ""

    def tell(self, text: str) -> None:
        """Say it, if the last line is long ago and was another."""
        early = self._clock() - self._last < self.SECONDS
        if self._console.is_terminal or early or text == self._said:
            return
        self._last, self._said = self._clock(), text
        self._console.print(text, markup=False, soft_wrap=True)


def _common_beginning(rows: Sequence[Sequence[str]], width: int) -> str:
    """Return the beginning of all names of the first column, up to a hyphen, if it saves width."""
    needed = sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True))
    names = [row[0] for row in rows[1:]]
    shared = "".join(os.path.commonprefix(names).rpartition("-")[:2])  # noqa: RUF071
    return shared if needed > width and len(names) > 1 and len(shared) > 8 else ""
