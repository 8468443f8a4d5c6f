"""Tables and reports as LaTeX, Markdown, CSV, Excel and plain values for programs."""

from __future__ import annotations

import csv
import html
import io
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from sambench.analysis.frame import plain_comparison
from sambench.report.document import Document, Section
from sambench.report.table import Cell, Table, counted, listed, points, signed, slug, was

if TYPE_CHECKING:
    import jinja2
    from openpyxl import Workbook

VERSION = 2
"""Of `--json`."""

MOST_NAMED = 6
"""Optimizers that a sentence names; of more it gives the number."""

WIDE = 5
"""Columns from which on a table spans both columns of a paper."""

_ESCAPES = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", "–": "--", "“": "``", "”": "''",
        "†": r"$^{\dagger}$", "‡": r"$^{\ddagger}$", "§": r"$^{\S}$", "≈": r"$^{\approx}$",
        "*": r"$^{*}$", "×": r"$\times$", "÷": r"$\div$", "≥": r"$\geq$", "≤": r"$\leq$",
    }
)  # fmt: skip


def to_latex(table: Table) -> str:
    r"""Return a float that needs `\usepackage{booktabs,graphicx}`, in one or two columns.

    Many columns span the page (`table*`), and what is wider still is shrunk. The number of units is
    in the caption where it is one number; the notes stand below the rules.
    """
    star = "*" if len(table.headings) > WIDE else ""
    return _latex("table.tex").render(table=table, star=star)


def latex_document(stems: Iterable[str]) -> str:
    """Return a document that compiles by itself and shows every table."""
    return _latex("all-tables.tex").render(stems=stems)


def escape(text: str) -> str:
    """Return the text with every character that LaTeX reads otherwise written out."""
    return text.translate(_ESCAPES)


def _latex_heading(text: str) -> str:
    lines = textwrap.wrap(text, 13) or [""]
    joined = r"\\".join(map(escape, lines))
    return rf"\shortstack[b]{{{joined}}}" if len(lines) > 1 else joined


def _latex_cell(cell: Cell, units: int | None) -> str:
    # the caption says the number of units where it is one
    text = escape(cell.text if units is None else re.sub(r" \(\d+\)", "", cell.text))
    text = re.sub(r"(?<!\w)-(?=\d)", "$-$", text)
    return rf"\textbf{{{text}}}" if cell.bold else text


def document_markdown(document: Document, drawn: Mapping[int, str]) -> str:
    """Return a whole report as GitHub Markdown; `drawn` has pictures of tables, by the table's id.

    Below each table are its notes. What names have of HTML stands as it is written.
    """
    text = templates().get_template("report.md").render(document=document, drawn=drawn)
    return re.sub(r"`[^`\n|]*`|<(?=[A-Za-z/!?])|&(?=#?\w+;)", _as_written, text)


def _as_written(found: re.Match[str]) -> str:
    """Return code as it is, and of HTML, which Markdown reads too, what a page shows as it."""
    return found[0] if found[0][0] == "`" else html.escape(found[0])


@cache
def templates() -> jinja2.Environment:
    """Return what finds and fills the templates; only pages have their text escaped."""
    import jinja2
    from markupsafe import Markup

    found = jinja2.Environment(
        loader=jinja2.PackageLoader("sambench.report"),
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: str(name).endswith(".html"),
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    found.globals |= {"id": id, "MOST_NAMED": MOST_NAMED}
    found.filters |= {
        **{one.__name__: one for one in (counted, listed, points, signed, was)},
        "anchor": slug,
        "latex": to_latex,
        "tex": escape,
        "heading": _latex_heading,
        "number": _latex_cell,
        "bar": lambda text: text.replace("|", r"\|"),
        "code": lambda text: Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))),
    }
    return found


def worded(template: str, macro: str, /, **facts: Any) -> str:
    """Return what a macro of a template says of some facts, as one paragraph."""
    macros: Any = templates().get_template(template).module
    return " ".join(getattr(macros, macro)(**facts).split())


@cache
def _latex(name: str) -> jinja2.Template:
    """Return a template of LaTeX, whose braces mean nothing: what is filled in stands in <<>>."""
    return templates().overlay("<%", "%>", "<<", ">>", "<#", "#>").get_template(name)


def numbers_of(table: Table) -> list[list[Any]]:
    """Return headings and rows in numbers: mean, sd, n, low, high ... a column each; words as such.

    A column of the table without any number has its text.
    """
    columns: list[list[Any]] = [[table.headings[0], *(label for label, _ in table.rows)]]
    for place, heading in enumerate(table.headings[1:]):
        cells = [row[place] if place < len(row) else Cell(text="") for _, row in table.rows]
        keys = dict.fromkeys(key for cell in cells for key in cell.numbers)
        numbers = [
            [f"{heading}: {key}", *(cell.numbers.get(key) for cell in cells)] for key in keys
        ]
        columns += numbers or [[heading, *(cell.text for cell in cells)]]
    return [*map(list, zip(*columns, strict=True))]


def to_csv(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as a CSV file."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def to_xlsx(tables: Sequence[Table]) -> bytes:
    """Return a workbook with a sheet for each table: its numbers, then its notes.

    Text that begins like a formula stays text.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    book = Workbook(write_only=True)
    bold = Font(bold=True)
    for number, table in enumerate(tables, start=1):
        sheet = book.create_sheet(re.sub(r"[^\w .-]+", " ", f"{number} {table.title}")[:31])

        def cell(value: Any, strong: bool = False, sheet: Any = sheet) -> Any:
            made = WriteOnlyCell(sheet, value=value)
            if isinstance(value, str):
                made.data_type = "s"
            if strong:
                made.font = bold
            return made

        sheet.append([cell(table.title, True)])
        head, *rows = numbers_of(table)
        sheet.append([cell(value, True) for value in head])
        for row in rows:
            sheet.append([cell(value) for value in row])
        for note in table.notes:
            sheet.append([cell(note)])
    return _without_the_time(book)


def _without_the_time(book: Workbook) -> bytes:
    """Return a workbook's file with one date for all, so that equal tables are equal files."""
    from openpyxl.writer.excel import ExcelWriter

    written, dated = io.BytesIO(), io.BytesIO()
    book.properties.created = book.properties.modified = datetime(*_DATE)
    with ZipFile(written, "w") as archive:
        ExcelWriter(book, archive).save()
    with ZipFile(written) as archive, ZipFile(dated, "w") as copy:
        for name in archive.namelist():
            copy.writestr(ZipInfo(name, _DATE), archive.read(name), ZIP_DEFLATED)
    return dated.getvalue()


_DATE = (1980, 1, 1, 0, 0, 0)
"""The first that a zip file, which a workbook is, can have."""


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
