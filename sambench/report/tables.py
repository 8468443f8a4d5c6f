"""The paper's table from stored records: one object, and its Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sambench.analysis.groups import Group, Line, groups
from sambench.analysis.statistics import Summary
from sambench.record import COMPLETED, RunRecord

COLLAPSED, UNCONVERGED = "‡", "†"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A measured quantity.

    Attributes:
        title: Heading.
        value: Takes a completed record; None where it was not measured.
        best: Picks the mean to print in bold; None where no value is better than another.
        decimals: Digits after the point; None for three significant ones.
        converged: Whether the value can be trusted.
    """

    title: str
    value: Callable[[RunRecord], float | None]
    best: Callable[[Iterable[float]], float] | None = None
    decimals: int | None = None
    converged: Callable[[RunRecord], bool] = lambda record: True


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One printed cell and the summary behind it."""

    text: str
    summary: Summary | None = None
    bold: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """A comparison ready to be shown in any form.

    Attributes:
        title: One line.
        headings: Of each column; the first is the optimizer's.
        rows: A label and a cell for each further heading.
        notes: What a reader must know, one sentence each.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...]


def _hessian(*path: str) -> Callable[[RunRecord], float | None]:
    def value(record: RunRecord) -> float | None:
        found: object = record.hessian
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return float(found) if isinstance(found, int | float) else None

    return value


def _hessian_converged(key: str) -> Callable[[RunRecord], bool]:
    def converged(record: RunRecord) -> bool:
        section = record.hessian or {}
        found = section.get(key)
        return bool(found.get("converged", True)) if isinstance(found, dict) else True

    return converged


def _accuracy(record: RunRecord) -> float | None:
    return 100 * float(record.final["test"]["accuracy"]) if record.final else None


def _seconds(record: RunRecord) -> float | None:
    return float(record.cost["train_seconds"]) if record.cost else None


def _passes(record: RunRecord) -> float | None:
    return float(record.cost["gradient_evaluations"]) if record.cost else None


def columns(in_minutes: bool) -> tuple[Column, ...]:
    """Return the paper's columns, and gradient evaluations, the cost that no machine changes."""
    unit, scale = ("min", 60.0) if in_minutes else ("s", 1.0)

    def time(record: RunRecord) -> float | None:
        seconds = _seconds(record)
        return None if seconds is None else seconds / scale

    top, trace, batches = (_hessian_converged(key) for key in ("top", "trace", "batch_spectrum"))
    return (
        Column(title="Test accuracy (%)", value=_accuracy, best=max, decimals=1),
        Column(title=f"Training time ({unit})", value=time, best=min, decimals=1),
        Column(title="Gradient evaluations", value=_passes, best=min, decimals=0),
        Column(title="Top eigenvalue", value=_hessian("top", "value"), best=min, converged=top),
        Column(title="Median", value=_hessian("median"), best=min, converged=batches),
        Column(title="Mean", value=_hessian("mean"), best=min, converged=batches),
        Column(title="SD", value=_hessian("std"), best=min, converged=batches),
        Column(title="Trace", value=_hessian("trace", "value"), best=min, converged=trace),
    )


def build_tables(records: Iterable[RunRecord], baseline: str | None = None) -> tuple[Table, ...]:
    """Return a table for each dataset, model and protocol among the records."""
    return tuple(_table(comparison) for comparison in groups(records, baseline))


def _table(comparison: Group) -> Table:
    done = [record for line in comparison.lines for record in line.completed]
    chosen = columns(in_minutes=any((_seconds(record) or 0) > 120 for record in done))
    rows = [
        (line.label, tuple(_cell(line, column) for column in chosen)) for line in comparison.lines
    ]
    return Table(
        title=f"{comparison.setting.model} on {comparison.setting.dataset}",
        headings=("Optimizer", *(column.title for column in chosen)),
        rows=_with_bold(rows, chosen),
        notes=tuple(_notes(comparison, done)),
    )


def _cell(line: Line, column: Column) -> Cell:
    values = [(r, value) for r in line.completed if (value := column.value(r)) is not None]
    summary = Summary.of([value for _, value in values])
    if summary is None:
        return Cell(text="–")
    flags = "" if all(column.converged(r) for r, _ in values) else UNCONVERGED
    flags += COLLAPSED if any(r.final and r.final["test"]["collapsed"] for r, _ in values) else ""
    return Cell(text=format_summary(summary, column.decimals) + flags, summary=summary)


def format_summary(summary: Summary, decimals: int | None) -> str:
    """Write `mean ± SD (n)`; without decimals given, the mean has three significant digits."""
    if decimals is None:
        magnitude = math.floor(math.log10(abs(summary.mean))) if summary.mean else 0
        form = f".{max(0, 2 - magnitude)}f" if magnitude >= -3 else ".2e"
    else:
        form = f".{decimals}f"
    mean = f"{summary.mean:{form}}"
    spread = "" if summary.sd is None else f" ± {summary.sd:{form}}"
    return f"{mean}{spread} ({summary.n})"


def _with_bold(
    rows: list[tuple[str, tuple[Cell, ...]]], chosen: tuple[Column, ...]
) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    """Print the best mean of each column in bold, unless a flagged cell has it or all are equal."""
    bold: set[tuple[int, int]] = set()
    for place, column in enumerate(chosen):
        means = {
            index: cells[place].summary.mean  # type: ignore[union-attr]
            for index, (_, cells) in enumerate(rows)
            if cells[place].summary and not cells[place].text.endswith((COLLAPSED, UNCONVERGED))
        }
        if column.best is not None and len(set(means.values())) > 1:
            best = column.best(means.values())
            bold |= {(index, place) for index, mean in means.items() if mean == best}
    return tuple(
        (
            label,
            tuple(
                Cell(text=cell.text, summary=cell.summary, bold=(index, place) in bold)
                for place, cell in enumerate(cells)
            ),
        )
        for index, (label, cells) in enumerate(rows)
    )


def _notes(comparison: Group, done: list[RunRecord]) -> Iterable[str]:
    setting = comparison.setting
    yield "Cells are mean ± SD (number of runs); bold is the best mean of its column."
    yield _protocol(comparison, done)
    yield from _curvature_note(done)
    missing = [r for line in comparison.lines for r in line.records if r.status != COMPLETED]
    for status in sorted({record.status for record in missing}):
        names = [record.name for record in missing if record.status == status]
        yield f"Not counted, {status}: {', '.join(names)}."
    if any(record.final and record.final["test"]["collapsed"] for record in done):
        yield f"{COLLAPSED} a run predicts one class for every test image (collapsed)."
    if any(not column.converged(r) for r in done for column in columns(in_minutes=False)):
        yield f"{UNCONVERGED} not converged within its budget; its error is in the record."
    if setting.stop.rule != "epochs":
        met = sum(bool(record.final and record.final["target_met"]) for record in done)
        yield f"Stop rule {setting.stop.rule} was met by {met} of {len(done)} runs."


def _protocol(comparison: Group, done: list[RunRecord]) -> str:
    setting = comparison.setting
    sizes = sorted({(r.data["train"], r.data["test"]) for r in done if r.data})
    parts = (
        f" ({'; '.join(f'{train} train, {test} test' for train, test in sizes)})" if sizes else ""
    )
    rates = sorted(
        {float(str(line.optimizer["lr"])) for line in comparison.lines if "lr" in line.optimizer}
    )
    stop = setting.stop.rule + ("" if setting.stop.value is None else f" {setting.stop.value:g}")
    until = (
        f"{setting.epochs} epochs"
        if stop == "epochs"
        else f"until {stop}, at most {setting.epochs} epochs"
    )
    start = "pretrained" if setting.pretrained else "from scratch"
    hardware = sorted(
        {str(r.environment["gpu"] or r.environment["cpu"]) for r in done if r.environment}
    )
    return (
        f"{setting.image_size} px images, split {setting.split}{parts}, {start}, batch "
        f"{setting.batch_size}, lr {', '.join(f'{rate:g}' for rate in rates)} "
        f"({setting.schedule}), {until}, {setting.selection} weights, {setting.precision}, "
        f"on {'; '.join(hardware) or 'no finished run'}."
    )


def _curvature_note(done: list[RunRecord]) -> Iterable[str]:
    sections = [record.hessian for record in done if record.hessian]
    for definition in sorted({str(section["definition"]) for section in sections}):
        samples = sorted({int(s["samples"]) for s in sections if s["definition"] == definition})
        yield (
            "Top eigenvalue and trace: Hessian of the mean loss over "
            f"{' or '.join(map(str, samples))} training images, evaluation mode. Median, mean and "
            f"SD: over their batches ({definition})."
        )


def to_markdown(table: Table) -> str:
    """Return the table as GitHub Markdown with its notes."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    body = [
        line([label, *(f"**{c.text}**" if c.bold else c.text for c in cells)])
        for label, cells in table.rows
    ]
    rule = line(["---", *["---:"] * (len(table.headings) - 1)])
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([f"## {table.title}", "", line(table.headings), rule, *body, "", *notes, ""])
