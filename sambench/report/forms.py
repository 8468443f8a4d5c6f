"""Tables and reports as LaTeX, Markdown, CSV, Excel and plain values for programs."""

from __future__ import annotations

import html
import io
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

from sambench.analysis.comparison import Comparison
from sambench.analysis.groups import Group
from sambench.analysis.metrics import collapsed, measured, values_at
from sambench.config.run_config import DEFAULTS, LATER, OF_REPLICAS, RunConfig
from sambench.errors import visible
from sambench.files.atomic import csv_text
from sambench.files.yaml_text import read_own_yaml
from sambench.report.table import Cell, Document, Section, Table, slug
from sambench.report.wording import environment

if TYPE_CHECKING:
    import jinja2

    from sambench.analysis.predictions import Predictions

Rows = Iterable[Iterable[Any]]
"""The names of the columns, then the rows."""

VERSION = 2
"""Of `--json`."""

_ESCAPES = str.maketrans(read_own_yaml("sambench.report", "latex.yaml"))
_UNITS, _MINUS = re.compile(r" \(\d+\)"), re.compile(r"(?<!\w)-(?=\d)")


def to_latex(table: Table, label: str) -> str:
    r"""Return a float that needs `\usepackage{booktabs,graphicx}`, in one or two columns.

    Many columns span the page (`table*`), and what is wider still is shrunk. The number of units is
    in the caption where it is one number; the notes stand below the rules.
    """
    return _latex("table.tex").render(table=table, label=label)


def latex_document(tables: Mapping[str, Table]) -> str:
    """Return a document that compiles by itself and shows every table, by the stem of its file.

    Letters that pdfLaTeX does not have, as Chinese ones of names, it shows as their numbers.
    """
    used = {letter for label, table in tables.items() for letter in to_latex(table, label)}
    unknown = sorted(f"{ord(c):X}" for c in used if ord(c) > 0x2FF and not "‐" <= c <= "‧")
    return _latex("all-tables.tex").render(stems=tables, unknown=unknown)


def escape(text: str) -> str:
    """Return the text with every character that LaTeX reads otherwise written out."""
    return text.translate(_ESCAPES)


def _latex_heading(text: str) -> str:
    lines = textwrap.wrap(text, 13) or [""]
    joined = r"\\".join(map(escape, lines))
    return rf"\shortstack[b]{{{joined}}}" if len(lines) > 1 else joined


def _latex_cell(cell: Cell, units: int | None) -> str:
    # the caption says the number of units where it is one
    text = _MINUS.sub("$-$", escape(cell.text if units is None else _UNITS.sub("", cell.text)))
    return rf"\textbf{{{text}}}" if cell.bold else text


def document_markdown(document: Document, drawn: Mapping[int, str]) -> str:
    """Return a whole report as GitHub Markdown; `drawn` has pictures of tables, by the table's id.

    Below each table are its notes. What names have of HTML or Markdown stands as it is written.
    """
    return pages().get_template("report.md").render(document=document, drawn=drawn)


_READ = re.compile(
    r"`[^`\n|]*`|<(?=[A-Za-z/!?])|&(?=#?\w+;)|^\*(?= )|\*+(?=[^\s*])|(?<![A-Za-z0-9_])_+(?=\w)|\$"
    r"|\[(?=[^]\n]*\]\()|\\(?=[^\w\s])"
)
"""Code, and what else Markdown would not show as it stands."""


def _markdown(text: str) -> str:
    """Return a text in which Markdown finds nothing but code in backquotes."""
    how: dict[str, Callable[[str], str]] = {"`": str, "<": html.escape, "&": html.escape}
    by_backslash = partial(re.sub, "(.)", r"\\\1")
    return _READ.sub(lambda found: how.get(found[0][0], by_backslash)(found[0]), text)


@cache
def pages() -> jinja2.Environment:
    """Return what fills the templates of pages and tables too."""
    from markupsafe import Markup

    found = environment()
    found.filters |= {
        "anchor": slug,
        "latex": to_latex,
        "tex": escape,
        "heading": _latex_heading,
        "number": _latex_cell,
        "markdown": _markdown,
        "bar": lambda text: _markdown(text).replace("|", r"\|"),
        "code": lambda text: Markup(re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))),
    }
    return found


@cache
def _latex(name: str) -> jinja2.Template:
    """Return a template of LaTeX, whose braces mean nothing: what is filled in stands in <<>>."""
    return pages().overlay("<%", "%>", "<<", ">>", "<#", "#>").get_template(name)


def numbers_of(table: Table) -> list[list[Any]]:
    """Return headings and rows in numbers: mean, sd, n, low, high ... a column each; words as such.

    A column of the table without any number has its text.
    """
    columns: list[list[Any]] = [[table.headings[0], *(label for label, _ in table.rows)]]
    for place, heading in enumerate(table.headings[1:]):
        cells = [row[place] if place < len(row) else Cell(text="") for _, row in table.rows]
        keys = dict.fromkeys(key for cell in cells for key in cell.numbers)
        numbers = [[f"{heading}: {key}", *(c.numbers.get(key) for c in cells)] for key in keys]
        columns += numbers or [[heading, *(cell.text for cell in cells)]]
    return [*map(list, zip(*columns, strict=True))]


def runs_table(groups: Sequence[Group]) -> Rows:
    """Yield a row for each run: its state, every setting, and every metric that any run has.

    Settings are `dataset`, `model`, `optimizer.name`, `optimizer.rho` ...; metrics go by their
    names and are as printed: percent, seconds, eigenvalues. What a run lacks is None in its row.
    Its `part` is that of its group: from 2 on for other images or code than those of most runs.
    """
    runs = [run for group in groups for run in group.records]
    configs = [run.config for run in runs]
    columns: dict[str, Sequence[Any]] = {
        **{name: values_at(runs, name) for name in ("id", "name", "suite", "status")},
        "collapsed": [collapsed(run) for run in runs],
        "error": values_at(runs, "error"),
        "part": [group.part for group in groups for _ in group.records],
    }
    for name in RunConfig.__struct_fields__:
        values = values_at(runs, f"config.{name}")
        usual = name in (*LATER, *OF_REPLICAS) and all(v == DEFAULTS[name] for v in values)
        if name not in ("optimizer", "stop") and not usual:
            columns[name] = values
    for name in ("stop.rule", "stop.value"):
        columns[name] = values_at(runs, f"config.{name}")
    for name in dict.fromkeys(name for config in configs for name in config.optimizer):
        columns[f"optimizer.{name}"] = [config.optimizer.get(name) for config in configs]
    columns |= {metric.name: metric.numbers(runs) for metric in measured(runs)}
    yield columns
    yield from zip(*columns.values(), strict=True)


def predictions_table(groups: Iterable[Group], predictions: Mapping[str, Predictions]) -> Rows:
    """Yield a row for each test image of each run whose predictions are there, by the run's id.

    The label and the most probable class are classes by name; `probability CLASS` is a column for
    each class of any run, None for those that a run does not have.
    """
    runs = [run for group in groups for run in group.records if run.id in predictions]
    classes = {run.id: (run.data or {})["classes"] for run in runs}
    every = dict.fromkeys(name for names in classes.values() for name in names)
    columns = ("run", "optimizer", "seed", "fold", "image", "label", "predicted")
    yield (*columns, *(f"probability {name}" for name in every))
    for run in runs:
        config, found, own = run.config, predictions[run.id], classes[run.id]
        for image, label, shares in zip(found.ids, found.labels, found.probabilities, strict=True):
            share = dict(zip(own, shares.tolist(), strict=True))
            said = (image, own[label], own[shares.argmax()], *map(share.get, every))
            yield (run.name, config.optimizer["name"], config.seed, config.fold, *said)


def comparisons_table(found: Iterable[Comparison]) -> Rows:
    """Return a row for each comparison, in numbers."""
    rows = [plain_comparison(one) for one in found]
    return [rows[0] if rows else {}, *(row.values() for row in rows)]


def to_csv(rows: Rows) -> str:
    """Return rows as a CSV file.

    A text that a spreadsheet would take for a formula, such as a class "=1+1", begins with a `'`.
    """
    formula = re.compile(r"[=@\t\r]|[+-](?![\d.]*$)").match

    @lru_cache(maxsize=1024)  # most texts stand in many rows
    def safe(text: str) -> str:
        return "'" * bool(formula(text)) + visible(text)

    return csv_text([safe(c) if isinstance(c, str) else c for c in row] for row in rows)


def to_xlsx(tables: Sequence[Table]) -> bytes:
    """Return a workbook with a sheet for each table: its numbers, then its notes.

    Text that begins like a formula stays text.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font
    from openpyxl.writer.excel import ExcelWriter

    book = Workbook(write_only=True)
    bold = Font(bold=True)
    for number, table in enumerate(tables, start=1):
        sheet = book.create_sheet(re.sub(r"[^\w .-]+", " ", f"{number} {table.title}")[:31])

        def cell(value: Any, strong: bool = False, sheet: Any = sheet) -> Any:
            made = WriteOnlyCell(sheet, visible(value) if isinstance(value, str) else value)
            if isinstance(value, str):
                made.data_type = "s"
            if strong:
                made.font = bold
            return made

        sheet.append([cell(table.title, True)])
        head, *rows = numbers_of(table)
        sheet.append([cell(value, True) for value in head])
        for row in (*rows, *([note] for note in table.notes)):
            sheet.append([cell(value) for value in row])
    written = io.BytesIO()
    book.properties.created = book.properties.modified = datetime(*_Undated.DATE)
    ExcelWriter(book, _Undated(written, "w", ZIP_DEFLATED)).save()
    return written.getvalue()


class _Undated(ZipFile):
    """A zip file with one date for all, so that equal tables are equal files."""

    DATE = (1980, 1, 1, 0, 0, 0)  # the first that there can be

    def open(self, name: Any, *how: Any, **options: Any) -> Any:
        """Begin to write what is to be of a name."""
        name.date_time = self.DATE
        return super().open(name, *how, **options)


def plain_comparison(one: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values: what `comparisons.csv` and `--json` have of it."""
    low, high = one.images or (None, None)
    test = one.design.test if one.p is not None else None
    return {
        **{"setting": one.setting, "settings": one.settings, "metric": one.metric.name},
        **{"baseline": one.baseline, "candidate": one.candidate},
        **{"scale": "ratio" if one.metric.ratio else "difference", "unit": one.metric.unit},
        **{"n": one.n, "counted": one.design.unit},
        **{"estimate": one.estimate, "low": one.low, "high": one.high},
        **{"p": one.p, "p_equivalent": one.p_equivalent, "verdict": one.verdict},
        **{"test": test, "family": one.family, "least_units": one.design.least_units},
        **{"lost_baseline": one.lost[0], "lost_candidate": one.lost[1]},
        **{"lost_count_in_p": one.counted},
        **{"dz": one.effect, "sd": one.sd, "wins": one.wins, "pairs": one.pairs},
        **{"low_with_other_images": low, "high_with_other_images": high},
    }


def to_plain(document: Document, written: Sequence[Path]) -> dict[str, Any]:
    """Return what JSON can hold: answer, every statement, tables, figures, files.

    A cell has `text` as printed and, where numbers are behind it, these: `mean`, `sd`, `n` ...
    """
    return {
        "version": VERSION,
        "title": document.title,
        "answer": list(document.answer),
        "statements": [plain_comparison(one) for one in document.study.every()],
        "results": [_plain_section(section) for section in document.results],
        "figures": [
            {"name": picture.stem, "title": picture.title, "caption": picture.caption}
            for picture in document.pictures
        ],
        "rest": [_plain_section(section) for section in document.rest],
        "written": [str(path) for path in written],
    }


def _plain_section(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "paragraphs": list(section.paragraphs),
        "items": list(section.items),
        "tables": [
            {
                "title": table.title,
                "headings": list(table.headings),
                "rows": [
                    {
                        "label": label,
                        "cells": [{"text": c.text, "best": c.bold, **c.numbers} for c in cells],
                    }
                    for label, cells in table.rows
                ],
                "notes": list(table.notes),
            }
            for table in section.tables
        ],
    }
